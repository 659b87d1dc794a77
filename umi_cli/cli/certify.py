"""`umi certify`: the compliance suite against a device, and its reports."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from umi_cli.cli import params
from umi_cli.cli.base import command
from umi_cli.cli.certify_reader import (
    certify_reader,
    of_no_such_level,
    reader_options,
    reader_wishes,
)
from umi_cli.cli.context import App, pass_app
from umi_cli.errors import InputError, LostError, SomeFailedError
from umi_cli.names import near

if TYPE_CHECKING:
    from umi_cli.certify.bench import Bench
    from umi_cli.certify.case import Case, Level, Need
    from umi_cli.certify.report import RunReport

RESUME = "--resume"
LEVELS = ("link", "application", "objects", "security", "image", "timing", "all")
MAX_SEED = 2**63
EXAMPLES = """\
umi certify --list --level link
umi certify --explain LNK-012
umi -p auto certify --html report.html --out report.json
umi -p tcp:192.0.2.7:4059 certify --only "LNK-04*" --only OBJ-001
umi -p auto --key office.pem --cert chain.cvc --anchor root.cvc certify --allow-changes
umi -p auto certify --baseline last-week.json --junit certify.xml
umi -p auto certify --resume
umi certify --as-meter --tcp 127.0.0.1:0 --each "umi -p {address} read manufacturer-id"
umi certify --as-meter --call 192.0.2.7:4059 --only "RDR-00*" --html reader.html
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the user says of a run."""

    level: tuple[str, ...]
    only: tuple[str, ...]
    listing: bool
    explain: str | None
    allow_changes: bool
    destructive: bool
    seed: int
    quiet: float | None
    state: bool
    role_key: str | None
    ca_key: str | None
    ca_cert: str | None
    power: str | None
    out: str | None
    junit: str | None
    html: str | None
    baseline: str | None
    resume: bool

    @property
    def levels(self) -> "tuple[Level, ...]":
        """Return the levels that are meant, in their order."""
        from umi_cli.certify.case import Level

        is_all = not self.level or "all" in self.level
        return tuple(each for each in Level if is_all or each.value in self.level)

    @property
    def allowed(self) -> "frozenset[Need]":
        """Return what the user allows; what cannot be undone is a change as well."""
        from umi_cli.certify.case import Need

        if self.destructive:
            return frozenset({Need.CHANGES, Need.DESTRUCTION})
        return frozenset({Need.CHANGES} if self.allow_changes else ())


def _split(_: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """Take `A,B` for both."""
    return tuple(glob for each in given for glob in each.split(",") if glob)


@command(examples=EXAMPLES)
@click.option(
    "--level", type=click.Choice(LEVELS), multiple=True, help="Tests of this level; repeatable"
)
@click.option(
    "--only",
    metavar="GLOB[,GLOB]",
    multiple=True,
    callback=_split,
    help="Tests of these numbers; repeatable",
)
@click.option("--list", "listing", is_flag=True, help="List the tests; needs no device")
@click.option("--explain", metavar="NUMBER", help="Say what a test is about; needs no device")
@click.option("--allow-changes", is_flag=True, help="Tests too that change the device and undo it")
@click.option("--destructive", is_flag=True, help="Tests too whose change cannot be undone")
@click.option(
    "--seed",
    type=click.IntRange(0, MAX_SEED),
    default=0,
    metavar="N",
    help="Of what tests leave to chance; default: 0",
)
@click.option(
    "--quiet", type=params.SECONDS, metavar="SECONDS", help="How long a silence has to be"
)
@click.option(
    "--state/--no-state", default=True, help="Compare the device after and before; default: yes"
)
@click.option("--role-key", metavar="ROLE:SOURCE", help="Scheme 1 key of a role")
@click.option("--ca-key", metavar="SOURCE", help="Key of an authority that the device trusts")
@click.option("--ca-cert", metavar="FILE", help="Certificate of that authority")
@click.option(
    "--power",
    metavar="pins|COMMAND",
    help="What switches the device off and on, and ends then, within 60 s",
)
@click.option("--out", metavar="FILE.json", help="Write the report as JSON")
@click.option("--junit", metavar="FILE.xml", help="Write it as JUnit XML, for a build server")
@click.option("--html", metavar="FILE.html", help="Write it as one page, for people")
@click.option("--baseline", metavar="FILE.json", help="Fail only for what an earlier report passed")
@click.option(RESUME, is_flag=True, help="Go on where an interrupted run stopped")
@reader_options
@pass_app
def certify(app: App, **options: Any) -> None:
    """Test a device against the standard, test by test.

    Nothing that a test sends changes the device unless --allow-changes or --destructive is given;
    what it holds before and after is compared. Tests whose needs are not met are left out, and the
    report says what to give. Files that are there are replaced.

    The exit code is 0 if all that ran passed and the device is as before, else 53; with --baseline
    53 only if something fails that did not. It is 2 if no test was run, and 17 if the device went
    away in the middle. What is interrupted is kept, and goes on with --resume.

    With --as-meter a reader is certified: we are its meter, and misbehave in one way after the
    other. --each runs the reader for every scenario, or only for those of a TASK: read, many, long,
    session or role; it has to end with 0 if it did what it was to do. Without, a person is told
    what to have the reader do. --timeout says how long the reader waits for an answer; default: 2
    seconds.
    """
    from umi_cli.cli import certify_view

    if (reader := reader_wishes(options)) is not None:
        _judge(certify_reader(app, reader))
        return
    wishes = Wishes(**options)
    if wishes.explain is not None:
        app.emit(*certify_view.explanation_of(_case(wishes.explain)))
        return
    cases = _chosen(wishes)
    if wishes.listing:
        app.emit(*certify_view.list_of(cases))
    else:
        _certify(app, cases, wishes)


def _case(number: str) -> "Case":
    """Return a test by its number; `InputError` if there is none."""
    from umi_cli.certify.suite import CASES

    case = CASES.get(number.upper())
    if case is None:
        hint = near(number.upper(), CASES) or "list them with: umi certify --list"
        raise InputError(f"there is no test {number!r:.60}", hint=hint)
    return case


def _chosen(wishes: Wishes) -> "list[Case]":
    """Return the tests that are meant; `InputError` if there are none."""
    from umi_cli.certify.case import Level
    from umi_cli.certify.suite import CASES, chosen

    for glob in wishes.only:
        if not chosen(wishes.levels, [glob]):
            of_others = chosen(Level, [glob])
            if of_others:
                raise of_no_such_level(glob, (each.level for each in of_others), wishes.level)
            hint = near(glob.upper(), CASES) or "list them with: umi certify --list"
            raise InputError(f"--only {glob}: there is no such test", hint=hint)
    return chosen(wishes.levels, wishes.only)


def _certify(app: App, cases: "Sequence[Case]", wishes: Wishes) -> None:
    from umi_cli.cli import certify_bench, certify_files, certify_run

    certify_files.check_places(wishes.out, wishes.junit, wishes.html)
    earlier = None if wishes.baseline is None else certify_files.load_baseline(wishes.baseline)
    proofs = certify_bench.proofs_of(app, wishes.role_key, wishes.ca_key, wishes.ca_cert)
    if wishes.destructive:
        app.confirm(loss="change the device in ways that cannot be undone")
    with certify_bench.bench_of(
        app, proofs, seed=wishes.seed, quiet_s=wishes.quiet, power=wishes.power
    ) as bench:
        if app.settings.dry_run:
            _plan(app, bench, cases, wishes)
            return
        run = certify_run.Run(app, bench, cases, wishes)
        report = run.report(run.run(), earlier)
    certify_files.write_reports(report, out=wishes.out, junit=wishes.junit, html=wishes.html)
    _tell(app, report)
    if report.stopped:
        raise LostError(report.stopped, hint=f"bring it back, and go on with: {run.how_to_go_on}")
    run.forget()
    _judge(report)


def _plan(app: App, bench: "Bench", cases: "Sequence[Case]", wishes: Wishes) -> None:
    """Tell what would be run, and run nothing."""
    from umi_cli.certify.run import missing
    from umi_cli.cli.certify_view import plan_of

    there = bench.has | wishes.allowed
    app.emit(*plan_of(cases, {each.number: missing(each, there) for each in cases}))


def _tell(app: App, report: "RunReport") -> None:
    from umi_cli.certify.report import document_of
    from umi_cli.cli.certify_view import view_of

    app.emit(document_of(report), view_of(report))


def _judge(report: "RunReport | None") -> None:
    """Say in the exit code what came of it.

    Raises:
        InputError: no test was run, so that nothing is certain.
        SomeFailedError: tests failed, or the device is not as before.
    """
    if report is None:
        return
    ran = len(report.tests) - sum(map(len, report.left_out.values()))
    if not ran:
        raise InputError(
            f"none of the {len(report.tests)} tests was run: the first {report.tests[0].message}",
            hint="give what they need, or see it with: umi certify --list",
        )
    if report.is_good:
        return
    hint = "see why in the report; what a test is about says: umi certify --explain NUMBER"
    if report.baseline is not None and report.baseline.newly_failing:
        numbers = ", ".join(report.baseline.newly_failing)
        raise SomeFailedError(f"what did not fail in the baseline fails now: {numbers}", hint=hint)
    if report.failed:
        raise SomeFailedError(f"{len(report.failed)} of {ran} tests failed", hint=hint)
    raise SomeFailedError("the device is not as it was before the tests", hint=hint)
