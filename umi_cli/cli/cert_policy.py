"""An authority's policy in a file, and its register beside it: how `umi cert issue` keeps to both.

::

    register = "issued.jsonl"           # beside this file; it only grows
    roles = ["service", "user"]         # that certificates may be for

    [lifetime]
    max-days = 365
    default-days = 90                   # optional: the longest, if no option says less

    [targets]                           # optional: devices that certificates may be good for
    min = "00237EFE00000000"
    max = "00237EFE0000FFFF"

    [subjects]                          # optional: UMI IDs that may be certified
    min = "00237EFE00000000"
    max = "00237EFE0000FFFF"

    [subordinates]                      # optional: without it, no subordinate authorities
    signing-roles = ["service"]
    devolvable-roles = []               # optional
"""

import contextlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from umi_cli import files
from umi_cli.certificates.authorisation import EVERY_TARGET, TargetRange
from umi_cli.certificates.cvc import Certificate
from umi_cli.certificates.issue import Terms
from umi_cli.certificates.policy import Policy, SubordinateRules
from umi_cli.certificates.register import Entry, Register, RegisterError
from umi_cli.cli.cert_terms import MAX_DAYS, SERIAL_BYTES
from umi_cli.errors import InputError
from umi_cli.objects.toml_table import Table, read_file
from umi_cli.types import Role, RoleSet, UmiId

if TYPE_CHECKING:
    from datetime import datetime

    from umi_cli.cli.context import App

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFile:
    """A policy, and where its register is."""

    policy: Policy
    register: Path


def load_policy(path: str) -> PolicyFile:
    """Read a policy, all of it.

    Raises:
        InputError: it cannot be read, or something in it is wrong; file, line and key are named.
    """
    table = Table.load(read_file(path, "policy"), file=path)
    register = table.text("register")
    if not register:
        raise table.fault("register", "the name of a file is expected")
    lifetime = table.table("lifetime")
    longest = lifetime.number("max-days", low=1, high=MAX_DAYS)
    policy = Policy(
        roles=_roles(table, "roles"),
        max_days=longest,
        default_days=lifetime.number("default-days", low=1, high=longest, default=longest),
        targets=_range(table, "targets"),
        subjects=_range(table, "subjects"),
        subordinates=_subordinates(table),
    )
    lifetime.end()
    table.end()
    return PolicyFile(policy=policy, register=Path(path).parent / register)


def _roles(table: Table, key: str, default: tuple[str, ...] | None = None) -> RoleSet:
    names = table.texts(key, default)
    return RoleSet.of(*(_parsed(table, key, Role.parse, name) for name in names))


def _range(table: Table, key: str) -> TargetRange:
    if not table.has(key):
        return EVERY_TARGET
    ends = table.table(key)
    lowest, highest = (_parsed(ends, end, UmiId.parse, ends.text(end)) for end in ("min", "max"))
    if lowest > highest:
        raise ends.fault("max", f"{highest} is below {lowest}, the lowest")
    ends.end()
    return TargetRange(lowest=lowest, highest=highest)


def _subordinates(table: Table) -> SubordinateRules | None:
    if not table.has("subordinates"):
        return None
    rules = table.table("subordinates")
    found = SubordinateRules(
        signing_roles=_roles(rules, "signing-roles"),
        devolvable_roles=_roles(rules, "devolvable-roles", ()),
    )
    rules.end()
    return found


def _parsed(table: Table, key: str, parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except InputError as error:
        raise table.fault(key, str(error), hint=error.hint) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A certificate that stands in a register."""

    certificate: Certificate
    entry: int
    """Which line it is."""
    head: str
    """SHA-256 of that line."""


def issue_registered(
    app: "App",
    path: Path,
    make: Callable[[Terms], Certificate],
    terms: Terms,
    *,
    is_chosen: bool,
    time: "datetime",
    operator: str | None,
) -> Registered:
    """Issue a certificate whose serial number was never given, and enter it into the register.

    Args:
        path: the register; nobody else issues while this runs.
        make: signs a certificate on these terms, and writes it nowhere.
        is_chosen: the serial number is the user's; if it was given, no other is taken.

    Raises:
        SerialUsedError: the chosen serial number was given before.
        RegisterError: the register cannot be read or written, or was changed.
        UmiError: what `make` raises; the register is as it was.
    """
    with _opened(path) as file:
        register = Register.decode(file.read())
        _tell_state(app, path, register, is_new=file.is_new)
        while not is_chosen and terms.serial in register.serials:
            terms = replace(terms, serial=secrets.token_bytes(SERIAL_BYTES))
        register.check_free(terms.serial)
        made = make(terms)
        entry = Entry.of(made, time=time, operator=operator or _login_name())
        file.append(register.extend(entry))
    return Registered(certificate=made, entry=register.count, head=register.head)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[files.GrowingFile]:
    try:
        with files.growing_file(path) as file:
            yield file
    except OSError as error:
        raise RegisterError(
            f"cannot use the register {path}: {error.strerror}",
            hint="nothing was issued; the register is a file that you alone can write into",
        ) from error


def _tell_state(app: "App", path: Path, register: Register, *, is_new: bool) -> None:
    if is_new:
        app.warn(f"the register {path} is new: it knows no serial number given before")
    if register.torn:
        app.warn(torn_warning(path, register))


def torn_warning(path: Path | str, register: Register) -> str:
    """Return what is said of a register whose last line a crash has cut."""
    return (
        f"the last line of the register {path} was cut, as by a crash, after entry"
        f" {register.count}: no certificate was issued on it; the next entry goes on behind it"
    )


def _login_name() -> str:
    import os
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid{os.getuid()}"


def read_register(path: str) -> Register:
    """Read a register from a file; `RegisterError` if it cannot be, or was changed."""
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise RegisterError(
            f"cannot read {path}: {error.strerror}", hint="the policy says where it is: register"
        ) from error
    return Register.decode(raw)
