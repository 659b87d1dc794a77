"""What does each system call of the program under test do? The part of the kernel above drivers."""

import errno
import fcntl
import stat
from collections.abc import Iterable
from typing import Protocol

from tests.rig.drivers import OpenFile, Place, refused
from tests.rig.gpio import ChipDriver, ChipFile, GpioChip, Line, LinesFile
from tests.rig.spi import SpiDevice, SpiDriver
from tests.rig.wire import IS_DEVICE, IS_FILE, Answer, Question, What, encode_seen
from tests.rig.world import Bench

BUFFER_FILE = "/sys/module/spidev/parameters/bufsiz"
CHARACTER_DEVICES = "/sys/dev/char/"


class Descriptor(Protocol):
    """What the program holds an open file by."""

    def notify(self) -> None:
        """Make it readable."""

    def hang_up(self) -> None:
        """Make it readable for ever, with nothing to be read."""


class Kernel:
    """The devices of a board, and the files that programs have open.

    Args:
        chips: the GPIO chips.
        devices: the SPI devices.
        buffer_bytes: the longest SPI message.
        bench: the log and the world.
    """

    def __init__(
        self,
        chips: Iterable[GpioChip],
        devices: Iterable[SpiDevice],
        buffer_bytes: int,
        bench: Bench,
    ) -> None:
        self.drivers: dict[str, ChipDriver | SpiDriver] = {}
        for chip in chips:
            self.drivers[f"/dev/{chip.name}"] = ChipDriver(chip, bench)
        for minor, device in enumerate(devices):
            self.drivers[f"/dev/{device.name}"] = SpiDriver(device, minor, buffer_bytes, bench)
        self.texts = {BUFFER_FILE: f"{buffer_bytes}\n".encode()}
        self.files: dict[int, tuple[OpenFile, Descriptor]] = {}
        self.locks: dict[Place, dict[int, int]] = {}

    def answer(self, question: Question, asker: Descriptor) -> Answer:
        """Do what the shim asks for.

        Args:
            question: of the shim.
            asker: by whom the program will hold the file that the question opens, if it does.

        Raises:
            OSError: it fails with that errno.
        """
        number, argument, payload = question.object, question.argument, question.payload
        match question.what:
            case What.OPEN:
                return self._open(payload.decode(), number, asker)
            case What.LINES:
                chip = self._file(argument)
                if not isinstance(chip, ChipFile):
                    raise refused(errno.ENOTTY)
                self.files[number] = (chip.request(payload, asker.notify), asker)
                return Answer(0, payload)
            case What.STAT:
                return Answer(0, self._seen(payload.decode(), number))
            case What.LIST:
                names = [driver.place.name for driver in self.drivers.values()]
                return Answer(0, b"".join(name.encode() + b"\0" for name in names))
            case What.RESOLVE:
                return Answer(0, self._resolve(payload.decode()).encode())
            case What.IOCTL:
                return Answer(0, self._file(number).ioctl(argument, payload))
            case What.MESSAGE:
                return self._file(number).message(argument, payload)
            case What.READ:
                return self._file(number).read(argument, question.has_byte)
            case What.WRITE:
                return Answer(self._file(number).write(payload, argument))
            case What.FLOCK:
                self._lock(number, argument)
                return Answer()

    def hang_up(self, number: int) -> None:
        """Close a file: its last descriptor is gone."""
        if number in self.files:
            file, _ = self.files.pop(number)
            for holders in self.locks.values():
                holders.pop(number, None)
            file.close()

    def unplug(self, path: str) -> None:
        """Take a device away; the files of it that are open fail from now on."""
        driver = self.drivers.pop(path)
        driver.is_gone = True
        for file, descriptor in tuple(self.files.values()):
            if isinstance(file, LinesFile) and file.driver is driver:
                file.close()
                descriptor.hang_up()

    def line(self, name: str, chip: str | None) -> tuple[ChipDriver, Line]:
        """Find the one line of that name, on the chip of that label if one is given."""
        ((driver, line),) = [
            (driver, line)
            for driver in self.drivers.values()
            if isinstance(driver, ChipDriver) and chip in (None, driver.chip.label)
            for line in driver.lines
            if line.name == name
        ]
        return driver, line

    def _file(self, number: int) -> OpenFile:
        if number not in self.files:
            raise refused(errno.ENODEV)
        return self.files[number][0]

    def _driver(self, path: str) -> ChipDriver | SpiDriver:
        if path not in self.drivers:
            raise refused(errno.ENOENT)
        return self.drivers[path]

    def _open(self, path: str, number: int, asker: Descriptor) -> Answer:
        if path in self.texts:
            return Answer(IS_FILE, self.texts[path])
        driver = self._driver(path)
        if driver.place.is_denied:
            raise refused(errno.EACCES)
        self.files[number] = (driver.open(), asker)
        return Answer(IS_DEVICE)

    def _seen(self, path: str, number: int) -> bytes:
        """Tell what `stat` shows of a path, or of an open file if there is none."""
        if path in self.texts:
            size = len(self.texts[path])
            return encode_seen(mode=stat.S_IFREG | 0o444, major=0, minor=0, size=size)
        if path:
            return self._driver(path).place.seen
        place = self._file(number).place
        if place is None:
            raise refused(errno.ENODEV)
        return place.seen

    def _resolve(self, path: str) -> str:
        if not path.startswith(CHARACTER_DEVICES):
            if path not in self.texts:
                self._driver(path)
            return path
        device, _, rest = path.removeprefix(CHARACTER_DEVICES).partition("/")
        for driver in self.drivers.values():
            if device == f"{driver.place.major}:{driver.place.minor}" and rest == "subsystem":
                return driver.place.subsystem
        raise refused(errno.ENXIO)

    def _lock(self, number: int, operation: int) -> None:
        """Do what `flock` does without waiting."""
        place = self._file(number).place
        if place is None:
            raise refused(errno.EINVAL)
        holders = self.locks.setdefault(place, {})
        others = {kind for holder, kind in holders.items() if holder != number}
        if operation == fcntl.LOCK_UN:
            holders.pop(number, None)
        elif others and (operation == fcntl.LOCK_EX or fcntl.LOCK_EX in others):
            raise refused(errno.EWOULDBLOCK)
        else:
            holders[number] = operation
