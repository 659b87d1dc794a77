"""What a virtual meter keeps through a power cut, and how it looks in a state file."""

import json
import struct
from dataclasses import dataclass, field
from typing import Any

from umi_cli.errors import InputError
from umi_cli.objects.catalogue import Catalogue
from umi_cli.types import RoleSet, UmiCode, UmiId
from umi_cli.virtual.event_log import MAX_PUBLISHED, EventLog
from umi_cli.virtual.profile import LoadProfile
from umi_cli.virtual.replay import ReplayGuard
from umi_cli.virtual.store import Access, ObjectStore

SCHEMA = "umi-state/1"


@dataclass(slots=True, kw_only=True)
class Memory:
    """The non-volatile memory of a virtual meter."""

    umi_id: UmiId
    datasheet: str
    """Name or file of the datasheet whose objects the meter has."""
    store: ObjectStore
    profile: LoadProfile
    events: EventLog = field(default_factory=EventLog)
    replay: ReplayGuard = field(default_factory=ReplayGuard)
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
                "profile": self.profile.records,
                "events": {"records": self.events.records, "active": self.events.active},
                "replay": self.replay.answers,
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
        content = json.loads(text)
        if content["schema"] != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        source = datasheet or str(content["datasheet"])
    except (ValueError, KeyError, TypeError) as error:
        raise _unusable(origin, error) from error
    catalogue = Catalogue.load(source)
    try:
        return _from_json(content, source, catalogue)
    except (ValueError, KeyError, TypeError, AttributeError, struct.error, InputError) as error:
        raise _unusable(origin, error) from error


def _unusable(origin: str, error: Exception) -> InputError:
    return InputError(
        f"{origin} is no state file of a virtual meter: {error!r}",
        hint="name another file, or move this one away to begin with a new meter",
    )


def _from_json(content: dict[str, Any], source: str, catalogue: Catalogue) -> Memory:
    umi_id = UmiId.parse(content["umi_id"])
    store = ObjectStore(catalogue.objects)
    for text, value in content["objects"].items():
        if (code := UmiCode.parse(text)) in store.values:
            store.values[code] = bytes.fromhex(value)
    for text, (read, write) in content["access"].items():
        if (code := UmiCode.parse(text)) in store.access:
            store.access[code] = Access(read=RoleSet(read), write=RoleSet(write))
    return Memory(
        umi_id=umi_id,
        datasheet=source,
        store=store,
        profile=LoadProfile(umi_id.value, content["profile"]),
        events=EventLog(content["events"]["records"], content["events"]["active"]),
        replay=ReplayGuard(content["replay"]),
        clock_offset_s=float(content["clock_offset_s"]),
        synced_s=int(content["synced_s"]),
        known_events=known_events(catalogue),
        is_new=False,
    )


def known_events(catalogue: Catalogue) -> int:
    """Return the events that can be subscribed to: bit n stands for event n."""
    return sum(1 << event.number for event in catalogue.events if event.number <= MAX_PUBLISHED)
