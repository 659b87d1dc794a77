"""What a virtual meter keeps through a power cut, and how it looks in a state file."""

import json
import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from umi_cli import wire
from umi_cli.errors import InputError, UmiError
from umi_cli.objects.catalogue import Catalogue
from umi_cli.types import RoleSet, UmiCode, UmiId
from umi_cli.virtual.event_log import MAX_PUBLISHED, EventLog
from umi_cli.virtual.flash import Flash
from umi_cli.virtual.lockout import Lockout
from umi_cli.virtual.profile import LoadProfile
from umi_cli.virtual.replay import ReplayGuard
from umi_cli.virtual.slots import DELIVERED, delivered_flash
from umi_cli.virtual.store import Access, ObjectStore
from umi_cli.virtual.vault import Vault

SCHEMA = "umi-state/1"
_WRONG_CONTENT = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    struct.error,
    UmiError,
)


@dataclass(slots=True, kw_only=True)
class Memory:
    """The non-volatile memory of a virtual meter.

    The state file holds all of it but `flash`, which has a file of its own (see `slots_file`).
    """

    umi_id: UmiId
    datasheet: str
    """Name or file of the datasheet whose objects the meter has."""
    store: ObjectStore
    profile: LoadProfile
    events: EventLog = field(default_factory=EventLog)
    replay: ReplayGuard = field(default_factory=ReplayGuard)
    vault: Vault = field(default_factory=Vault)
    lockout: Lockout = field(default_factory=Lockout)
    flash: Flash = field(default_factory=delivered_flash)
    slots_token: str | None = None
    """Which file holds the flash; None: none does."""
    ran: int = DELIVERED.generation
    """The generation of the image that ran last."""
    clock_offset_s: float = 0.0
    """What the meter's clock is ahead of UTC."""
    synced_s: int = 0
    """When the clock was set last, as a UMI datetime."""
    known_events: int = 0
    """The events that can be subscribed to: bit n stands for event n."""
    is_new: bool = True
    """Whether the meter has never run."""

    def dump(self) -> str:
        """Return the memory as JSON."""
        store = self.store
        return json.dumps(
            {
                "schema": SCHEMA,
                "umi_id": str(self.umi_id),
                "datasheet": self.datasheet,
                "clock_offset_s": self.clock_offset_s,
                "synced_s": self.synced_s,
                "objects": {str(code): value.hex() for code, value in store.values.items()},
                "access": {
                    str(code): [access.read.bits, access.write.bits]
                    for code, access in store.access.items()
                },
                "profile": {
                    "records": self.profile.records,
                    "due_s": self.profile.due_s,
                    "next_status": self.profile.next_status,
                },
                "events": {"records": self.events.records, "active": self.events.active},
                "replay": self.replay.answers,
                "vault": self.vault.dump(),
                "lockout": [self.lockout.failures, self.lockout.locked_until_s],
                "slots": self.slots_token,
                "ran": self.ran,
            },
            separators=(",", ":"),
        )


def load_memory(text: str, origin: str, datasheet: str | None = None) -> Memory:
    """Return the memory that a state file holds.

    Args:
        text: the file's content.
        origin: what to call the file in an error.
        datasheet: whose objects the meter has; others in the file are left out. What the file
            says if None.

    Raises:
        InputError: it is no state file, or the datasheet is unusable.
    """
    try:
        if not text.strip():
            raise ValueError("it is empty")
        content = json.loads(text)
        if content["schema"] != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        source = datasheet or str(content["datasheet"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _unusable(origin, error) from error
    catalogue = Catalogue.load(source)
    try:
        return _from_json(content, source, catalogue)
    except _WRONG_CONTENT as error:
        raise _unusable(origin, error) from error


def _unusable(origin: str, error: Exception) -> InputError:
    return InputError(
        f"{origin} is no state file of a virtual meter: {_reason(error)}",
        hint="name another file, or move this one away to begin with a new meter",
    )


def _reason(error: Exception) -> str:
    """Return what is wrong with a state file, in the words of its user."""
    match error:
        case json.JSONDecodeError():
            return f"not JSON from line {error.lineno}, column {error.colno} on"
        case KeyError():
            return f"it lacks {error.args[0]!r:.60}"
        case RecursionError():
            return "it is nested too deep"
        case UmiError() | ValueError() | OverflowError():
            return f"{error}"
        case _:
            return "something in it is of the wrong kind"


def _from_json(content: dict[str, Any], source: str, catalogue: Catalogue) -> Memory:
    umi_id = UmiId.parse(content["umi_id"])
    store = ObjectStore(catalogue.objects)
    for text, value in content["objects"].items():
        if (code := UmiCode.parse(text)) in store.values:
            store.restore(code, bytes.fromhex(value))
    for text, (read, write) in content["access"].items():
        if (code := UmiCode.parse(text)) in store.access:
            store.access[code] = Access(read=RoleSet(int(read)), write=RoleSet(int(write)))
    profile, events = content["profile"], content["events"]
    failures, locked_until_s = content["lockout"]
    clock_offset_s = float(content["clock_offset_s"])
    if not math.isfinite(clock_offset_s):
        raise ValueError(f"the clock is ahead by {clock_offset_s} s")
    return Memory(
        umi_id=umi_id,
        datasheet=source,
        store=store,
        profile=LoadProfile(
            umi_id.value,
            profile["records"],
            due_s=None if profile["due_s"] is None else int(profile["due_s"]),
            next_status=_checked(profile["next_status"], wire.u16),
        ),
        events=EventLog(events["records"], _checked(events["active"], wire.u32)),
        replay=ReplayGuard(content["replay"]),
        vault=Vault.load(content["vault"]),
        lockout=Lockout(failures=int(failures), locked_until_s=int(locked_until_s)),
        # A file from before there were slots has neither: its meter runs what it was born with.
        slots_token=_token(content.get("slots")),
        ran=_checked(content.get("ran", DELIVERED.generation), wire.u32),
        clock_offset_s=clock_offset_s,
        synced_s=_checked(content["synced_s"], wire.u32),
        known_events=known_events(catalogue),
        is_new=False,
    )


def _token(text: Any) -> str | None:
    if text is not None and not re.fullmatch("[0-9a-f]{16}", text):
        raise ValueError(f"{text!r} names no file of slots")
    return None if text is None else str(text)


def _checked(number: Any, encode: Callable[[int], bytes]) -> int:
    """Return a number that will go on the wire; `OverflowError` if it does not fit there."""
    encode(int(number))
    return int(number)


def known_events(catalogue: Catalogue) -> int:
    """Return the events that can be subscribed to: bit n stands for event n."""
    return sum(1 << event.number for event in catalogue.events if event.number <= MAX_PUBLISHED)
