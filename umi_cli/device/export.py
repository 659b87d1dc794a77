"""What does a device hold at this moment? Every object that it gives, and why it gives no other.

Secret objects are never read. What a device refuses is a part of the answer; what ends the link
ends the reading, and what came before is certain.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from umi_cli.application.codes import ResultCode
from umi_cli.certificates.cvc import Certificate
from umi_cli.device.identity import fetch_certificate
from umi_cli.device.info import SECTIONS, difference_s, host_time
from umi_cli.device.meter import Access, Meter, ObjectValue, PartialReadError
from umi_cli.device.protection import Standing
from umi_cli.errors import MalformedError, RefusedError, UmiError, UnknownObjectError
from umi_cli.types import ObjectPart, UmiCode, UmiId

MAX_CHAIN = 4  # certificates from a device's own up to the root (protocol 6.4)
# choice: which status object counts the entries of a table, so that progress knows its end.
_COUNTED_BY = {"profile-table": "profile-status", "event-table": "event-status"}
_ANSWERS = (RefusedError, MalformedError)  # of one object: the others may come all the same
Tell = Callable[[str, int, int], None]
"""Told what is counted (`objects` or `entries`), how many are here, and of how many."""


class LeftOut(Enum):
    """Why a part was not asked for."""

    SECRET = "secret"  # noqa: S105 - a word, and none of its own
    TABLE = "table"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedPart:
    """An object, or a part of one, as the device gave it."""

    part: ObjectPart
    found: ObjectValue | None
    """What came; with an error, of an array, the elements that came before it."""
    error: UmiError | None
    """Why nothing came, or not all."""
    access: Access | None
    """Who may read and write it; None if we may not ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedCertificate:
    """A certificate of the device's own chain."""

    subject: UmiId
    certificate: Certificate | None
    """Nothing in it is verified."""
    error: UmiError | None = None
    """Why there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What a device holds at one moment."""

    host_time: datetime
    """When the reading began."""
    standing: Standing
    """Under which scheme it was read, and in which role."""
    device_id: UmiId | None
    clock_difference_s: int | None
    """What the device's clock is ahead of the host's; None if it was not read."""
    parts: tuple[ExportedPart, ...]
    """By code."""
    left_out: tuple[tuple[ObjectPart, LeftOut], ...]
    """What was not asked for, and why."""
    certificates: tuple[ExportedCertificate, ...] | None
    """The device's own first, then upwards; None if they were not asked for."""
    failure: UmiError | None
    """What ended the reading before its end."""


def read_export(
    meter: Meter,
    *,
    only: Iterable[ObjectPart] | None = None,
    tables: bool = True,
    tell: Tell = lambda what, done, total: None,
) -> Export:
    """Read all that a device gives.

    Args:
        only: these parts, and no certificates; every object of the datasheet if None.
        tables: read the arrays too.
        tell: told how far it is.

    Raises:
        UmiError: nothing came at all. What ends it later stands in `failure`.
    """
    reading = _Reading(meter, tell)
    failure: UmiError | None = None
    wanted: Sequence[ObjectPart] = ()
    try:
        reading.identify()
        wanted = _all_parts(meter) if only is None else list(dict.fromkeys(only))
        reading.read_all(wanted, tables=tables)
        if only is None:
            reading.read_certificates()
    except UmiError as error:
        if not reading.found:
            raise
        failure = error
    return reading.result(wanted, failure)


def _all_parts(meter: Meter) -> list[ObjectPart]:
    """Return all objects of the datasheet; the virtual meter's own only where they exist."""
    own_banks = meter.catalogue.datasheet.banks
    own = [each for each in meter.catalogue.objects if each.code.bank in own_banks]
    others = [each for each in meter.catalogue.objects if each.code.bank not in own_banks]
    if others and _has(meter, ObjectPart(others[0].code)):
        own += others
    return [ObjectPart(each.code) for each in own]


def _has(meter: Meter, part: ObjectPart) -> bool:
    try:
        meter.read(part)
    except UnknownObjectError:
        return False
    except _ANSWERS:
        return True
    return True


@dataclass(slots=True)
class _Reading:
    """A reading that is under way."""

    meter: Meter
    tell: Tell
    found: dict[ObjectPart, ObjectValue] = field(default_factory=dict)
    errors: dict[ObjectPart, UmiError] = field(default_factory=dict)
    access: dict[UmiCode, Access] = field(default_factory=dict)
    left_out: dict[ObjectPart, LeftOut] = field(default_factory=dict)
    certificates: list[ExportedCertificate] | None = None
    device_id: UmiId | None = None
    clock_difference_s: int | None = None
    may_ask: bool = True
    started: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.started = host_time(self.meter)

    def identify(self) -> None:
        """Learn who the device is; one that does not say is read all the same."""
        try:
            self.device_id = self.meter.device_id
        except RefusedError:
            self.device_id = None

    def read_all(self, wanted: Sequence[ObjectPart], *, tables: bool) -> None:
        """Read parts: single values first, for they say how long the tables are."""
        singles = [part for part in wanted if self._is_asked(part) and not self._is_array(part)]
        arrays = [part for part in wanted if self._is_asked(part) and self._is_array(part)]
        if not tables:
            self.left_out |= dict.fromkeys(arrays, LeftOut.TABLE)
            arrays = []
        self.tell("objects", 0, len(singles))
        for number, part in enumerate(singles, start=1):
            self._read(part)
            self.tell("objects", number, len(singles))
        self._read_tables(arrays)

    def _read_tables(self, arrays: Sequence[ObjectPart]) -> None:
        expected = [self._expected(part) for part in arrays]
        total = sum(expected)
        for number, part in enumerate(arrays):
            before = sum(expected[:number])
            self._tell_entries(before, total)
            self._read(part, lambda here, at=before: self._tell_entries(at + here, total))  # type: ignore[misc]
            self._tell_entries(before + expected[number], total)

    def read_certificates(self) -> None:
        """Fetch the device's own certificate and those above it, as far as it has them."""
        self.certificates = []
        subject = self.device_id
        while subject is not None and len(self.certificates) < MAX_CHAIN:
            try:
                certificate = fetch_certificate(self.meter, subject)
            except _ANSWERS as error:
                if not self.certificates:  # a root above it is seldom there, which is no news
                    self.certificates.append(
                        ExportedCertificate(subject=subject, certificate=None, error=error)
                    )
                return
            self.certificates.append(ExportedCertificate(subject=subject, certificate=certificate))
            issuer = certificate.body.issuer
            subject = None if issuer == subject else issuer

    def result(self, wanted: Sequence[ObjectPart], failure: UmiError | None) -> Export:
        """Return what came, and why the rest did not."""
        parts = [
            ExportedPart(
                part=part,
                found=self.found.get(part),
                error=self.errors.get(part) or (None if part in self.found else failure),
                access=self.access.get(part.code),
            )
            for part in sorted(wanted, key=lambda part: (part.code, part.encode()))
            if part not in self.left_out
        ]
        return Export(
            host_time=self.started,
            standing=self.meter.session.standing,
            device_id=self.device_id,
            clock_difference_s=self.clock_difference_s,
            parts=tuple(parts),
            left_out=tuple(self.left_out.items()),
            certificates=None if self.certificates is None else tuple(self.certificates),
            failure=failure,
        )

    def _is_asked(self, part: ObjectPart) -> bool:
        """Tell whether a part may be read; a secret is left out."""
        definition = self.meter.catalogue.find(part.code)
        if definition is not None and definition.secret:
            self.left_out[part] = LeftOut.SECRET
        return part not in self.left_out

    def _is_array(self, part: ObjectPart) -> bool:
        definition = self.meter.catalogue.find(part.code)
        return definition is not None and definition.kind.is_array

    def _expected(self, part: ObjectPart) -> int:
        """Return how many elements a whole table has, by its status object; 0 if none says."""
        status = _COUNTED_BY.get(self.meter.catalogue.name_of(part) or "")
        for each in self.found.values():
            if each.name == status and isinstance(each.value, dict):
                entries = each.value.get("entries")
                return entries if isinstance(entries, int) else 0
        return 0

    def _tell_entries(self, here: int, total: int) -> None:
        if total:  # else nobody knows where the end is
            self.tell("entries", min(here, total), total)

    def _read(self, part: ObjectPart, on_elements: Callable[[int], None] | None = None) -> None:
        """Read a part, and who may read and write it; what is refused is kept as such."""
        try:
            self.found[part] = self.meter.read(part, on_elements=on_elements)
        except PartialReadError as error:
            self.found[part], self.errors[part] = error.got, error
            if not isinstance(error.cause, _ANSWERS):
                raise error.cause from error
        except _ANSWERS as error:
            self.errors[part] = error
        if (found := self.found.get(part)) and found.name == SECTIONS["clock"]:
            self.clock_difference_s = difference_s(found.value, host_time(self.meter))
        if self.may_ask and part.code not in self.access:
            self._ask_access(part)

    def _ask_access(self, part: ObjectPart) -> None:
        try:
            self.access[part.code] = self.meter.access(part)
        except RefusedError as error:  # a guest may ask for none (protocol 6.1)
            self.may_ask = error.number == ResultCode.UNKNOWN_OBJECT
