"""How does the kernel's spidev driver behave? `drivers/spi/spidev.c` and `spi.c`, from outside.

What it keeps belongs to the device, not to the open file: mode and bits per word outlive the
program that set them, and the rate falls back to the device tree's when the last file is closed.
"""

import errno
from dataclasses import dataclass
from struct import Struct

from tests.rig.drivers import OpenFile, Place, refused
from tests.rig.records import SpiClosed, SpiOpened
from tests.rig.wire import Answer
from tests.rig.world import Bench

CPHA, CPOL, CS_HIGH, LSB_FIRST, THREE_WIRE, LOOP, NO_CS = (1 << bit for bit in range(7))
ALL_MODE_BITS = (1 << 17) - 1
MODE_NUMBER = CPHA | CPOL

MAJOR = 153
BUFFER_BYTES = 4096
"""The driver's `bufsiz`, if nobody sets it."""
LARGEST_BUFFER_BYTES = 65_536  # DATA_MAX of shim.c
DMA_ALIGNMENT = 128
"""Each transfer of a message takes a multiple of it from the buffer; so it is on arm64."""

_TRANSFER = Struct("=QQIIHBBBBBB")  # struct spi_ioc_transfer
_BYTE, _WORD = Struct("=B"), Struct("=I")


def _read(number: int, size: int) -> int:
    return 2 << 30 | size << 16 | ord("k") << 8 | number


def _write(number: int, size: int) -> int:
    return 1 << 30 | size << 16 | ord("k") << 8 | number


@dataclass(frozen=True, slots=True, kw_only=True)
class SpiDevice:
    """An SPI device as the device tree and its controller describe it."""

    bus: int = 0
    device: int = 0
    max_speed_hz: int = 125_000_000
    """The rate until a program sets one, and the fastest that the controller clocks."""
    mode_bits: int = MODE_NUMBER | CS_HIGH | LSB_FIRST | NO_CS
    """What the controller can do; a Raspberry Pi's lacks LSB_FIRST."""
    word_bits: frozenset[int] = frozenset({8, 16, 32})
    is_denied: bool = False
    """Whether nobody may open it, not even root."""

    @property
    def name(self) -> str:
        return f"spidev{self.bus}.{self.device}"


@dataclass(frozen=True, slots=True)
class _Asked:
    """One transfer of a message."""

    tx: int
    rx: int
    length: int
    hz: int
    bits: int
    cs_change: bool

    @classmethod
    def decode_all(cls, data: bytes) -> "list[_Asked]":
        return [
            cls(tx, rx, length, hz, bits, bool(cs_change))
            for tx, rx, length, hz, _, bits, cs_change, *_ in _TRANSFER.iter_unpack(data)
        ]


class SpiDriver:
    """One SPI device, as all who open it share it."""

    def __init__(self, device: SpiDevice, minor: int, buffer_bytes: int, bench: Bench) -> None:
        self.device = device
        self.place = Place(
            name=device.name,
            subsystem="/sys/class/spidev",
            major=MAJOR,
            minor=minor,
            is_denied=device.is_denied,
        )
        self.bench = bench
        self.buffer_bytes = buffer_bytes
        self.is_gone = False
        self.mode = 0
        self.bits = 8
        self.hz = device.max_speed_hz
        self.files = 0

    def open(self) -> "SpiFile":
        self.files += 1
        self.record(SpiOpened)
        return SpiFile(self)

    def close(self) -> None:
        self.files -= 1
        self.record(SpiClosed)
        if not self.files:
            self.hz = self.device.max_speed_hz

    def record(self, kind: type[SpiOpened | SpiClosed]) -> None:
        self.bench.record(kind, bus=self.device.bus, device=self.device.device)

    def set_mode(self, mode: int) -> None:
        if mode & ~self.device.mode_bits:
            raise refused(errno.EINVAL, "the controller cannot do that mode")
        self.mode = mode

    def set_bits(self, bits: int) -> None:
        if bits not in self.device.word_bits:
            raise refused(errno.EINVAL, "the controller cannot do such words")
        self.bits = bits

    def set_hz(self, hz: int) -> None:
        if not hz:
            raise refused(errno.EINVAL)
        self.hz = hz

    def clock(self, data: bytes, *, hz: int = 0, bits: int = 0, stays_selected: bool) -> bytes:
        """Clock one transfer."""
        bits = bits or self.bits
        word_bytes = 1 if bits <= 8 else 2 if bits <= 16 else 4
        if bits not in self.device.word_bits or len(data) % word_bytes:
            raise refused(errno.EINVAL)
        has_select = not self.mode & NO_CS
        return self.bench.transfer(
            bus=self.device.bus,
            device=self.device.device,
            sent=data,
            mode=self.mode & MODE_NUMBER,
            hz=min(hz or self.hz, self.device.max_speed_hz),
            lsb_first=bool(self.mode & LSB_FIRST),
            bits_per_word=bits,
            hardware_select=has_select,
            select_is_high=bool(self.mode & CS_HIGH),
            stays_selected=has_select and stays_selected,
        )


class SpiFile(OpenFile):
    """An open `/dev/spidevX.Y`."""

    def __init__(self, driver: SpiDriver) -> None:
        self.driver = driver
        self.place = driver.place

    def _check_there(self) -> None:
        if self.driver.is_gone:
            raise refused(errno.ESHUTDOWN)

    def ioctl(self, request: int, payload: bytes) -> bytes:
        self._check_there()
        driver = self.driver
        if request == _read(1, 1):
            return _BYTE.pack(driver.mode & 0xFF)
        if request == _read(5, 4):
            return _WORD.pack(driver.mode)
        if request == _read(2, 1):
            return _BYTE.pack(bool(driver.mode & LSB_FIRST))
        if request == _read(3, 1):
            return _BYTE.pack(driver.bits)
        if request == _read(4, 4):
            return _WORD.pack(driver.hz)
        value = int.from_bytes(payload, "little")
        if request == _write(1, 1):  # leaves the upper bits as they are
            driver.set_mode(driver.mode & ~0xFF & ALL_MODE_BITS | value)
        elif request == _write(5, 4):
            driver.set_mode(value)
        elif request == _write(2, 1):
            driver.set_mode(driver.mode & ~LSB_FIRST | (LSB_FIRST if value else 0))
        elif request == _write(3, 1):
            driver.set_bits(value)
        elif request == _write(4, 4):
            driver.set_hz(value)
        else:
            raise refused(errno.EINVAL)
        return b""

    def message(self, size: int, payload: bytes) -> Answer:
        self._check_there()
        if size % _TRANSFER.size:
            raise refused(errno.EINVAL)
        transfers = _Asked.decode_all(payload[:size])
        self._check_room([one.length for one in transfers if one.tx])
        self._check_room([one.length for one in transfers if one.rx])
        at, received = size, b""
        for one in transfers:
            sent = payload[at : at + one.length] if one.tx else bytes(one.length)
            at += one.length if one.tx else 0
            got = self.driver.clock(
                sent,
                hz=one.hz,
                bits=one.bits,
                # At the end it goes, and between transfers it stays; cs_change turns both round.
                stays_selected=one.cs_change == (one is transfers[-1]),
            )
            received += got if one.rx else b""
        return Answer(sum(one.length for one in transfers), received)

    def _check_room(self, lengths: list[int]) -> None:
        if sum(-(-length // DMA_ALIGNMENT) * DMA_ALIGNMENT for length in lengths) > self._room:
            raise refused(errno.EMSGSIZE)

    @property
    def _room(self) -> int:
        return self.driver.buffer_bytes

    def read(self, count: int, has_byte: bool) -> Answer:
        if count > self._room:
            raise refused(errno.EMSGSIZE)
        self._check_there()
        return Answer(0, self.driver.clock(bytes(count), stays_selected=False))

    def write(self, data: bytes, count: int) -> int:
        if count > self._room:
            raise refused(errno.EMSGSIZE)
        self._check_there()
        self.driver.clock(data, stays_selected=False)
        return count

    def close(self) -> None:
        self.driver.close()
