"""Does a device hold after the tests what it held before? Objects, access sets, certificates."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from umi_cli.certify.case import Failure, NotApplicable
from umi_cli.certify.report import StateChange, StateRecord
from umi_cli.errors import UmiError

if TYPE_CHECKING:
    from umi_cli.certify.bench import Bench
    from umi_cli.device.meter import Meter
    from umi_cli.objects.export_diff import Change
    from umi_cli.objects.export_document import ExportFile


def read_state(bench: "Bench", *, is_secured: bool) -> dict[str, Any]:
    """Return the export of the device.

    Args:
        is_secured: read in the role that we can prove, and not as guest.

    Raises:
        Failure, NotApplicable: no session comes about in that role.
        UmiError: it cannot be read.
    """
    from umi_cli.cli.export_record import document_of
    from umi_cli.device.export import read_export

    bench.begin("")
    bench.log_out()  # whatever was proved before, both readings are of one standing
    with _reader(bench, is_secured=is_secured) as meter:
        found = read_export(meter)
    if found.failure is not None:
        raise found.failure
    return document_of(found, bench.catalogue, None)


@contextmanager
def _reader(bench: "Bench", *, is_secured: bool) -> "Iterator[Meter]":
    if is_secured:
        with bench.secured() as meter:
            yield meter
    else:
        yield bench.meter


def read_before(bench: "Bench") -> dict[str, Any]:
    """Return the export of the device before the tests, in the best role that it lets us have.

    Raises:
        Failure, UmiError: it cannot be read.
    """
    try:
        return read_state(bench, is_secured=True)
    except (Failure, NotApplicable):
        return read_state(bench, is_secured=False)


def compare_state(
    bench: "Bench", before: Mapping[str, Any] | None, *, is_explained: bool
) -> StateRecord:
    """Read the device again, and return in what it differs.

    Args:
        before: its export before the tests; None if it could not be read then.
        is_explained: what cannot be undone was allowed.
    """
    if before is None:
        return _untold("before the tests it could not be read", is_explained=is_explained)
    try:
        after = read_state(bench, is_secured=bool(before["standing"]["authenticated"]))
    except (Failure, NotApplicable, UmiError) as error:
        role = before["standing"]["role"]
        failure = f"after the tests it cannot be read as {role}, as before: {error}"
        return _untold(failure, is_explained=is_explained)
    changes, volatile = _changes(before, after)
    return StateRecord(
        role=str(before["standing"]["role"]),
        objects=len(before["objects"]),
        changes=changes,
        volatile=volatile,
        failure="",
        is_explained=is_explained,
    )


def _untold(failure: str, *, is_explained: bool) -> StateRecord:
    return StateRecord(
        role="guest",
        objects=0,
        changes=(),
        volatile=0,
        failure=failure,
        is_explained=is_explained,
    )


def _changes(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[tuple[StateChange, ...], int]:
    """Return the differences, and how many are left out because they come by themselves."""
    from umi_cli.cli.diff import row_of
    from umi_cli.objects.export_diff import compare, summarise
    from umi_cli.objects.export_document import dump, load

    old, new = (
        load("".join(dump(document)).encode("ascii"), origin)
        for document, origin in ((before, "before"), (after, "after"))
    )
    found = compare(old, new)
    grown = _grown_logs(new, found.changes)
    told = [each for each in found.changes if each.subject not in grown or each.kind == "changed"]
    rows = [
        ["" if cell is None else str(cell) for cell in row_of(change)] for change in summarise(told)
    ]
    changes = tuple(
        StateChange(kind=kind, object=part, aspect=aspect, old=was, new=now)
        for kind, part, aspect, was, now in rows
    )
    return changes, found.volatile + len(found.changes) - len(told)


def _grown_logs(export: "ExportFile", changes: "Sequence[Change]") -> set[str]:
    """Return the logs that have new entries, in place of old ones where they are full.

    choice: an array whose elements carry a timestamp is a log. It is there to grow; one that has
    only lost entries has been erased.
    """
    kinds = Counter((each.subject, each.kind) for each in changes if each.element is not None)
    return {
        part
        for part, record in export.objects.items()
        if record.shape == "array-of-structures"
        and record.value
        and "timestamp" in record.value[0]
        and kinds[part, "added"] >= kinds[part, "removed"]
    }
