"""A device as its user sees it: objects are read and written by name, values come typed."""

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import (
    GetObjectAccess,
    NoOperation,
    ReadObject,
    ReadObjectPart,
    SetObjectReadAccess,
    SetObjectWriteAccess,
    WriteObject,
    WriteObjectPart,
)
from umi_cli.application.payload import Command
from umi_cli.device.array_read import read_array
from umi_cli.device.permission import naming_roles
from umi_cli.device.session import Session
from umi_cli.errors import (
    MalformedError,
    OutcomeUnknownError,
    ReadBackError,
    RefusedError,
    UmiError,
)
from umi_cli.objects.catalogue import Catalogue
from umi_cli.objects.composites import Array
from umi_cli.objects.values import Value
from umi_cli.transports.base import Transport
from umi_cli.types import UNKNOWN_DEVICE, ObjectPart, RoleSet, UmiCode, UmiId

CHANGE_TRIES = 3  # of a command that is found not to have run
_NO_ID = (ResultCode.UNKNOWN_OBJECT, ResultCode.ACCESS_DENIED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectValue:
    """What was read of an object.

    >>> import umi_cli
    >>> with umi_cli.connect("sim") as meter:
    ...     found = meter.read("manufacturer-id/3")
    >>> str(found.part), found.name, found.raw, found.value
    ('umi.1.1.0.0/3', 'manufacturer-id/serial', b'31733978', '31733978')
    """

    part: ObjectPart
    name: str | None
    """As the datasheet has it, such as `manufacturer-id/serial`."""
    raw: bytes
    """As it came over the wire."""
    value: Value
    """Typed: a structure is a dict by member name, an array a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may read and write an object.

    >>> import umi_cli
    >>> with umi_cli.connect("sim:?as=service") as meter:
    ...     access = meter.access("valve")
    >>> str(access.read), access.write.labels
    ('all', ['service', 'utility-supplier'])
    """

    code: UmiCode
    read: RoleSet
    write: RoleSet


class PartialReadError(UmiError):
    """Some elements of an array came, and then no more.

    Args:
        cause: why; its name and exit code are this error's.
        got: the elements that came, from the first one asked for on.
    """

    def __init__(self, cause: UmiError, got: ObjectValue, wanted: ObjectPart) -> None:
        super().__init__(f"only {got.part} of {wanted} came: {cause}", hint=cause.hint)
        self.cause = cause
        self.got = got
        self.code = cause.code  # type: ignore[misc]
        self.exit_code = cause.exit_code  # type: ignore[misc]


class UndecodableError(MalformedError):
    """What an object holds does not have the form that the datasheet foresees.

    Args:
        cause: what is wrong with it.
        part: what was read.
        raw: its bytes, as they came over the wire.
    """

    def __init__(self, cause: MalformedError, part: ObjectPart, raw: bytes) -> None:
        hint = "see its bytes with -o raw or --json; another --datasheet may describe the device"
        super().__init__(str(cause), offset=cause.offset, hint=cause.hint or hint)
        self.part = part
        self.raw = raw


class Meter:
    """An open device. Use it in a `with` statement, or close it.

    >>> import umi_cli
    >>> with umi_cli.connect("sim") as meter:
    ...     meter.read("manufacturer-id").value["model"]
    'EISGMv0'

    Args:
        transport: an open port, closed with the meter.
        session: the conversation on it.
        catalogue: what is known of the device's objects.
    """

    def __init__(self, transport: Transport, session: Session, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.session = session
        self.transport = transport
        self._chunks: dict[UmiCode, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the session and close the port; twice is harmless."""
        try:
            self.session.finish()
        finally:
            self.transport.close()

    @property
    def device_id(self) -> UmiId | None:
        """Return the device's UMI ID, asking once; None if it does not say.

        Raises:
            UmiError: as in `Session.request`.
        """
        try:
            return self.session.identify()
        except RefusedError as error:
            if error.number not in _NO_ID:
                raise
            return None

    @property
    def known_device_id(self) -> UmiId | None:
        """Return the device's UMI ID if it has said it already."""
        known = self.session.device_id
        return None if known == UNKNOWN_DEVICE else known

    def ping(self) -> None:
        """Make sure that the device answers; raises as `Session.request` does.

        >>> import umi_cli
        >>> with umi_cli.connect("sim:?fault=drop:1") as meter:
        ...     meter.ping()
        Traceback (most recent call last):
        ...
        umi_cli.errors.NoAnswerError: sim:?fault=drop:1 does not answer: no answer after 3 attempts
        """
        self.session.request(NoOperation())

    def read(
        self, part: str | ObjectPart, *, on_elements: Callable[[int], None] | None = None
    ) -> ObjectValue:
        """Read an object, or a part of it.

        >>> import umi_cli
        >>> with umi_cli.connect("sim:?time=2026-03-30T08:00:00Z") as meter:
        ...     for record in meter.read("profile-table[0:1]").value:
        ...         print(record["timestamp"], record["reading"])
        2026-03-23 08:30:00+00:00 0.37
        2026-03-23 09:00:00+00:00 0.48

        Args:
            part: such as `umi.1.1.0.0`, `manufacturer-id/serial` or `profile-table[0:47]`.
            on_elements: told how many elements of an array are here, whenever some more are.

        Raises:
            NotInDatasheetError: the datasheet has no such object, or its bank is not the device's.
            PartialReadError: some elements of an array came, and then no more.
            UndecodableError: what came is not what the datasheet foresees.
            UmiError: as in `Session.request`.
        """
        part = self._resolve(part)
        definition = self.catalogue.find(part.code)
        if definition is None or not definition.kind.is_array:
            return self._value(part, self._read_raw(part))
        array = self.catalogue.type_of(part)
        element_bytes = array.element.max_bytes if isinstance(array, Array) else array.max_bytes
        chunk = self._chunks.get(part.code) or self._first_chunk(element_bytes)
        result = read_array(self._read_raw, part, element_bytes, chunk, on_elements)
        if result.chunk_elements:
            self._chunks[part.code] = result.chunk_elements
        value = self._value(result.part, result.raw)
        if result.failure:
            raise PartialReadError(result.failure, value, part) from result.failure
        return value

    def write(self, part: str | ObjectPart, value: object, *, verify: bool = False) -> ObjectValue:
        """Write an object, or a part of it; return what was written.

        >>> import umi_cli
        >>> with umi_cli.connect("sim") as meter:
        ...     meter.write("counter", 42, verify=True).raw
        b'*\\x00\\x00\\x00'

        A write whose answer was lost is never repeated blindly: it is read back, and written again
        only if it is found not to have run (protocol 2.3).

        Args:
            part: as in `read`.
            value: bytes as they go over the wire, or a value as `read` gives it.
            verify: read it back and compare.

        Raises:
            InputError: the value does not fit the object.
            ReadBackError: what was read back differs.
            OutcomeUnknownError: the answer was lost, and the object cannot be read back.
            UmiError: as in `Session.request`.
        """
        part = self._resolve(part)
        raw = value if isinstance(value, bytes) else self.catalogue.encode(part, value)
        self._write_raw(part, raw)
        if verify and (found := self._read_back(part)) != raw:
            raise ReadBackError(
                f"{part} was written and reads back differently: {_short(found)} for {_short(raw)}",
                hint="another client may have written it, or the device changes what it takes",
            )
        try:
            return self._value(part, raw)
        except UndecodableError:  # the device took them all the same
            return ObjectValue(part=part, name=self.catalogue.name_of(part), raw=raw, value=raw)

    def access(self, part: str | ObjectPart) -> Access:
        """Return who may read and write an object; raises as `Session.request` does."""
        code = self._resolve(part).code
        reply = self.session.request(GetObjectAccess(code=code))
        return Access(code=code, read=reply.read_roles, write=reply.write_roles)

    def set_access(
        self,
        part: str | ObjectPart,
        *,
        read: RoleSet | None = None,
        write: RoleSet | None = None,
    ) -> None:
        """Set who may read and write an object; None leaves a role set as it is.

        >>> import umi_cli
        >>> from umi_cli.types import Role, RoleSet
        >>> with umi_cli.connect("sim:?as=manufacturer") as meter:
        ...     meter.set_access("valve", write=RoleSet.of(Role.SERVICE))
        ...     str(meter.access("valve").write)
        'service'

        When an answer was lost the role sets are read back; raises as `write` does.
        """
        code = self._resolve(part).code
        if read is not None:
            set_read = SetObjectReadAccess(code=code, roles=read)
            self.change(set_read, lambda: self.access(part).read == read)
        if write is not None:
            set_write = SetObjectWriteAccess(code=code, roles=write)
            self.change(set_write, lambda: self.access(part).write == write)

    def change(
        self, command: Command[Any], has_run: Callable[[], bool], *, is_signed: bool = False
    ) -> None:
        """Send a command that changes the device; again only if it is found not to have run.

        Args:
            command: what to send.
            has_run: finds out by reading back, once the answer was lost.
            is_signed: sign it on its own.

        Raises:
            OutcomeUnknownError: the answer was lost, and that cannot be found out.
            UmiError: as in `Session.request`.
        """
        for tries_left in reversed(range(CHANGE_TRIES)):
            try:
                self.session.request(command, is_signed=is_signed)
            except OutcomeUnknownError as lost:
                if _tell(has_run, lost):
                    return
                if not tries_left:
                    raise
            else:
                return

    def _first_chunk(self, element_bytes: int) -> int | None:
        """Return how many elements to ask for at once; None for all, on a line that is quick."""
        limit_bytes = self.transport.chunk_bytes
        return None if limit_bytes is None else max(1, limit_bytes // element_bytes)

    def _resolve(self, part: str | ObjectPart) -> ObjectPart:
        if isinstance(part, str):
            return self.catalogue.resolve(part)
        self.catalogue.type_of(part)  # before anything is sent
        return part

    def _value(self, part: ObjectPart, raw: bytes) -> ObjectValue:
        try:
            value = self.catalogue.decode(part, raw)
        except MalformedError as error:
            raise UndecodableError(error, part, raw) from error
        return ObjectValue(part=part, name=self.catalogue.name_of(part), raw=raw, value=value)

    def _read_raw(self, part: ObjectPart) -> bytes:
        with naming_roles(self.catalogue.find(part.code), "read", self.session.standing.role):
            if part.is_whole:
                return self.session.request(ReadObject(code=part.code)).value
            return self.session.request(ReadObjectPart(part=part)).value

    def _read_back(self, part: ObjectPart) -> bytes:
        try:
            return self.read(part).raw
        except UndecodableError as error:  # what was written may have no form
            return error.raw

    def _holds(self, part: ObjectPart, raw: bytes) -> bool:
        """Tell whether an object holds these bytes; `UndecodableError` if it holds nonsense."""
        try:
            return self.read(part).raw == raw
        except UndecodableError as error:
            if error.raw != raw:
                raise
            return True

    def _write_raw(self, part: ObjectPart, raw: bytes) -> None:
        command = (
            WriteObject(code=part.code, value=raw)
            if part.is_whole
            else WriteObjectPart(part=part, value=raw)
        )
        definition = self.catalogue.find(part.code)
        is_signed = definition is not None and definition.signed
        with naming_roles(definition, "write", self.session.standing.role):
            self.change(command, lambda: self._holds(part, raw), is_signed=is_signed)


def _tell(has_run: Callable[[], bool], lost: OutcomeUnknownError) -> bool:
    """Ask whether a command has run; `lost` goes on if that cannot be told."""
    try:
        return has_run()
    except UmiError as error:
        raise lost from error


def _short(raw: bytes) -> str:
    return raw.hex() if len(raw) <= 32 else f"{raw[:32].hex()}… ({len(raw)} bytes)"
