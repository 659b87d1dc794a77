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
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import click

from umi_cli.cli.params import GLOBAL_OPTIONS, GlobalOption
from umi_cli.errors import InputError
from umi_cli.names import near
from umi_cli.output.render import Format

if TYPE_CHECKING:
    from umi_cli.types import Role, UmiId

_BY_KEY = {option.key: option for option in GLOBAL_OPTIONS}
_NOTHING: Mapping[str, Any] = MappingProxyType({})
DEFAULT_DATASHEET = "ei4"
ENVIRONMENT = "environment"
MAX_CONFIG_BYTES = 1 << 20
FORMS = ("json", "events", "output")
_NOT_IN_A_PROFILE = {
    "profile": "write default_profile",
    "config": "a configuration file names no other",
    "yes": "a yes is given each time: --yes",
    "trace-plain": "secrets are asked for each time: --trace-plain",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The global options, settled."""

    port: str | None = None
    datasheet: str = DEFAULT_DATASHEET
    scheme: int = 0
    is_scheme_given: bool = False
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
    trace: str | None = None
    trace_plain: bool = False

    @property
    def is_guest(self) -> bool:
        """Tell whether nothing was named to prove ourselves with."""
        named = (self.role, self.key, self.cert, self.anchors, self.pin)
        return self.scheme == 0 and not any(named)


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings of one origin; those of an earlier layer hide those of a later one."""

    name: str
    values: Mapping[str, Any]


def layers_of(
    given: Mapping[str, Any],
    environment: Mapping[str, str],
    start: Mapping[str, Any] = _NOTHING,
    *,
    reads_file: bool = True,
) -> list[Layer]:
    """Return the settings of each origin, the strongest first.

    Args:
        given: options of the command line, by key.
        environment: the environment variables.
        start: the options that hold for every line of a shell.
        reads_file: take the configuration file into account.

    Raises:
        InputError: a value, a key or a profile is wrong.
    """
    layers = [Layer("command line", given), Layer("options of the shell", start)]
    layers.append(from_environment(environment))
    if reads_file:
        named = merge(layers)
        layers += from_config(named.get("config"), named.get("profile"), environment)
    return layers


def merge(layers: Sequence[Layer]) -> Mapping[str, Any]:
    """Return the values of layers, the strongest first."""
    return ChainMap(*(dict(layer.values) for layer in layers))


def settle(
    given: Mapping[str, Any], environment: Mapping[str, str], start: Mapping[str, Any] = _NOTHING
) -> Settings:
    """Return the settings that hold; takes what `layers_of` does.

    Raises:
        InputError: a value, a key or a profile is wrong, or two forms of output are asked for.
    """
    return settle_layers(layers_of(given, environment, start))


def settle_layers(layers: Sequence[Layer]) -> Settings:
    """Return the settings that hold, of the layers in which they stand; raises as `settle` does."""
    values = merge(layers)
    for name in ("key", "cert"):
        if values.get(name) == "":
            raise InputError(f"--{name} is empty: nothing would be proved or encrypted")
    _check_sources(values)
    form, _ = form_of(layers)
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
        trace=values.get("trace"),
        trace_plain=bool(values.get("trace-plain")),
    )


def _check_sources(values: Mapping[str, Any]) -> None:
    """Refuse a secret in the place of its source, whether or not the command would use it."""
    for name in ("key", "passphrase"):
        if values.get(name):
            from umi_cli.cli.sources import check_source

            check_source(values[name], is_key=name == "key")


def _scheme(values: Mapping[str, Any]) -> int:
    if "scheme" in values:
        return int(values["scheme"])
    return 2 if values.get("key") and values.get("cert") else 0


def form_of(layers: Sequence[Layer]) -> tuple[Format, Layer | None]:
    """Return the form of output, and the layer that decides: the first one that names one.

    Raises:
        InputError: it names two.
    """
    denied: set[str] = set()
    for layer in layers:
        named = [key for key in FORMS if layer.values.get(key) and key not in denied]
        if len(named) > 1:
            typed = "csv" if layer.values.get("csv") else "output"  # --csv is -o csv for short
            options = " and ".join(f"--{typed if key == 'output' else key}" for key in named)
            raise InputError(f"{layer.name}: {options} exclude each other", hint="choose one")
        if named:
            form = layer.values["output"] if named == ["output"] else named[0]
            return cast(Format, form), layer
        denied |= {key for key in FORMS if key in layer.values}
    return "table", None


def from_environment(environment: Mapping[str, str]) -> Layer:
    """Return what `UMI_…` variables set; an empty one sets nothing.

    A variable of a repeatable option holds its values as PATH does, with `:` between them.
    """
    values = {}
    for option in GLOBAL_OPTIONS:
        text = environment.get(option.variable)
        if text:
            found = text.split(os.pathsep) if option.multiple else text
            values[option.key] = _convert(option, found, option.variable)
    return Layer(ENVIRONMENT, values)


def from_config(
    config: str | None, profile: str | None, environment: Mapping[str, str]
) -> list[Layer]:
    """Return what the configuration file sets: in a profile, and for every one.

    Args:
        config: the file, which must exist; None for the user's, which may be missing.
        profile: the profile's name; None for the default one.
        environment: the environment variables, which say where the user's file is.

    Raises:
        InputError: the file or the profile is missing, or something in the file is wrong.
    """
    path = config or user_config(environment)
    document = load_document(path, is_required=config is not None)
    profiles, default = take_profiles(document, path)
    name = profile or default
    if name is not None and name not in profiles:
        known = ", ".join(profiles) or "none"
        hint = near(name, profiles, f"it has: {known}")
        raise InputError(f"{path} has no profile {name!r}", hint=hint)
    chosen = {} if default is None else {"profile": default}
    top = Layer(path, {**chosen, **_checked(document, path, "")})
    checked = {  # each of them, so that a mistake shows before it is needed
        each: _checked(table, path, f"profile.{each}.") for each, table in profiles.items()
    }
    return [top] if name is None else [Layer(f"{path} [profile.{name}]", checked[name]), top]


def take_profiles(
    document: dict[str, Any], path: str
) -> tuple[dict[str, dict[str, Any]], str | None]:
    """Take the profiles, by name in order, and the default one's name out of a configuration.

    What is left holds for every profile.

    Raises:
        InputError: they do not have their form.
    """
    profiles = document.pop("profile", {})
    default = document.pop("default_profile", None)
    document.pop("host", None)  # the ports of a Host: `cli.host_config`
    if not isinstance(default, str | None):
        raise InputError(f"{path}: default_profile is no name")
    if not isinstance(profiles, dict) or not all(isinstance(t, dict) for t in profiles.values()):
        raise InputError(f"{path}: profile is no table", hint="write [profile.NAME]")
    return {name: profiles[name] for name in sorted(profiles)}, default


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


def user_state(environment: Mapping[str, str]) -> Path:
    """Return the directory of what umi keeps for the user, such as how far an upload is."""
    base = environment.get("XDG_STATE_HOME", "")
    root = Path(base) if os.path.isabs(base) else Path("~/.local/state").expanduser()
    return root / "umi"


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
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not TOML: it is no text in UTF-8") from error
    except (ValueError, RecursionError) as error:  # of brackets in brackets
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
