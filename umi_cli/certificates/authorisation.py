"""What may the holder of a certificate do? (protocol 6.4, field 5F4C)

Big-endian, as all of a certificate.
"""

from dataclasses import dataclass

from umi_cli.certificates.tlv import malformed
from umi_cli.errors import MalformedError
from umi_cli.types import Role, RoleSet, UmiId
from umi_cli.wire import Reader

# Authorisation, standard:           Authorisation, signing authority:
#  0  u8 1                            0  u8 1
#  1  u8 0 standard                   1  u8 1 signing authority
#  2  u64 lowest target UMI ID        2  u64 lowest target UMI ID
# 10  u64 highest target UMI ID      10  u64 highest target UMI ID
# 18  u8 role                        18  u16 signing roles, bit n = role n
# 19  u8 flags                       20  u16 devolvable roles
#                                    22  u8 flags
_AUTHORISATION_VERSION = 1
_KIND_STANDARD = 0
_KIND_AUTHORITY = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRange:
    """Which devices a certificate is good for."""

    lowest: UmiId
    highest: UmiId

    def __post_init__(self) -> None:
        if self.lowest > self.highest:
            raise ValueError(f"target range {self} is the wrong way round")

    def __contains__(self, target: UmiId) -> bool:
        return self.lowest <= target <= self.highest

    def is_within(self, other: "TargetRange") -> bool:
        """Tell whether no target lies outside the other range."""
        return other.lowest <= self.lowest and self.highest <= other.highest

    def encode(self) -> bytes:
        """Return the 16 bytes of both ends."""
        return self.lowest.value.to_bytes(8, "big") + self.highest.value.to_bytes(8, "big")

    def __str__(self) -> str:
        return f"{self.lowest}..{self.highest}"


EVERY_TARGET = TargetRange(lowest=UmiId(0), highest=UmiId(0xFFFF_FFFF_FFFF_FFFF))


def _check_flags(flags: int) -> None:
    if not 0 <= flags <= 0xFF:
        raise ValueError(f"flags are 8 bits, not {flags:#x}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StandardAuthorisation:
    """The holder acts in one role towards its targets."""

    targets: TargetRange
    role: Role
    flags: int = 0
    """0..255; their meaning is not public."""

    def __post_init__(self) -> None:
        _check_flags(self.flags)

    def encode(self) -> bytes:
        """Return the 20 bytes."""
        head = bytes([_AUTHORISATION_VERSION, _KIND_STANDARD])
        return head + self.targets.encode() + bytes([self.role, self.flags])


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityAuthorisation:
    """The holder issues certificates."""

    targets: TargetRange
    signing_roles: RoleSet
    """Roles of the standard certificates it may issue."""
    devolvable_roles: RoleSet
    """Roles it may hand on to subordinate authorities."""
    flags: int = 0
    """0..255; their meaning is not public."""

    def __post_init__(self) -> None:
        _check_flags(self.flags)

    def encode(self) -> bytes:
        """Return the 23 bytes."""
        head = bytes([_AUTHORISATION_VERSION, _KIND_AUTHORITY])
        # choice: protocol 6.4: bit n of a big-endian u16 = role n
        roles = self.signing_roles.bits.to_bytes(2, "big")
        roles += self.devolvable_roles.bits.to_bytes(2, "big")
        return head + self.targets.encode() + roles + bytes([self.flags])


Authorisation = StandardAuthorisation | AuthorityAuthorisation


def decode_authorisation(data: bytes) -> Authorisation:
    """Decode either kind of authorisation; `MalformedError` if it is neither."""
    reader = Reader(data, what="authorisation", byte_order="big")
    if reader.u8("version") != _AUTHORISATION_VERSION:
        raise MalformedError("authorisation has an unknown version", offset=0)
    read = {_KIND_STANDARD: _read_standard, _KIND_AUTHORITY: _read_authority}.get(reader.u8("kind"))
    if read is None:
        raise MalformedError("authorisation has an unknown kind", offset=1)
    with malformed("authorisation"):
        authorisation = read(reader)
    reader.end()
    return authorisation


def _read_range(reader: Reader) -> TargetRange:
    return TargetRange(
        lowest=UmiId(reader.u64("lowest target")), highest=UmiId(reader.u64("highest target"))
    )


def _read_standard(reader: Reader) -> Authorisation:
    return StandardAuthorisation(
        targets=_read_range(reader), role=Role(reader.u8("role")), flags=reader.u8("flags")
    )


def _read_authority(reader: Reader) -> Authorisation:
    return AuthorityAuthorisation(
        targets=_read_range(reader),
        signing_roles=RoleSet(reader.u16("signing roles")),
        devolvable_roles=RoleSet(reader.u16("devolvable roles")),
        flags=reader.u8("flags"),
    )
