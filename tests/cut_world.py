"""A meter, an upload to it, and a cut somewhere on the way: what stands then, and after a retry.

Everything is real but the time: the client with its journal on disk, the link, the meter and its
flash. A cut strikes once, after so many bytes of one frame, or of one write to flash.
"""

import io
import os
import random
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest

from tests.certificates.pki import ROOT
from tests.virtual.bench import START_UNIX_S
from tests.virtual.parties import SERVICE, role_key
from tests.virtual.uploads import by_maker, knowing, with_mac
from umi_cli import crypto
from umi_cli.application.commands import ImageData
from umi_cli.application.payload import Command, Payload
from umi_cli.certificates.trust import Anchor, Trust
from umi_cli.device.credentials import Scheme1Credentials, Scheme2Credentials
from umi_cli.device.image_upload import (
    UploadResult,
    first_block_bytes,
    look_after,
    read_running,
    upload,
)
from umi_cli.device.meter import Meter
from umi_cli.device.protection import Protection, Unprotected
from umi_cli.device.protection1 import Scheme1
from umi_cli.device.protection2 import Scheme2
from umi_cli.device.session import Session
from umi_cli.device.upload_journal import UploadJournal, learn_block_bytes, learned_block_bytes
from umi_cli.errors import ImageError, RefusedError, UmiError
from umi_cli.images.header import Version
from umi_cli.images.upload import Transfer
from umi_cli.objects.catalogue import Catalogue
from umi_cli.transports.memory import MemoryTransport, SimulatedClock
from umi_cli.types import Role
from umi_cli.virtual.device import MeterSettings, VirtualMeter
from umi_cli.virtual.faults import FaultInjector, FaultRates
from umi_cli.virtual.flash import Flash, Write
from umi_cli.virtual.line import MeterLine
from umi_cli.virtual.slots import BootRecord, NoImageError, Slots, delivered_flash
from umi_cli.virtual.updates import UpdateSettings

R = TypeVar("R", bound=Payload)

OLD_VERSION, NEW_VERSION = Version(1, 4, 3), Version(1, 5, 0)
BLOCK_BYTES = 300  # two fragments each; three blocks make the package
IMAGE = bytes(range(256)) * 2 + b"the end"
OLD = with_mac(str(OLD_VERSION), image=b"what was there before")
NEW = {
    0: with_mac(str(NEW_VERSION), image=IMAGE),
    1: with_mac(str(NEW_VERSION), image=IMAGE),
    2: by_maker(str(NEW_VERSION), image=IMAGE),
}
"""What is uploaded, under each scheme."""
RUN_BOUND_S = 600.0  # six tries of a block, each of four RESYNCs of three frames; and some more
ACTIVATE_AFTER_S = 5
WAIT_S = 10.0  # for what is activated later
CATALOGUE = Catalogue.load("ei4")


def _updated_flash() -> list[Write]:
    """Return the flash of a meter that was updated before: both slots are full."""
    flash = delivered_flash()
    slots = Slots(flash)
    slots.begin(len(OLD))
    slots.add(OLD)
    slots.switch(OLD_VERSION, "EISGMv0")
    return flash.snapshot()


UPDATED_FLASH = _updated_flash()


class Kind(Enum):
    """What is cut."""

    POWER = "power"
    """The meter's power; it comes back later."""
    KILL = "kill"
    """The life of our program: all is lost but the journal."""
    HANG_UP = "hang-up"
    """The connection; another one is made."""
    TORN = "torn"
    """The meter's power, while it writes to its flash."""


class Case(Enum):
    """What the upload finds."""

    FRESH = "fresh"
    """A meter that waits for nothing."""
    HALF = "half"
    """A transfer that an earlier run has left after its first block."""
    FORGOTTEN = "forgotten"
    """The same, but somebody has aborted it meanwhile."""
    LATER = "later"
    """A meter that runs what it has accepted a little later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Where what is cut."""

    kind: Kind
    place: int
    """Which frame, or which write, counted from 0."""
    offset: int
    """After how many bytes of it; of a write, -1 is before it."""
    pause_s: float
    """How long the power is away, or until the upload is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A frame that passed in a run without a cut."""

    is_ours: bool
    length_bytes: int
    during: str
    """The command that it belongs to."""


class Killed(BaseException):
    """Our program is gone: nothing of it may catch this."""


class Hung(BaseException):
    """A run does not end."""


@dataclass(slots=True)
class Knife:
    """Counts what passes, and strikes once.

    Args:
        cut: where; nowhere if None.
    """

    cut: Cut | None = None
    has_struck: bool = False
    during: str = ""
    frames: list[Frame] = field(default_factory=list)
    writes: list[int] = field(default_factory=list)
    """How long each is."""

    def on_frame(self, data: bytes, *, is_ours: bool) -> int | None:
        """Return after how many bytes of a frame the cut is; None if it is elsewhere."""
        frame = Frame(is_ours=is_ours, length_bytes=len(data), during=self.during)
        self.frames.append(frame)
        is_torn = self.cut is not None and self.cut.kind is Kind.TORN
        return None if is_torn else self._strike(len(self.frames) - 1)

    def on_write(self, length_bytes: int) -> int | None:
        """Return after how many bytes of a write the power is lost; None if it stays."""
        self.writes.append(length_bytes)
        is_torn = self.cut is not None and self.cut.kind is Kind.TORN
        return self._strike(len(self.writes) - 1) if is_torn else None

    def _strike(self, place: int) -> int | None:
        if self.cut is None or self.has_struck or self.cut.place != place:
            return None
        self.has_struck = True
        return self.cut.offset


class Supply(FaultInjector):
    """The power of a meter, which a knife may cut while flash is written."""

    def __init__(self, knife: Knife, on_cut: Callable[[], None]) -> None:
        super().__init__(FaultRates(), 0)
        self.knife = knife
        self._on_cut = on_cut

    def tear(self, length_bytes: int) -> int | None:
        return self.knife.on_write(length_bytes)

    def off_s(self) -> float:
        assert self.knife.cut is not None
        self._on_cut()
        return self.knife.cut.pause_s


class CutTransport(MemoryTransport):
    """A port that a knife cuts.

    Args:
        world: whose meter is at the other end.
        line: to that meter.
        knife: says where.
    """

    def __init__(self, world: "World", line: MeterLine, knife: Knife) -> None:
        super().__init__(line, clock=world.clock)
        self._world = world
        self._knife = knife
        self._is_dead = False
        self._until = world.clock.monotonic() + RUN_BOUND_S

    def send(self, data: bytes) -> None:
        self._check_alive()
        offset = self._knife.on_frame(data, is_ours=True)
        if offset is None:
            return super().send(data)
        if offset:
            super().send(data[:offset])
        self._cut()
        return None

    def receive(self, deadline: float) -> bytes:
        self._check_alive()
        data = super().receive(deadline)
        if not data:
            return data
        offset = self._knife.on_frame(data, is_ours=False)
        if offset is None:
            return data
        self._cut()
        return data[:offset]

    def close(self) -> None:
        """Leave the line as it is: nobody tells a meter on a serial line."""

    def _cut(self) -> None:
        assert self._knife.cut is not None
        self._world.note_cut()
        if self._knife.cut.kind is Kind.POWER:
            self._world.lose_power(self._knife.cut.pause_s)
        elif self._knife.cut.kind is Kind.HANG_UP:
            self._world.line.is_hung_up = True
        else:
            self._is_dead = True
            self._check_alive()

    def _check_alive(self) -> None:
        if self._is_dead:
            raise Killed
        if self.clock.monotonic() > self._until:
            raise Hung


class MarkedSession(Session):
    """A session that tells which command is under way."""

    knife: Knife

    def request(self, command: Command[R], *, is_signed: bool = False) -> R:
        number = f" {command.number}" if isinstance(command, ImageData) else ""
        self.knife.during = f"{type(command).__name__}{number}"
        try:
            return super().request(command, is_signed=is_signed)
        finally:
            self.knife.during = ""


class World:
    """A meter, the place where our journal is, and the time.

    Args:
        scheme: the security scheme of the upload.
        case: what it finds.
        directory: for the journal; empty.
    """

    def __init__(self, scheme: int, case: Case, directory: Path) -> None:
        self.scheme, self.case = scheme, case
        self.directory = directory
        self.new = NEW[scheme]
        self.clock = SimulatedClock(START_UNIX_S)
        self.memory = knowing()
        self.memory.flash = Flash(UPDATED_FLASH)
        self.memory.ran = Slots(self.memory.flash).running.generation
        self.meter = VirtualMeter(
            MeterSettings(
                guest_role=Role.GUEST if scheme else Role.SERVICE,
                updates=UpdateSettings(
                    activate_after_s=ACTIVATE_AFTER_S if case is Case.LATER else 0
                ),
            ),
            self.memory,
        )
        self.violations: list[str] = []
        self.line = self._new_line()
        self._off_until = 0.0
        self._kept: dict[str, bytes] = {}
        if case in (Case.HALF, Case.FORGOTTEN):
            self._leave_half()

    def _new_line(self) -> MeterLine:
        self._supply = Supply(Knife(), self.note_cut)
        return MeterLine(self.meter, os.urandom(8).hex(), supply=self._supply)

    def _leave_half(self) -> None:
        """Have a run killed after its first block was acknowledged."""
        frames = reference(self.scheme, Case.FRESH).frames
        second = next(n for n, each in enumerate(frames) if each.during == "ImageData 1")
        self.run(Knife(Cut(kind=Kind.KILL, place=second, offset=0, pause_s=0.0)))
        self.recover(Kind.KILL, 1.0)
        if self.case is Case.FORGOTTEN:
            self.meter.updates.abort()

    # What may happen

    def note_cut(self) -> None:
        """Look at what stands at the moment of a cut."""
        self._kept = {path.name: path.read_bytes() for path in self.directory.iterdir()}
        self._check_journal()

    def lose_power(self, off_s: float) -> None:
        self.meter.lose_power(self.clock.monotonic() + off_s)
        self.line.start_over()

    def recover(self, kind: Kind, pause_s: float) -> None:
        """Bring back what was cut."""
        if kind is Kind.KILL:  # what our program wrote after its death was never written
            for path in self.directory.iterdir():
                path.unlink()
            for name, content in self._kept.items():
                if name.startswith(str(self.memory.umi_id)):
                    (self.directory / name).write_bytes(content)
        if kind is Kind.HANG_UP:
            self.line.close()
            self.line = self._new_line()
        self.clock.sleep(pause_s)

    # The upload

    def run_cut(self, cut: Cut) -> bool:
        """Upload, cut there, and bring back what was cut; return whether the cut has struck."""
        knife = Knife(cut)
        self.run(knife)
        self.check_boots()
        if knife.has_struck:
            self.recover(cut.kind, cut.pause_s)
        return knife.has_struck

    def run(self, knife: Knife | None = None) -> UploadResult | UmiError | None:
        """Upload once; return what came of it, None if our program was killed."""
        knife = knife or Knife()
        self._supply.knife = knife
        transport = CutTransport(self, self.line, knife)
        session = MarkedSession(
            transport, own_id=SERVICE.umi_id, protection=_protection(self.scheme)
        )
        session.knife = knife
        meter = Meter(transport, session, CATALOGUE)
        try:
            with meter:
                result = self._upload(meter)
                self._check_claims(result)
                return result
        except UmiError as error:
            return error
        except Killed:
            return None
        except Hung:
            self._violation(f"the upload does not end within {RUN_BOUND_S} s")
            return None

    def _upload(self, meter: Meter) -> UploadResult:
        """Do what `umi image upload --wait` does, once the package is verified."""
        device = meter.device_id
        assert device is not None
        before = read_running(meter)
        result = UploadResult(before=before, after=before)
        journal = UploadJournal(self.directory, device, crypto.sha256(self.new), len(self.new))
        if before.version == NEW_VERSION:
            journal.forget()
            return result
        model = before.model or ""
        size = first_block_bytes(meter, learned_block_bytes(self.directory, model))
        transfer = Transfer(
            file=io.BytesIO(self.new),
            length_bytes=len(self.new),
            sha256=crypto.sha256(self.new),
            request=lambda _: None,
            keep=journal.keep,
        )
        try:
            upload(
                meter,
                transfer,
                version=NEW_VERSION,
                block_bytes=min(size, BLOCK_BYTES),
                state=journal.load(),
                result=result,
                wait_s=WAIT_S,
            )
        except (ImageError, RefusedError):
            journal.forget()
            raise
        journal.forget()
        learn_block_bytes(self.directory, model, result.course.block_bytes)
        look_after(meter, result, NEW_VERSION, wait_s=WAIT_S)
        return result

    # What must hold

    def _violation(self, text: str) -> None:
        self.violations.append(text)

    def _image(self, record: BootRecord) -> bytes:
        return self.memory.flash.content(record.slot, 0, record.length_bytes)

    def check_boots(self) -> None:
        """Make sure that a meter without power would boot one of the two images, whole."""
        try:
            record = Slots(Flash(self.memory.flash.snapshot())).running
        except NoImageError as error:
            self._violation(f"nothing boots: {error}")
            return
        known = {OLD_VERSION: OLD, NEW_VERSION: self.new}
        if self._image(record) != known.get(record.version):
            self._violation(f"what boots as {record.version} is not that image")

    def check_done(self, result: UploadResult | UmiError | None) -> None:
        """Make sure that an upload without a cut has come to its end."""
        if not isinstance(result, UploadResult):
            self._violation(f"the upload after the cut failed: {result!r}")
        elif result.after.version != NEW_VERSION:
            self._violation(f"the upload after the cut ended with {result}")
        running = self.meter.updates.running
        if running.version != NEW_VERSION or self._image(running) != self.new:
            self._violation(f"{running.version} runs in the end")
        if left := [path.name for path in self.directory.iterdir() if path.name != "blocks.json"]:
            self._violation(f"the journal is still there: {left}")
        self.check_boots()

    def _check_claims(self, result: UploadResult) -> None:
        """Make sure that a run has reported nothing that is not so."""
        slots = Slots(Flash(self.memory.flash.snapshot()))
        has_taken = self._image(slots.running) == self.new
        is_running = self._image(self.meter.updates.running) == self.new
        was_there = result.before.version == NEW_VERSION
        if not (result.is_accepted or was_there):
            self._violation(f"an upload ended well that does not know how: {result}")
        says_running = result.is_activated or result.after.version == NEW_VERSION
        if result.is_accepted and not has_taken:
            self._violation("the image was reported to be accepted, and is not there")
        if says_running and not is_running:
            self._violation("the image was reported to run, and does not")

    def _check_journal(self) -> None:
        """Make sure that the journal is not ahead of the meter."""
        journal = UploadJournal(
            self.directory, self.memory.umi_id, crypto.sha256(self.new), len(self.new)
        )
        state = journal.load()
        slots = Slots(Flash(self.memory.flash.snapshot()))
        if state is None or slots.running.version == NEW_VERSION:
            return
        has_blocks = slots.transfer.blocks if slots.transfer else 0
        if state.next_number > has_blocks and self.case is not Case.FORGOTTEN:
            self._violation(f"the journal says {state.next_number} blocks, the meter {has_blocks}")


def _protection(scheme: int) -> Protection:
    if scheme == 1:
        return Scheme1(Scheme1Credentials(role=Role.SERVICE, key=role_key(Role.SERVICE)))
    if scheme == 2:
        trust = Trust(anchors=(Anchor.of(ROOT),))
        return Scheme2(
            Scheme2Credentials(signer=SERVICE.key, chain=(SERVICE.certificate,), trust=trust)
        )
    return Unprotected()


@cache
def reference(scheme: int, case: Case) -> Knife:
    """Return what passes when nothing is cut."""
    knife = Knife()
    with TemporaryDirectory() as directory:
        world = World(scheme, case, Path(directory))
        world.check_done(world.run(knife))
    assert not world.violations, world.violations
    return knife


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw salts, nonces and first numbers from a seed, so that a run can be run again."""
    chance = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "urandom", chance.randbytes)
        patch.setattr(secrets, "randbelow", chance.randrange)
        yield
