"""What a virtual meter holds as it leaves the factory."""

import secrets
from collections.abc import Mapping
from contextlib import suppress

from umi_cli.errors import InputError
from umi_cli.objects.catalogue import Catalogue
from umi_cli.objects.definitions import Kind, ObjectDefinition
from umi_cli.types import UmiId
from umi_cli.virtual.memory import Memory, known_events
from umi_cli.virtual.profile import LoadProfile
from umi_cli.virtual.slots import DELIVERED, DELIVERED_MODEL
from umi_cli.virtual.store import ObjectStore
from umi_cli.virtual.updates import VERSION_OBJECT, version_of

VALUES: Mapping[str, object] = {
    "manufacturer-id": {
        "model": DELIVERED_MODEL,
        "manufacturer": "ELS",
        "factory": "0025",
        "serial": "31733978",
    },
    VERSION_OBJECT: version_of(DELIVERED),
    "gsm-status": {
        "subscriber_id": "234150000000001",
        "modem_model": "virtual",
        "provider": "loopback",
        "local_ip": "127.0.0.1",
        "rssi": 21,
        "battery_voltage": 3600,
    },
    "wan-configuration": {
        "primary_host": "head-end.example",
        "inactive_timeout_ms": 30_000,
        "session_timeout_ms": 600_000,
        "primary_port": 4059,
        "max_short_retries": 3,
        "max_long_retries": 2,
    },
    "life-cycle": "provisioned",
    "valve": "open",
}
"""By object name; members that are not named are zero."""


VIRTUAL_METER_ID = UmiId(0x0023_7EFE_0000_0001)

BLANK_VALUES: Mapping[str, object] = {
    "manufacturer-id": {
        "model": DELIVERED_MODEL,
        "manufacturer": "ELS",
        "factory": "0000",
        "serial": "00000000",
    },
    "life-cycle": "blank",
}
"""What a unit that nobody has provisioned has in their place: it knows what it is, not which."""
_LOCAL = 0x02 << 56  # of an EUI-64: its owner made it up
_LOCAL_BITS = 48


def new_memory(datasheet: str, umi_id: UmiId, values: Mapping[str, object] = VALUES) -> Memory:
    """Return the memory of a meter that has never run.

    Args:
        datasheet: name or file of the datasheet whose objects it has.
        umi_id: who it is.
        values: of its objects, as in `VALUES`.

    Raises:
        InputError: the datasheet is unusable.
    """
    catalogue = Catalogue.load(datasheet)
    store = ObjectStore(catalogue.objects)
    for name, value in values.items():
        if definition := store.find(name):
            with suppress(InputError):  # a datasheet may have something else under the name
                store.values[definition.code] = _encode(definition, value)
    return Memory(
        umi_id=umi_id,
        datasheet=datasheet,
        store=store,
        profile=LoadProfile(umi_id.value),
        known_events=known_events(catalogue),
    )


def blank_memory(datasheet: str, umi_id: UmiId | None = None) -> Memory:
    """Return the memory of a unit that nobody has provisioned; raises as `new_memory` does.

    Args:
        umi_id: its placeholder; a random one if None.
    """
    # choice: a placeholder is a random EUI-64 that says of itself that its owner made it up
    umi_id = umi_id or UmiId(_LOCAL | secrets.randbits(_LOCAL_BITS))
    return new_memory(datasheet, umi_id, {**VALUES, **BLANK_VALUES})


def _encode(definition: ObjectDefinition, value: object) -> bytes:
    if isinstance(value, Mapping) and definition.kind is Kind.STRUCTURE:
        value = {**definition.type.decode(bytes(definition.type.max_bytes)), **value}
    return definition.type.encode(value, definition.name)
