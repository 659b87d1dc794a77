"""`umi fuzz`: spoilt exchanges, again and again, against a device or as a meter."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from umi_cli.cli.base import command
from umi_cli.cli.context import App, pass_app
from umi_cli.errors import InputError

if TYPE_CHECKING:
    from umi_cli.certify.fuzz_case import CaseName, FuzzCase, FuzzLayer

LAYERS = ("link", "packet", "payload", "certificate", "image", "all")
DEFAULT_CASES = 1000
DEFAULT_FAILURES = 10
MAX_SEED = 2**63
MAX_CASES = 10**9
MAX_FOR_S = 30 * 86_400
NEEDS_CHANGES = "--allow-changes"
EXAMPLES = """\
umi -p auto fuzz --cases 5000 --corpus cases
umi -p tcp:192.0.2.7:4059 fuzz --layer link --for 3600 --seed 7
umi -p auto fuzz --replay 7:link:123
umi -p auto fuzz --replay cases/fail-7-link-123.json -v
umi -p auto --key office.pem --cert chain.cvc --anchor root.cvc fuzz --allow-changes
umi fuzz --as-meter --tcp 127.0.0.1:0 --seed 7
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the user says of a run."""

    layer: tuple[str, ...]
    cases: int | None
    for_s: float | None
    seed: int
    corpus: str | None
    replay: str | None
    minimise: bool | None
    allow_changes: bool
    stop_after: int | None
    power: str | None
    out: str | None
    as_meter: bool
    tcp: str | None

    @property
    def layers(self) -> "tuple[FuzzLayer, ...]":
        """Return the layers that are meant and may be."""
        return tuple(each for each in self._named if self.allow_changes or not each.changes)

    @property
    def left_out(self) -> dict[str, str]:
        """Return why the other ones are left out."""
        if self.allow_changes or self.replay is not None:
            return {}
        return {each.value: f"needs {NEEDS_CHANGES}" for each in self._named if each.changes}

    @property
    def _named(self) -> "tuple[FuzzLayer, ...]":
        from umi_cli.certify.fuzz_case import FuzzLayer

        is_all = not self.layer or "all" in self.layer
        return tuple(each for each in FuzzLayer if is_all or each.value in self.layer)

    @property
    def enough(self) -> int:
        """Return how many failures end the run."""
        return DEFAULT_FAILURES if self.stop_after is None else self.stop_after

    @property
    def count(self) -> int | None:
        """Return how many cases are to be made; None for no end."""
        if self.replay is not None:
            return 0
        return DEFAULT_CASES if self.cases is None and self.for_s is None else self.cases


@command(examples=EXAMPLES)
@click.option(
    "--layer", type=click.Choice(LAYERS), multiple=True, help="What is spoilt; default: all"
)
@click.option(
    "--cases",
    type=click.IntRange(0, MAX_CASES),
    metavar="N",
    help=f"How many cases; default: {DEFAULT_CASES}, or without end under --for",
)
@click.option(
    "--for",
    "for_s",
    type=click.FloatRange(0, MAX_FOR_S, min_open=True),
    metavar="SECONDS",
    help="How long to go on",
)
@click.option(
    "--seed",
    type=click.IntRange(0, MAX_SEED),
    default=0,
    metavar="N",
    help="Another seed makes other cases; default: 0",
)
@click.option("--corpus", metavar="DIR", help="Send its cases first; keep failures there")
@click.option("--replay", metavar="CASE|FILE", help="Send one case again, by its name or its file")
@click.option(
    "--minimise/--no-minimise",
    default=None,
    help="Look for the fewest bytes that still fail; default: yes, but not with --replay",
)
@click.option("--allow-changes", is_flag=True, help="Writes, certificates and images as well")
@click.option(
    "--stop-after",
    type=click.IntRange(1, MAX_CASES),
    metavar="N",
    help=f"Failures that are enough; default: {DEFAULT_FAILURES}",
)
@click.option(
    "--power",
    metavar="pins|COMMAND",
    help="What switches the device off and on, and ends then, within 60 s",
)
@click.option("--out", metavar="FILE.json", help="Write what was found as JSON")
@click.option("--as-meter", is_flag=True, help="Fuzz readers instead: this toolkit, or --tcp")
@click.option(
    "--tcp", metavar="HOST:PORT", help="With --as-meter: serve any reader; port 0 is any free one"
)
@pass_app
def fuzz(app: App, **options: Any) -> None:
    """Send a device spoilt exchanges, and see it survive.

    A case is made of a seed, a layer and a number: the same ones make the same bytes again. After
    each case the device must answer, be who it was, and have believed nothing that is wrong.

    Nothing is sent that would change the device, unless --allow-changes is given; the device may
    then be left changed, so take one of the bench. The name of each case is written before it is
    sent: to under-way-PID.txt in the corpus, or in the state directory of this user.

    The exit code is 0 if no case failed, else 53.

    With --as-meter it is the meter that spoils its answers: to this toolkit, which is judged, or
    with --tcp to any reader that calls. That one is not judged: whether it survives, you see at the
    reader; umi certify --as-meter judges. It ends after --cases spoilt answers, after --for or with
    Ctrl-C; the exit code is 2 if no reader came.
    """
    wishes = Wishes(**options)
    _check(app, wishes)
    if wishes.as_meter:
        _fuzz_readers(app, wishes)
        return
    from umi_cli.cli.fuzz_device import fuzz_device

    fuzz_device(app, wishes)


def _fuzz_readers(app: App, wishes: Wishes) -> None:
    if wishes.tcp is None:
        from umi_cli.cli.fuzz_meter import fuzz_toolkit

        fuzz_toolkit(app, wishes)
    else:
        from umi_cli.cli.fuzz_serve import serve_spoilt

        serve_spoilt(app, wishes, wishes.tcp)


def _check(app: App, wishes: Wishes) -> None:
    """Refuse what contradicts itself, before anything is opened."""
    from umi_cli.cli.certify_files import check_places

    if not wishes.layers:
        raise InputError(
            f"the layer {', '.join(wishes.left_out)} changes the device",
            hint=f"allow that with {NEEDS_CHANGES}, on a device of the bench",
        )
    if app.settings.dry_run:
        raise InputError("fuzzing is to send, and this is a dry run", hint="leave --dry-run out")
    if wishes.tcp is not None and not wishes.as_meter:
        raise InputError("--tcp is for --as-meter", hint="a device is named with -p ADDRESS")
    if wishes.as_meter:
        _check_as_meter(wishes)
    check_places(wishes.out)


def _check_as_meter(wishes: Wishes) -> None:
    """Refuse what is for a device."""
    given = {
        "--layer": wishes.layer,
        "--corpus": wishes.corpus,
        "--minimise": wishes.minimise is not None,
        "--allow-changes": wishes.allow_changes,
        "--stop-after": wishes.stop_after,
        "--power": wishes.power,
    }
    for option, is_given in given.items():
        if is_given:
            raise InputError(f"{option} is for a device, and not for --as-meter")
    if wishes.replay is not None and wishes.tcp is not None:
        raise InputError("--replay is for a case of this toolkit's, and not for --tcp")


def case_of(text: str, *, allow_changes: bool) -> "tuple[CaseName | None, FuzzCase | None]":
    """Return the case that `--replay` means: its name, or what a file holds.

    Raises:
        InputError: it means none, or one that may change the device.
    """
    from umi_cli.certify.fuzz_case import CaseName
    from umi_cli.cli.fuzz_files import load_case

    is_file = text.endswith(".json") or Path(text).exists()
    case = load_case(Path(text)) if is_file else None
    if case is not None and not case.pieces:
        raise InputError(f"{text}: there is nothing to send: the case has no pieces")
    name = None if is_file else CaseName.parse(text)
    one = case or name
    if one is not None and (one.changes or one.layer.changes) and not allow_changes:
        raise InputError(
            f"{text} was made where the device may be changed", hint=f"add {NEEDS_CHANGES}"
        )
    return name, case
