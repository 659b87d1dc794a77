"""How an array is read that may not fit into one response: ask, halve, join (protocol 3.3, 4)."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from umi_cli.application.codes import ResultCode
from umi_cli.errors import MalformedError, PacketTooLargeError, RefusedError, UmiError
from umi_cli.types import MAX_ELEMENT, TO_END, ObjectPart

FIRST_CHUNK_BYTES = 16_384  # asked for at once after a TOO_LONG; halved from there


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayRead:
    """What came of an array."""

    part: ObjectPart
    """What came: as asked for, or fewer elements after a failure."""
    raw: bytes
    chunk_elements: int | None
    """How many elements the device gives at once; None if it gave all."""
    failure: UmiError | None = None
    """Why the rest did not come."""


def read_array(
    read: Callable[[ObjectPart], bytes],
    part: ObjectPart,
    element_bytes: int,
    chunk_elements: int | None = None,
    on_elements: Callable[[int], None] | None = None,
) -> ArrayRead:
    """Read elements of an array, in one response or as many as the device needs.

    Args:
        read: reads a part, raising what the device says.
        part: the elements, and the member of each.
        element_bytes: how long one is.
        chunk_elements: how many the device gave at once before; None to ask for all.
        on_elements: told how many are here, after each response of several.

    Raises:
        UmiError: what `read` raises, if nothing came at all.
    """
    if chunk_elements is not None:
        return _Chunks(read, part, element_bytes, chunk_elements, on_elements).run()
    if part.last != TO_END:
        wanted = part.last - part.first + 1
        result = _Chunks(read, part, element_bytes, wanted, on_elements).run()
        is_limit = result.chunk_elements != wanted
        return result if is_limit else replace(result, chunk_elements=None)
    try:
        return ArrayRead(part=part, raw=read(part), chunk_elements=None)
    except UmiError as error:
        if not _is_too_long(error):
            raise
    first = max(1, FIRST_CHUNK_BYTES // element_bytes)
    return _Chunks(read, part, element_bytes, first, on_elements).run()


def _is_too_long(error: UmiError) -> bool:
    return isinstance(error, PacketTooLargeError) or _has_code(error, ResultCode.TOO_LONG)


def _has_code(error: UmiError, code: ResultCode) -> bool:
    return isinstance(error, RefusedError) and error.number == code


class _Chunks:
    """A read that goes on from chunk to chunk."""

    def __init__(
        self,
        read: Callable[[ObjectPart], bytes],
        part: ObjectPart,
        element_bytes: int,
        chunk_elements: int,
        on_elements: Callable[[int], None] | None,
    ) -> None:
        self._read = read
        self._part = part
        self._element_bytes = element_bytes
        self._chunk = chunk_elements
        self._on_elements = on_elements or (lambda count: None)
        self._raw = bytearray()

    @property
    def _next(self) -> int:
        return self._part.first + len(self._raw) // self._element_bytes

    def run(self) -> ArrayRead:
        last = min(self._part.last, MAX_ELEMENT)
        try:
            while self._next <= last and self._take(min(self._next + self._chunk - 1, last)):
                self._on_elements(self._next - self._part.first)
        except UmiError as error:
            if not self._raw:
                raise
            got = replace(self._part, last=self._next - 1)
            return self._result(got, error)
        return self._result(self._part, None)

    def _result(self, part: ObjectPart, failure: UmiError | None) -> ArrayRead:
        return ArrayRead(
            part=part, raw=bytes(self._raw), chunk_elements=self._chunk, failure=failure
        )

    def _take(self, last: int) -> bool:
        """Take the elements up to `last`, or fewer; tell whether there may be more."""
        asked = last - self._next + 1
        try:
            data = self._read(replace(self._part, first=self._next, last=last))
        except UmiError as error:
            if self._part.last == TO_END and _has_code(error, ResultCode.UNKNOWN_ELEMENT):
                return self._take_tail()
            return self._ask_for_less(error)
        if len(data) > asked * self._element_bytes or len(data) % self._element_bytes:
            raise MalformedError(f"{len(data)} bytes came for {asked} elements of {self._part}")
        if not data and self._part.last != TO_END:
            raise MalformedError(f"no bytes came for {asked} elements of {self._part}")
        self._raw += data
        return bool(data)  # fewer than asked for need not be the last ones

    def _take_tail(self) -> bool:
        """Take what is left up to the end, less than a chunk; tell whether there may be more."""
        try:
            self._raw += self._read(replace(self._part, first=self._next, last=TO_END))
        except UmiError as error:
            if self._raw and _has_code(error, ResultCode.UNKNOWN_ELEMENT):
                return False
            return self._ask_for_less(error)
        return False

    def _ask_for_less(self, error: UmiError) -> bool:
        if not _is_too_long(error) or self._chunk == 1:
            raise error
        self._chunk = (self._chunk + 1) // 2
        return True
