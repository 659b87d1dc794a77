"""How does a virtual meter take a new image, and when does it run it? (protocol 3.2, 7)

What has come, what was accepted and what boots stands in flash (`slots`). Here is what the meter
says to each command, and the moment at which an accepted image is run.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum

from umi_cli.application.codes import ResultCode
from umi_cli.errors import InputError
from umi_cli.images.header import ImageHeader, ImageLabel
from umi_cli.types import Role, RoleSet
from umi_cli.virtual.event_log import EventNumber
from umi_cli.virtual.examination import Examined, Examiner, Rejection
from umi_cli.virtual.flash import SLOT_BYTES
from umi_cli.virtual.memory import Memory
from umi_cli.virtual.refusal import Refusal
from umi_cli.virtual.security import Security
from umi_cli.virtual.slots import BootRecord, Slots

VERSION_OBJECT = "active-software-version"
DEFAULT_MAX_BLOCK_BYTES = 16_384

# choice: who may carry an image to the meter; whether it is taken is a matter of its signature
UPLOADERS = RoleSet.of(
    Role.SERVICE, Role.MANUFACTURER, Role.SOFTWARE_PROVIDER, Role.UTILITY_SUPPLIER
)
# choice: protocol 7: "an older one is refused unless its role allows it"; the commander's role
MAY_GO_BACK = RoleSet.of(Role.MANUFACTURER)


class UpgradeReason(IntEnum):
    """What event 2 says of a software upgrade (protocol 4)."""

    STARTED = 0
    COMPLETED = 1
    FAILED = 2
    REJECTED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateSettings:
    """How a meter takes images."""

    max_block_bytes: int = DEFAULT_MAX_BLOCK_BYTES
    """The longest block that it takes."""
    activate_after_s: float = 0.0
    """How long after it was accepted an image is run; a restart does not wait for that."""


PartReceiver = Callable[[ImageHeader, bytes], bool]
"""Takes the device package of a product for another device; False if it knows no such device.

It may raise `Refusal`: nothing is switched then, though parts may have been taken before.
"""


class Updates:
    """The images of a meter.

    Args:
        memory: what survives a power cut, flash included.
        security: the guard of the meter.
        settings: how it takes images.
        on_restart: called when another image begins to run without a power cut.
    """

    def __init__(
        self,
        memory: Memory,
        security: Security,
        settings: UpdateSettings,
        on_restart: Callable[[], None],
    ) -> None:
        self.due: float | None = None
        """When the accepted image is to be run: seconds, monotonic."""
        self.receivers: list[PartReceiver] = []
        """Offered the parts of a product that are not for the meter, each in turn."""
        self._memory = memory
        self._security = security
        self._settings = settings
        self._on_restart = on_restart
        self._now = 0.0
        self._examiner = Examiner(memory, security)
        self.slots = Slots(memory.flash)
        self._show()

    @property
    def running(self) -> BootRecord:
        """Return what the meter runs."""
        return self.slots.running

    def lose_power(self) -> None:
        """Forget when to run what was accepted: it runs when the power is back."""
        self.due = None

    def boot(self) -> None:
        """Start the newest image that is whole."""
        self.due = None
        self.slots.boot()
        self._show()

    def advance(self, now: float) -> None:
        """Let time pass: run what is due at `now` (seconds, monotonic)."""
        self._now = now
        if self.due is not None and self.due <= now:
            self._activate()
        self._note_running()

    def start(self, length_bytes: int) -> bool:
        """Begin a transfer; tell whether one was under way, which is forgotten."""
        if not length_bytes:
            raise Refusal(ResultCode.INVALID_LENGTH)
        if length_bytes > SLOT_BYTES:
            raise Refusal(ResultCode.TOO_LONG)
        # choice: an image that was accepted and waits gives way to the next one
        was_under_way, self.due = self.slots.transfer is not None, None
        self.slots.begin(length_bytes)
        self._log(UpgradeReason.STARTED)
        return was_under_way

    def add(self, number: int, data: bytes) -> None:
        """Take a block; `Refusal` says why not, and nothing is written then."""
        transfer = self.slots.transfer
        if transfer is None:
            raise Refusal(ResultCode.IMAGE_PROCESSING_ERROR)
        if len(data) > self._settings.max_block_bytes:
            raise Refusal(ResultCode.TOO_LONG)
        if number == transfer.blocks - 1 and data == self.slots.last_block():
            return  # its answer was lost: it was written, and is not written twice
        if number != transfer.blocks:
            raise Refusal(ResultCode.INVALID_VALUE)
        left = transfer.length_bytes - transfer.received_bytes
        wanted = min(transfer.block_bytes or len(data), left)
        if not data or len(data) != wanted:
            raise Refusal(ResultCode.INVALID_LENGTH)
        self.slots.add(data)

    def abort(self) -> None:
        """Forget the transfer."""
        # choice: there may be none; whoever aborts twice has what he wants
        if self.slots.transfer:
            self.slots.forget()
            self._log(UpgradeReason.FAILED)

    def finish(self, role: Role) -> None:
        """Check what has come, and have it run, now or later.

        Raises:
            Refusal: it is not taken, and forgotten; or not all of it has come yet.
        """
        transfer = self.slots.transfer
        if transfer is None or not transfer.is_complete:
            raise Refusal(ResultCode.IMAGE_PROCESSING_ERROR)
        try:
            label = self._judge(role)
        except Refusal as refusal:
            self.slots.forget()
            is_damaged = isinstance(refusal, Rejection) and refusal.is_damaged
            reason = UpgradeReason.FAILED if is_damaged else UpgradeReason.REJECTED
            self._log(reason, refusal.code)
            raise
        if label is None:  # all of it was for other devices
            self.slots.forget()
            self._log(UpgradeReason.COMPLETED)
            return
        self.slots.switch(label.version, label.model)
        self.due = self._now + self._settings.activate_after_s
        if not self._settings.activate_after_s:
            self._activate()
            self._note_running()

    def _judge(self, role: Role) -> ImageLabel | None:
        """Return the label of the image that came for this meter; `Refusal` if none is taken."""
        newer_than = None if role in MAY_GO_BACK else self.running.version
        examined = self._examiner.examine(self.slots.package(), newer_than)
        has_taken = self._hand_over(examined)
        if examined.label is None and not has_taken:
            raise Refusal(ResultCode.NOT_IMPLEMENTED)  # choice: there is no device for it here
        return examined.label

    def _hand_over(self, examined: Examined) -> bool:
        """Offer the parts for other devices to who knows them; tell whether one was taken."""
        taken = [
            any(take(header, part) for take in self.receivers) for header, part in examined.parts
        ]
        return any(taken)

    def _activate(self) -> None:
        # choice: the meter restarts between two packets: lines and sessions outlive it
        self.boot()
        self._on_restart()

    def _note_running(self) -> None:
        """Log that another image runs than before, whatever made it run.

        choice: that is when an upgrade is completed; that it was accepted says the answer.
        """
        if self._memory.ran != self.running.generation:
            self._memory.ran = self.running.generation
            self._log(UpgradeReason.COMPLETED)

    def _log(self, reason: UpgradeReason, error: ResultCode = ResultCode.OK) -> None:
        data = bytes([reason, error])
        self._memory.events.add(EventNumber.SOFTWARE_UPGRADE, self._security.now_s, data)

    def _show(self) -> None:
        """Put into the object of the active version what runs."""
        definition = self._memory.store.find(VERSION_OBJECT)
        if definition is None:
            return
        with suppress(InputError):  # a datasheet may have something else under the name
            self._memory.store.values[definition.code] = definition.type.encode(
                version_of(self.running), definition.name
            )


def version_of(record: BootRecord) -> Mapping[str, object]:
    """Return what umi.1.1.0.2 says of an image."""
    version = record.version
    return {
        "major": version.major,
        "minor": version.minor,
        "bugfix": version.bugfix,
        "slot": record.slot,
        "crc": record.crc,
        "details": record.details,
    }
