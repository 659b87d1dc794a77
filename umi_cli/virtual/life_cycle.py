"""In which stage of its life is a virtual meter, and what may be done to it there? (protocol 4)

    blank -- own chain installed --> provisioned -- locked by its maker --> locked
                                          ^---- unlocked by the security authority ---'
    provisioned or locked -- taken out of service --> retired

# choice: all of it. A blank unit has a placeholder identity. Until it has a chain of its own,
# whoever is at its line is the factory, and may write the few objects that provisioning needs. A
# locked one changes neither identity nor keys nor roots, but for the security authority. A retired
# one says who it was, and nothing else.
"""

from enum import IntEnum
from typing import Any

from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import ReadObject, ReadObjectPart
from umi_cli.application.payload import Command
from umi_cli.application.security_commands import S2EndSession, S2GetCertificate
from umi_cli.types import Role, UmiCode
from umi_cli.virtual.memory import Memory
from umi_cli.virtual.refusal import Refusal

LIFE_CYCLE_OBJECT = UmiCode.parse("umi.255.0.0.1")
LIFE_CYCLE_BYTES = 1

IDENTITY_OBJECTS = ("umi-id", "manufacturer-id")
FACTORY_ROLES = {
    "umi-id": Role.MANUFACTURER,
    "manufacturer-id": Role.MANUFACTURER,
    "clock-control": Role.SERVICE,
}
"""What the factory writes of a blank unit, and as whom; the clock, as certificates have times."""
LOCKED_OBJECTS = (*IDENTITY_OBJECTS, "scheme-1-keys", "life-cycle")
RETIRED_OBJECTS = (*IDENTITY_OBJECTS, "life-cycle")
MAKERS = (Role.MANUFACTURER, Role.SECURITY_AUTHORITY)


class LifeCycle(IntEnum):
    """The stages, as the life-cycle object has them."""

    BLANK = 0
    PROVISIONED = 1
    LOCKED = 2
    RETIRED = 3


_STEPS = (
    (LifeCycle.PROVISIONED, LifeCycle.LOCKED),
    (LifeCycle.PROVISIONED, LifeCycle.RETIRED),
    (LifeCycle.LOCKED, LifeCycle.PROVISIONED),
    (LifeCycle.LOCKED, LifeCycle.RETIRED),
)
"""What a write of the object may do; that a unit is no longer blank comes of its chain alone."""


def stage_of(memory: Memory) -> LifeCycle:
    """Return a meter's stage; one whose datasheet has no such object is provisioned."""
    raw = memory.store.values.get(LIFE_CYCLE_OBJECT, b"")
    try:
        return LifeCycle(raw[0]) if len(raw) == LIFE_CYCLE_BYTES else LifeCycle.PROVISIONED
    except ValueError:
        return LifeCycle.PROVISIONED


def leave_factory(memory: Memory) -> None:
    """Note that a meter has its own chain: from now on it is not blank."""
    if stage_of(memory) is LifeCycle.BLANK:
        memory.store.values[LIFE_CYCLE_OBJECT] = bytes([LifeCycle.PROVISIONED])


def is_in_factory(memory: Memory) -> bool:
    """Tell whether whoever is at the line is the factory."""
    return not memory.vault.chain and stage_of(memory) < LifeCycle.LOCKED


def may_change_identity(memory: Memory, role: Role) -> bool:
    """Tell whether a role may change key pair, chain and roots, as far as they can be."""
    stage = stage_of(memory)
    if stage is LifeCycle.LOCKED:
        return role is Role.SECURITY_AUTHORITY
    return is_in_factory(memory) or role in MAKERS


def check_command(memory: Memory, command: Command[Any]) -> None:
    """Make sure that a meter still obeys; `Refusal` from a retired one but for who it was."""
    if stage_of(memory) is not LifeCycle.RETIRED:
        return
    if isinstance(command, S2GetCertificate | S2EndSession):
        return
    code = _code_of(command)
    if code is None or memory.store.definition(code).name not in RETIRED_OBJECTS:
        raise Refusal(ResultCode.ACCESS_DENIED)


def _code_of(command: Command[Any]) -> UmiCode | None:
    """Return which object a command reads; None if it does anything else."""
    if isinstance(command, ReadObjectPart):
        return command.part.code
    return command.code if isinstance(command, ReadObject) else None


def role_to_write(memory: Memory, code: UmiCode, value: bytes, role: Role) -> Role:
    """Return what a commander counts as who writes an object; raises as `role_to_grant` does."""
    if code == LIFE_CYCLE_OBJECT and value == memory.store.values.get(code):
        return role  # a lock that is locked once more, for its answer was lost
    if stage_of(memory) is LifeCycle.BLANK and role is Role.GUEST:
        return FACTORY_ROLES.get(memory.store.definition(code).name, role)
    return role_to_grant(memory, code, role)


def role_to_grant(memory: Memory, code: UmiCode, role: Role) -> Role:
    """Return what a commander counts as who says which roles may read and write an object.

    Raises:
        Refusal: the meter is locked, and the object with it.
    """
    is_locked = stage_of(memory) is LifeCycle.LOCKED
    if not is_locked or memory.store.definition(code).name not in LOCKED_OBJECTS:
        return role
    if role is not Role.SECURITY_AUTHORITY:
        raise Refusal(ResultCode.ACCESS_DENIED)
    return Role.MANUFACTURER


def check_step(memory: Memory, raw: bytes) -> None:
    """Make sure that a stage may follow on the one that a meter is in; `Refusal` otherwise."""
    before, after = stage_of(memory), LifeCycle(raw[0])
    if before is not after and (before, after) not in _STEPS:
        raise Refusal(ResultCode.INVALID_VALUE)
