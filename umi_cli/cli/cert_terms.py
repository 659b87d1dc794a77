"""What an issuer decides about a certificate, as options of `umi cert new` and `umi cert issue`."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import click

from umi_cli.cli.params import HEX, ROLE_SET, TIME, UMI_ID
from umi_cli.errors import InputError

if TYPE_CHECKING:
    from umi_cli.certificates.authorisation import Authorisation, TargetRange
    from umi_cli.certificates.issue import Terms
    from umi_cli.types import Role, RoleSet, UmiId

F = TypeVar("F", bound=Callable[..., Any])

MAX_DAYS = 36_525
MAX_SERIAL_BYTES = 255  # protocol 3.2: the certificate name has u8 for the length
SERIAL_BYTES = 8  # random, so that nobody need keep a list

_OPTIONS = (
    click.option("--target-min", type=UMI_ID, metavar="ID", help="Lowest device it is good for"),
    click.option("--target-max", type=UMI_ID, metavar="ID", help="Highest device it is good for"),
    click.option("--signing-roles", type=ROLE_SET, metavar="ROLES", help="Roles it may issue"),
    click.option(
        "--devolvable-roles", type=ROLE_SET, metavar="ROLES", help="Roles it may hand on to others"
    ),
    click.option("--from", "start", type=TIME, metavar="TIME", help="Valid from; default: now"),
    click.option("--until", type=TIME, metavar="TIME", help="Valid until, inclusive"),
    click.option(
        "--days", type=click.IntRange(1, MAX_DAYS), metavar="N", help="Valid for so many days"
    ),
    click.option("--serial", type=HEX, metavar="HEX", help="Serial number; default: random"),
)


class Given(TypedDict):
    """The options as they were given; what is None was not."""

    target_min: "UmiId | None"
    target_max: "UmiId | None"
    signing_roles: "RoleSet | None"
    devolvable_roles: "RoleSet | None"
    start: datetime | None
    until: datetime | None
    days: int | None
    serial: bytes | None


def term_options(function: F) -> F:
    """Add the options to a command, which takes them as keywords: a `Given`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def authority_rights(
    given: Given,
    widest: "TargetRange",
    signing: "RoleSet | None" = None,
    devolvable: "RoleSet | None" = None,
) -> "Authorisation":
    """Return the rights of a signing authority: as the options say, or else these.

    Raises:
        InputError: no roles are named that it may issue.
    """
    from umi_cli.certificates.authorisation import AuthorityAuthorisation
    from umi_cli.types import RoleSet

    signing = given["signing_roles"] or signing
    if signing is None:
        raise InputError(
            "a signing authority issues roles, and none is named", hint="add --signing-roles ROLES"
        )
    return AuthorityAuthorisation(
        targets=_targets(given, widest),
        signing_roles=signing,
        devolvable_roles=given["devolvable_roles"] or devolvable or RoleSet(0),
    )


def role_rights(given: Given, widest: "TargetRange", role: "Role | None") -> "Authorisation":
    """Return the rights of who acts in a role.

    Raises:
        InputError: no role is named, or there are options of an authority.
    """
    from umi_cli.certificates.authorisation import StandardAuthorisation

    if given["signing_roles"] or given["devolvable_roles"]:
        raise InputError("only a signing authority issues roles", hint="add --authority")
    if role is None:
        raise InputError("no role is named", hint="add --role ROLE, or --authority")
    return StandardAuthorisation(targets=_targets(given, widest), role=role)


def _targets(given: Given, widest: "TargetRange") -> "TargetRange":
    from umi_cli.certificates.authorisation import TargetRange

    lowest = given["target_min"] or widest.lowest
    highest = given["target_max"] or widest.highest
    if lowest > highest:
        raise InputError(
            f"no device is from {lowest} to {highest}", hint="--target-min is the lower one"
        )
    return TargetRange(lowest=lowest, highest=highest)


def terms_of(
    given: Given, rights: "Authorisation", *, days: int, latest: datetime | None = None
) -> "Terms":
    """Return the terms of a certificate.

    Args:
        days: how long it holds, if no option says it.
        latest: when its issuer's certificate ends, if there is one: it does not outlive it, unless
            an option says so.

    Raises:
        InputError: the options contradict themselves.
    """
    from umi_cli.certificates.issue import Terms

    serial = given["serial"] or secrets.token_bytes(SERIAL_BYTES)
    if len(serial) > MAX_SERIAL_BYTES:
        raise InputError(f"a serial number has up to {MAX_SERIAL_BYTES} bytes")
    start = given["start"] or now()
    return Terms(
        serial=serial,
        valid_from=start,
        valid_until=_end(given, start, days, latest),
        authorisation=rights,
    )


def _end(given: Given, start: datetime, days: int, latest: datetime | None) -> datetime:
    if given["until"] is not None and given["days"] is not None:
        raise InputError("--until and --days exclude each other", hint="choose one")
    try:
        end = given["until"] or start + timedelta(days=given["days"] or days)
    except OverflowError as error:
        raise InputError("the certificate would end after the year 9999") from error
    if given["until"] or given["days"] or latest is None or latest <= start:
        return end
    return min(end, latest)


def now() -> datetime:
    """Return the host's time in whole seconds, as certificates have it."""
    return datetime.now(UTC).replace(microsecond=0)
