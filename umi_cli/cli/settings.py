"""Which settings hold: the command line beats the environment, which beats the user's profile.

The user's `config.toml` holds them by the long names of the options: at its top for every
profile, in `[profile.NAME]` for one; `default_profile` names the one that holds unless `--profile`
says otherwise. Nothing is read from the working directory.
"""

import os
import sys
from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import click

from umi_cli.cli.params import GLOBAL_OPTIONS, GlobalOption, near
from umi_cli.errors import InputError
from umi_cli.output.render import Format

if TYPE_CHECKING:
    from umi_cli.types import Role, UmiId

_BY_KEY = {option.key: option for option in GLOBAL_OPTIONS}
DEFAULT_DATASHEET = "ei4"
MAX_CONFIG_BYTES = 1 << 20
_FORMS = ("json", "events", "output")
_NOT_IN_A_PROFILE = {
    "profile": "write default_profile",
    "config": "a configuration file names no other",
    "yes": "a yes is given each time: --yes",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The global options, settled."""

    port: str | None = None
    datasheet: str = DEFAULT_DATASHEET
    scheme: int = 0
    is_scheme_given: bool = field(default=False, compare=False)
    """Somebody chose the scheme; it does not follow from the other settings."""
    role: "Role | None" = None
    key: str | None = field(default=None, repr=False)
    """Where the own key is; a secret, if somebody typed one by mistake."""
    passphrase: str | None = field(default=None, repr=False)
    """Where the passphrase of the own key is; as `key`."""
    cert: str | None = None
    anchors: tuple[str, ...] = ()
    pin: bool = False
    umi_id: "UmiId | None" = None
    timeout_s: float | None = None
    retries: int = 2
    form: Format = "table"
    no_input: bool = False
    yes: bool = False
    dry_run: bool = False
    verbose: int = 0

    @property
    def is_guest(self) -> bool:
        """Tell whether nothing was named to prove ourselves with."""
        named = (self.role, self.key, self.cert, self.anchors, self.pin)
        return self.scheme == 0 and not any(named)


@dataclass(frozen=True, slots=True)
class _Layer:
    """Settings of one origin."""

    name: str
    values: Mapping[str, Any]


def settle(
    given: Mapping[str, Any], environment: Mapping[str, str], *, reads_file: bool = True
) -> Settings:
    """Return the settings that hold.

    Args:
        given: options of the command line, by key.
        environment: the environment variables.
        reads_file: take the configuration file into account.

    Raises:
        InputError: a value, a key or a profile is wrong, or two forms of output are asked for.
    """
    layers = [_Layer("command line", given), from_environment(environment)]
    merged = ChainMap(*(dict(layer.values) for layer in layers))
    if reads_file:
        layers.append(from_profile(merged.get("config"), merged.get("profile"), environment))
    values = ChainMap(*(dict(layer.values) for layer in layers))
    for name in ("key", "cert"):
        if values.get(name) == "":
            raise InputError(f"--{name} is empty: nothing would be proved or encrypted")
    form = _form(layers)
    return Settings(
        port=values.get("port"),
        datasheet=values.get("datasheet", DEFAULT_DATASHEET),
        scheme=_scheme(values),
        is_scheme_given="scheme" in values,
        role=values.get("role"),
        key=values.get("key"),
        passphrase=values.get("passphrase"),
        cert=values.get("cert"),
        anchors=values.get("anchor", ()),
        pin=bool(values.get("pin")),
        umi_id=values.get("umi-id"),
        timeout_s=values.get("timeout"),
        retries=values.get("retries", 2),
        form=form,
        no_input=bool(values.get("no-input")) or form in ("json", "events"),
        yes=bool(values.get("yes")),
        dry_run=bool(values.get("dry-run")),
        verbose=values.get("verbose", 0),
    )


def _scheme(values: Mapping[str, Any]) -> int:
    if "scheme" in values:
        return int(values["scheme"])
    return 2 if values.get("key") and values.get("cert") else 0


def _form(layers: Sequence[_Layer]) -> Format:
    """Return the form of output: the first layer that names one decides."""
    denied: set[str] = set()
    for layer in layers:
        named = [key for key in _FORMS if layer.values.get(key) and key not in denied]
        if len(named) > 1:
            options = " and ".join(f"--{key}" for key in named)
            raise InputError(f"{layer.name}: {options} exclude each other", hint="choose one")
        if named:
            return cast(Format, layer.values["output"] if named == ["output"] else named[0])
        denied |= {key for key in _FORMS if key in layer.values}
    return "table"


def from_environment(environment: Mapping[str, str]) -> _Layer:
    """Return what `UMI_…` variables set; an empty one sets nothing.

    A variable of a repeatable option holds its values as PATH does, with `:` between them.
    """
    values = {}
    for option in GLOBAL_OPTIONS:
        text = environment.get(option.variable)
        if text:
            found = text.split(os.pathsep) if option.multiple else text
            values[option.key] = _convert(option, found, option.variable)
    return _Layer("environment", values)


def from_profile(config: str | None, profile: str | None, environment: Mapping[str, str]) -> _Layer:
    """Return what the configuration file sets for a profile.

    Args:
        config: the file, which must exist; None for the user's, which may be missing.
        profile: the profile's name; None for the default one.
        environment: the environment variables, which say where the user's file is.

    Raises:
        InputError: the file or the profile is missing, or something in the file is wrong.
    """
    path = config or user_config(environment)
    document = load_document(path, is_required=config is not None)
    profiles = document.pop("profile", {})
    default = document.pop("default_profile", None)
    document.pop("host", None)  # the ports of a Host: `cli.host_config`
    if not isinstance(default, str | None):
        raise InputError(f"{path}: default_profile is no name")
    if not isinstance(profiles, dict) or not all(isinstance(t, dict) for t in profiles.values()):
        raise InputError(f"{path}: profile is no table", hint="write [profile.NAME]")
    name = profile or default
    if name is not None and name not in profiles:
        known = ", ".join(sorted(profiles)) or "none"
        raise InputError(f"{path} has no profile {name!r}", hint=f"it has: {known}")
    values = _checked(document, path, "")
    for each in sorted(profiles):  # each is checked, so that a mistake shows before it is needed
        table = _checked(profiles[each], path, f"profile.{each}.")
        if each == name:
            values = _overlay(values, table)
    return _Layer(f"{path}" + (f" [profile.{name}]" if name else ""), values)


def _overlay(base: dict[str, Any], table: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a profile over those at the top of the file."""
    kept = base
    if any(table.get(key) for key in _FORMS):
        kept = {key: value for key, value in base.items() if key not in _FORMS}
    return {**kept, **table}


def user_config(environment: Mapping[str, str]) -> str:
    """Return the path of the user's configuration file."""
    home = os.path.expanduser("~")
    if sys.platform == "win32":
        base = environment.get("APPDATA") or os.path.join(home, "AppData", "Roaming")
    else:
        base = environment.get("XDG_CONFIG_HOME", "")
        if not os.path.isabs(base):  # the XDG rules: a relative path is ignored
            base = os.path.join(home, ".config")
    return os.path.join(base, "umi", "config.toml")


def load_document(path: str, *, is_required: bool) -> dict[str, Any]:
    """Return the configuration file; nothing where it is missing and need not be there.

    Raises:
        InputError: it is missing, unreadable, or no TOML.
    """
    try:
        with open(path, "rb") as file:
            raw = file.read(MAX_CONFIG_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        if is_required:
            raise InputError(f"there is no configuration file {path}") from error
        return {}
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # no path may hold a NUL
        raise InputError(f"cannot read {path!r}: {error}") from error
    if len(raw) > MAX_CONFIG_BYTES:
        raise InputError(
            f"{path} is no configuration file: it has more than {MAX_CONFIG_BYTES} bytes"
        )
    import tomllib

    try:
        return tomllib.loads(raw.decode())
    except (ValueError, RecursionError) as error:  # TOML or UTF-8; brackets in brackets
        raise InputError(f"{path} is not TOML: {error}") from error


def _checked(table: Mapping[str, Any], path: str, prefix: str) -> dict[str, Any]:
    """Return the values of a table by key; `InputError` names the file and the key."""
    values: dict[str, Any] = {}
    for written, value in table.items():
        key, place = written.replace("_", "-"), f"{path}: {prefix}{written}"
        if key in _NOT_IN_A_PROFILE:
            raise InputError(f"{place} is not for a profile", hint=_NOT_IN_A_PROFILE[key])
        if key not in _BY_KEY:
            raise InputError(f"{place} is no setting", hint=near(key, _BY_KEY) or _KEYS_HINT)
        values[key] = _convert(_BY_KEY[key], value, place)
    return values


_KEYS_HINT = "the keys are the long names of the options: umi --help"


def _convert(option: GlobalOption, value: Any, place: str) -> Any:
    """Return a value from outside the command line as the option's type has it."""
    if option.multiple:
        several = value if isinstance(value, list) else [value]
        return tuple(_convert_one(option, each, place) for each in several)
    return _convert_one(option, value, place)


def _convert_one(option: GlobalOption, value: Any, place: str) -> Any:
    is_switch = option.is_flag and not option.count
    if not isinstance(value, str | int | float) or (isinstance(value, bool) and not is_switch):
        raise InputError(f"{place} is not a value for --{option.key}")
    try:
        text: Any = value if isinstance(value, bool) else str(value)
        return option.type.convert(text, None, None)
    except (click.UsageError, InputError) as error:
        reason = error.message if isinstance(error, click.UsageError) else str(error)
        hint = getattr(error, "hint", "")
        raise InputError(f"{place}: {reason.rstrip('.')}", hint=hint) from error
