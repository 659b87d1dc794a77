"""The options and argument types that commands share, each declared once."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from umi_cli.errors import InputError

F = TypeVar("F", bound=Callable[..., Any])

MAX_TIMEOUT_S = 3600  # a longer wait for one link answer is a mistake in the unit
MAX_RETRIES = 100

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from click.shell_completion import CompletionItem

    from umi_cli.types import Role, RoleSet, UmiId

    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # generic in new versions of click only


class Completed(ParamType):
    """A type of argument that the shell completes by what the metavar calls it."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem[str]]":
        """Return what may stand there."""
        from umi_cli.cli.completing import by_metavar

        return by_metavar(param.metavar or "", ctx, incomplete)


class Text(Completed, click.types.StringParamType):
    """Text as click's own, but completed."""


TEXT = Text()


class Parsed(Completed):
    """A type of argument that a function makes of its text.

    Args:
        name: the type, in one word.
        parse: returns the value, or raises `InputError`.
    """

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value of a text; `InputError` names the option."""
        # While a shell completes, nothing is read: it could be stdin, which is the terminal.
        if not isinstance(value, str) or (ctx is not None and ctx.resilient_parsing):
            return value
        try:
            return self._parse(value)
        except InputError as error:
            if not isinstance(param, click.Option):
                raise
            raise InputError(f"{max(param.opts, key=len)}: {error}", hint=error.hint) from error


def _umi_id(text: str) -> "UmiId":
    from umi_cli.types import UmiId

    return UmiId.parse(text)


def _role(text: str) -> "Role":
    from umi_cli.types import Role

    return Role.parse(text)


def _role_set(text: str) -> "RoleSet":
    from umi_cli.types import RoleSet

    return RoleSet.parse(text)


def _bytes(text: str) -> bytes:
    from umi_cli.cli.sources import read_bytes

    return read_bytes(text)


def _decodable(text: str) -> "bytes | Path":
    from umi_cli.cli.sources import find_capture, read_bytes

    return find_capture(text) or read_bytes(text)


def _hex(text: str) -> bytes:
    from umi_cli.cli.sources import hex_only

    return hex_only(text)


def _moment(text: str) -> "datetime":
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text.strip().upper())  # RFC 3339, 5.6
    except ValueError:
        moment = datetime.min
    if moment.tzinfo is None:
        raise InputError(
            f"{text!r} is not a time with a zone",
            hint="write RFC 3339, such as 2026-11-22T10:00:00Z",
        )
    return moment.astimezone(UTC).replace(microsecond=0)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MAX_TIMEOUT_S:
        raise InputError(f"{text!r} is no number of seconds above 0 and up to {MAX_TIMEOUT_S}")
    return seconds


def _block(text: str) -> int:
    from umi_cli.images.upload import MAX_BLOCK_BYTES, MIN_BLOCK_BYTES

    is_number = text.isascii() and text.isdigit() and len(text) < 6
    if not is_number or not MIN_BLOCK_BYTES <= int(text) <= MAX_BLOCK_BYTES:
        raise InputError(f"{text!r} is no number from {MIN_BLOCK_BYTES} to {MAX_BLOCK_BYTES}")
    return int(text)


def _retries(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= MAX_RETRIES):
        raise InputError(f"{text!r} is no number from 0 to {MAX_RETRIES}")
    return int(text)


UMI_ID = Parsed("umi-id", _umi_id)
ROLE = Parsed("role", _role)
ROLE_SET = Parsed("roles", _role_set)
BYTES = Parsed("bytes", _bytes)
"""Bytes in hex, of a file (hex or binary), or of stdin (`-`)."""
DECODABLE = Parsed("bytes", _decodable)
"""As `BYTES`; of a capture its path alone, for it may be of any length."""
HEX = Parsed("hex", _hex)
"""Bytes in hex, and from nowhere else."""
TIME = Parsed("time", _moment)
"""A time with its zone, in whole seconds of UTC."""
SECONDS = Parsed("seconds", _seconds)
BLOCK = Parsed("bytes", _block)
"""How long a block of an image is."""
RETRIES = Parsed("retries", _retries)


class GlobalOption(click.Option):
    """An option of `umi` itself that every command takes as well; the later one wins."""

    def __init__(self, *declarations: str, **attributes: Any) -> None:
        super().__init__(declarations, expose_value=False, callback=_collect, **attributes)

    @property
    def key(self) -> str:
        """Return the long name without dashes, `umi-id`: the key in a profile."""
        return max(self.opts, key=len).removeprefix("--")

    @property
    def variable(self) -> str:
        """Return the environment variable, `UMI_UMI_ID`."""
        return "UMI_" + self.key.upper().replace("-", "_")

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the line of help in the help of `umi` alone."""
        return super().get_help_record(ctx) if ctx.parent is None else None


def _collect(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Keep an option that stands on the command line, whichever command it follows."""
    if ctx.get_parameter_source(param.name or "") is not ParameterSource.COMMANDLINE:
        return
    texts = value if isinstance(value, tuple) else (value,)
    if any(isinstance(text, str) and text.startswith("--") for text in texts):
        # click takes `--port --json` for an address; no address, name or path begins like that
        raise click.UsageError(f"option {param.opts[-1]!r} requires an argument", ctx)
    if isinstance(param, GlobalOption) and ctx.obj is not None:
        given = ctx.obj.given
        given[param.key] = given.get(param.key, ()) + value if param.multiple else value


def _offer_profiles(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> "list[CompletionItem[str]]":
    from umi_cli.cli.completing import profiles

    return profiles(ctx, incomplete)


def _offer_datasheets(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> "list[CompletionItem[str]]":
    from umi_cli.cli.completing import datasheets

    return datasheets(ctx, incomplete)


def _offer_parts(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> "list[CompletionItem[str]]":
    from umi_cli.cli.completing import parts

    return parts(ctx, incomplete)


def offer_values(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> "list[CompletionItem[str]]":
    """Return what may stand as the value of the part before it."""
    from umi_cli.cli.completing import values

    return values(ctx, incomplete)


GLOBAL_OPTIONS: tuple[GlobalOption, ...] = (
    GlobalOption("-p", "--port", metavar="ADDRESS", help="Where the device is: sim, tcp:HOST:PORT"),
    GlobalOption(
        "--profile",
        metavar="NAME",
        help="Named settings from the configuration file",
        shell_complete=_offer_profiles,
    ),
    GlobalOption("--config", metavar="FILE", help="The configuration file; default: the user's"),
    GlobalOption(
        "--datasheet",
        metavar="NAME|FILE",
        help="Object names and types; default: ei4",
        shell_complete=_offer_datasheets,
    ),
    GlobalOption(
        "--scheme",
        type=click.Choice(["0", "1", "2"]),
        help="Security scheme; default: 2 with --key and --cert, else 0",
    ),
    GlobalOption("--role", type=ROLE, metavar="ROLE", help="Role to act in, by name or number"),
    GlobalOption("--key", metavar="SOURCE", help="Own key: a file, -, fd:3, env:NAME, pkcs11:..."),
    GlobalOption("--passphrase", metavar="SOURCE", help="Where the key's passphrase is"),
    GlobalOption("--cert", metavar="FILE", help="Own certificate; a chain stands own first"),
    GlobalOption(
        "--anchor", metavar="FILE", multiple=True, help="Certificate of a trusted root; repeatable"
    ),
    GlobalOption(
        "--pin", is_flag=True, help="Trust the device's certificate on first contact; record it"
    ),
    GlobalOption(
        "--umi-id", type=UMI_ID, metavar="ID", help="Own UMI ID; default: of --cert, or a reader's"
    ),
    GlobalOption(
        "--timeout",
        type=SECONDS,
        metavar="SECONDS",
        help="How long to wait for each link answer",
    ),
    GlobalOption(
        "--retries",
        type=RETRIES,
        metavar="N",
        help="How often a link frame is repeated; default: 2",
    ),
    GlobalOption("--json", is_flag=True, help="Print one JSON document; never ask"),
    GlobalOption("--events", is_flag=True, help="Print JSON events, one a line"),
    GlobalOption(
        "-o", "--output", type=click.Choice(["table", "csv", "raw"]), help="Form of the result"
    ),
    GlobalOption("--no-input", is_flag=True, help="Never ask; fail where an answer is missing"),
    GlobalOption("-y", "--yes", is_flag=True, help="Answer every question with yes"),
    GlobalOption("--dry-run", is_flag=True, help="Prove a change, and send no changing frame"),
    GlobalOption("-v", "--verbose", count=True, help="Log to stderr; -vv logs more"),
    GlobalOption(
        "--trace",
        metavar="FILE.pcapng",
        help="Write every frame for Wireshark, without secrets; a capture there is replaced",
    ),
    GlobalOption(
        "--trace-plain", is_flag=True, help="Write secrets, and what is encrypted, to it as well"
    ),
)


def part_argument(name: str, *, metavar: str = "PART", **attributes: Any) -> Callable[[F], F]:
    """Give a command an object part, or several, that the shell completes from the datasheet.

    Args:
        name: of the function's parameter.
        metavar: as the help shows it.
        attributes: what `click.argument` takes, such as `nargs`.
    """
    return click.argument(
        name, cls=PartArgument, metavar=metavar, shell_complete=_offer_parts, **attributes
    )


def complete_texts(parameters: Iterable[click.Parameter]) -> None:
    """Have the shell complete what is plain text; it is parsed as before."""
    for parameter in parameters:
        if parameter.type is click.STRING:
            parameter.type = TEXT


class PartArgument(click.Argument):
    """An object part, or several, by their names in the datasheet."""


def confirm(loss: str, *, yes: bool, no_input: bool) -> None:
    """Ask on stderr before something is lost, and return if the answer is yes.

    Args:
        loss: what is lost, as the rest of "This will …".
        yes: the answer is yes already.
        no_input: there is nobody to ask.

    Raises:
        InputError: the answer is no, or is missing.
    """
    import sys

    from umi_cli.output import streams

    if yes:
        return
    if no_input or not streams.is_terminal(sys.stdin):
        raise InputError(f"this will {loss}: it needs a yes", hint="answer with --yes")
    sys.stderr.write(f"This will {loss}. Continue? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise InputError("not confirmed; nothing was changed")
