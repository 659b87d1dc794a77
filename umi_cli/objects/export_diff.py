"""In what do two exports differ? Objects, members and elements, access sets and certificates.

What changes by itself, as the datasheet says, is left out unless it is asked for. What only one of
the two was asked for, or what a link that was lost kept back, is not compared.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal

from umi_cli.objects.export_document import ARRAYS, ROLE_SETS, STRUCTURES, ExportFile, ObjectRecord

Kind = Literal["added", "removed", "changed"]
VALUE, ERROR, CERTIFICATE = "value", "error", "certificate"
MAX_SHOWN = 4  # changed elements of one array; more are counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference."""

    kind: Kind
    subject: str
    """The part of an object, or the UMI ID that a certificate is of."""
    name: str | None
    """The object's name, if it has one."""
    aspect: str = VALUE
    """`value`, `error`, `read access`, `write access` or `certificate`."""
    element: int | None = None
    """The element of an array: one that was removed as the old one counts, else as the new."""
    member: str | None = None
    """The member of a structure."""
    old: Any = None
    """As `--json` prints it, or a role set; None, too, where there was nothing."""
    new: Any = None
    count: int = 1
    """How many elements are told at once, from `element` on; their values are not there then."""
    is_volatile: bool = False
    """It changes by itself."""

    @property
    def is_whole_value(self) -> bool:
        """Tell whether all that an object held is there now, or is no longer."""
        is_part = self.element is not None or self.member is not None
        return self.aspect == VALUE and self.kind != "changed" and not is_part


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What came of comparing two exports."""

    changes: tuple[Change, ...]
    volatile: int
    """How many differences were left out because they come by themselves."""
    not_compared: tuple[str, ...]
    """Parts of which nobody can tell."""


def compare(old: ExportFile, new: ExportFile, *, with_volatile: bool = False) -> Comparison:
    """Compare two exports.

    Args:
        with_volatile: tell what changes by itself as well.
    """
    unclear = _uncertain(old) | _uncertain(new) | _not_asked(old, new) | _not_asked(new, old)
    parts = [part for part in dict.fromkeys((*old.objects, *new.objects)) if part not in unclear]
    found = [
        each for part in parts for each in _object(old.objects.get(part), new.objects.get(part))
    ]
    found += _certificates(old.certificates, new.certificates)
    told = [change for change in found if with_volatile or not change.is_volatile]
    return Comparison(
        changes=tuple(told),
        volatile=len(found) - len(told),
        not_compared=tuple(sorted(unclear)),
    )


def summarise(changes: Sequence[Change]) -> Iterator[Change]:
    """Count what would fill the screen: elements, and the value of what is refused now."""
    refused = {each.subject for each in changes if each.aspect == ERROR}
    shown = [each for each in changes if not (each.is_whole_value and each.subject in refused)]
    for (_, kind), group in groupby(shown, key=_in_one_array):
        alike = list(group)
        count = len({each.element for each in alike})
        if kind is None or count <= (MAX_SHOWN if kind == "changed" else 1):
            yield from alike
        else:
            yield replace(alike[0], member=None, old=None, new=None, count=count)


def _in_one_array(change: Change) -> tuple[str, Kind | None]:
    return change.subject, None if change.element is None else change.kind


def _uncertain(export: ExportFile) -> set[str]:
    return {part for part, record in export.objects.items() if not record.is_certain}


def _not_asked(export: ExportFile, other: ExportFile) -> set[str]:
    """Return what one export has, and the other was not asked for."""
    missing = {*export.objects} - {*other.objects}
    return missing if other.only is not None else missing & {*other.left_out}


def _object(old: ObjectRecord | None, new: ObjectRecord | None) -> Iterator[Change]:
    """Return how an object differs; None is one that the device was asked for and does not know."""
    record = new or old
    if record is None:
        return
    if old and new and old.error is None and new.error is None and old.shape == new.shape:
        yield from _values(old, new)
    else:
        yield from _aspect(record, VALUE, _given(old), _given(new))
    yield from _aspect(record, ERROR, old and old.error, new and new.error)
    if old and new and old.access and new.access:
        for key in ROLE_SETS:
            yield from _aspect(record, f"{key} access", old.access[key], new.access[key])


def _given(record: ObjectRecord | None) -> tuple[Any] | None:
    """Return the value in a box, for it may be None itself; None if none was given."""
    if record is None:
        return None
    if record.error is None or record.value is not None:
        return (record.value,)
    return None if record.undecoded is None else (record.undecoded,)


def _aspect(record: ObjectRecord, aspect: str, old: Any, new: Any) -> Iterator[Change]:
    """Return how one side of an object differs; None is one that is not there."""
    if old != new:
        unboxed = [each[0] if isinstance(each, tuple) else each for each in (old, new)]
        yield Change(
            kind="added" if old is None else "removed" if new is None else "changed",
            subject=record.part,
            name=record.name,
            aspect=aspect,
            old=unboxed[0],
            new=unboxed[1],
        )


def _values(old: ObjectRecord, new: ObjectRecord) -> Iterator[Change]:
    if new.shape in ARRAYS:
        yield from _elements(old, new)
    else:
        yield from _members(new, old.value, new.value)


def _elements(old: ObjectRecord, new: ObjectRecord) -> Iterator[Change]:
    """Return how arrays differ: what went at the front, what is another, what came at the end."""
    gone = _gone_at_front(old.value, new.value)
    kept = min(len(old.value) - gone, len(new.value))
    for number in (*range(gone), *range(gone + kept, len(old.value))):
        yield _change(new, "removed", old=old.value[number], element=old.first + number)
    for number in range(kept):
        before, after = old.value[gone + number], new.value[number]
        yield from _members(new, before, after, element=new.first + number)
    for number in range(kept, len(new.value)):
        yield _change(new, "added", new=new.value[number], element=new.first + number)


def _members(
    record: ObjectRecord, old: Any, new: Any, *, element: int | None = None
) -> Iterator[Change]:
    """Return how a value, or one element of an array, differs."""
    if record.shape not in STRUCTURES:
        if old != new:
            yield _change(record, "changed", old=old, new=new, element=element)
        return
    for name in dict.fromkeys((*old, *new)):
        if name in old and name in new and old[name] == new[name]:
            continue
        kind: Kind = "added" if name not in old else "removed" if name not in new else "changed"
        before, after = old.get(name), new.get(name)
        yield _change(record, kind, old=before, new=after, element=element, member=name)


def _change(
    record: ObjectRecord,
    kind: Kind,
    *,
    old: Any = None,
    new: Any = None,
    element: int | None = None,
    member: str | None = None,
) -> Change:
    """Return a difference of a value."""
    volatile = record.volatile
    return Change(
        kind=kind,
        subject=record.part,
        name=record.name,
        old=old,
        new=new,
        element=element,
        member=member,
        is_volatile=volatile if isinstance(volatile, bool) else member in volatile,
    )


def _gone_at_front(old: Sequence[Any], new: Sequence[Any]) -> int:
    """Return how many old elements made room at the front, as in a log that is full.

    They did if more elements stay so than if each is compared with the one in its place.
    """
    in_place = next(
        (number for number, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]),
        min(len(old), len(new)),
    )
    overlap = _overlap(old, new)
    return len(old) - overlap if overlap > in_place else 0


def _overlap(old: Sequence[Any], new: Sequence[Any]) -> int:
    """Return how many elements at the end of one are those at the beginning of the other.

    As Knuth, Morris and Pratt search: in time that grows with the lengths, not with their product.
    """
    borders = [0] * len(new)  # for each beginning of `new`, the longest one that it ends in as well
    matched = 0
    for number in range(1, len(new)):
        while matched and new[number] != new[matched]:
            matched = borders[matched - 1]
        matched += new[number] == new[matched]
        borders[number] = matched
    matched = 0
    for element in old:
        while matched and (matched == len(new) or element != new[matched]):
            matched = borders[matched - 1]
        matched += bool(new) and element == new[matched]
    return matched


def _certificates(
    old: Mapping[str, str | None] | None, new: Mapping[str, str | None] | None
) -> Iterator[Change]:
    """Return the certificates that differ; a device that gives none has none."""
    if old is None or new is None:
        return
    for subject in dict.fromkeys((*old, *new)):
        before, after = old.get(subject), new.get(subject)
        if before != after:
            yield Change(
                kind="added" if before is None else "removed" if after is None else "changed",
                subject=subject,
                name=None,
                aspect=CERTIFICATE,
                old=before,
                new=after,
            )
