"""Every command, on success and in each way it can fail, as people and as programs see it."""

import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.cli.matrix import MAKER, ROWS, OnDevice, Row, Serving
from tests.cli.matrix_check import check
from tests.cli.matrix_desk import FORMS, WHILE_LOCKED, MatrixDesk, Runs, matrix_desk
from tests.cli.test_help import ALL, find
from umi_cli.cli.params import Parsed

QUICK = "--timeout 0.05 --retries 1"
SCHEME_1 = "--scheme 1 --role service --anchor {d}/root.cvc"
BOTH = ("table", "json")
WAYS: dict[str, tuple[str, int]] = {
    "no device is named": ("", 2),
    "no such host": ("-p tcp:127.0.0.1:1", 10),
    "no such port": ("-p serial:/nonexistent/probe@9600", 10),
    "another program has the port": ("-p {busy}", 11),
    "nobody answers": (f"-p sim:?fault=drop:1 {QUICK}", 14),
    "what comes is noise": (f"-p {{garbage}} {QUICK}", 15),
    "it is no UMI meter": ("-p opto:sim?y=7", 16),
    "it hangs up": ("-p {leaver}", 17),
    "our key is not the one it knows": (
        f"-p sim:{{w}}/meter.json {SCHEME_1} --key {{d}}/other.key",
        20,
    ),
    "it is locked": (
        f"-p sim:{{w}}/locked-out.json?time={WHILE_LOCKED} {SCHEME_1} --key {{d}}/service.key",
        21,
    ),
    "there is no key": (f"-p sim {MAKER.replace('maker.pem', 'nosuch.pem')}", 22),
    "it is not trusted": (
        f"-p sim:{{w}}/meter.json {MAKER.replace('root', 'other-root')}",
        24,
    ),
    "it lies": ("-p {liar}", 33),
}
ON_DEVICE = [row for row in ROWS if isinstance(row, OnDevice)]
FINITE = [row for row in ROWS if not isinstance(row, Serving)]
GROUPS = [
    path
    for path in ALL
    if isinstance(group := find(path), click.Group) and not group.invoke_without_command
]


def named(row: Row) -> str:
    return row.line()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MatrixDesk]:
    with matrix_desk(tmp_path_factory.mktemp("matrix")) as made:
        yield made


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nonexistent")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "kept"))


@pytest.fixture
def runs(desk: MatrixDesk, tmp_path: Path) -> Runs:
    return Runs(desk, tmp_path)


def test_every_command_has_a_row() -> None:
    assert {row.command for row in ROWS} == {" ".join(path) for path in ALL if path not in GROUPS}


@pytest.mark.parametrize("row", FINITE, ids=named)
def test_success(runs: Runs, row: Row) -> None:
    runs.check(row.run(), 0, ("table", "json", "events"), is_said=row.is_said)


@pytest.mark.sampled
@pytest.mark.parametrize("form", ["csv", "raw"])
@pytest.mark.parametrize("row", FINITE, ids=named)
def test_other_forms(runs: Runs, row: Row, form: str) -> None:
    """A result has them or it does not; in that case nothing is done at all."""
    outcome = runs.run(f"{row.run()} {FORMS[form]}")
    check(outcome, form, 0 if outcome.exit == 0 else 2, is_said=row.is_said)
    if outcome.exit == 2:
        assert "umi: this result " in outcome.stderr
        assert runs.changes() == {}


@pytest.mark.sampled
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("row", ON_DEVICE, ids=named)
def test_each_way_to_a_device(runs: Runs, row: OnDevice, way: str) -> None:
    address, code = WAYS[way]
    own = "" if "--key" in address else row.own
    for form in BOTH:
        outcome = runs.run(f"{address} {own} {row.line()} {FORMS[form]}")
        check(outcome, form, row.ways.get(way, code), is_said=row.is_said)
        assert address or "no device is named" in outcome.stdout + outcome.stderr


@pytest.mark.sampled
@pytest.mark.parametrize("row", ON_DEVICE, ids=named)
def test_no_permission(runs: Runs, row: OnDevice) -> None:
    """As nobody we read no keys, either: what needs any is left to who does not test as root."""
    if "{" in row.own + row.words and os.geteuid() == 0:
        pytest.skip("root may open every port, and nobody has no files here")
    if os.geteuid() == 0 and not all(each.stat().st_mode & 1 for each in Path(__file__).parents):
        pytest.skip("root may open every port, and nobody may not read this checkout")
    for form in BOTH:
        outcome = runs.run(f"-p {{shut}} {row.line()} {FORMS[form]}", is_nobody=True)
        check(outcome, form, 12)


@pytest.mark.parametrize(
    ("row", "words"),
    [pytest.param(row, words, id=row.line(words)) for row in ROWS for words in row.fails],
)
def test_own_failures(runs: Runs, row: Row, words: str) -> None:
    runs.check(row.run(words), row.fails[words], BOTH, is_said=row.is_said)


@pytest.mark.parametrize("row", [row for row in ON_DEVICE if row.changes], ids=named)
def test_a_dry_run_changes_nothing(runs: Runs, row: OnDevice) -> None:
    for form in BOTH:
        check(runs.run(f"{row.run()} --dry-run {FORMS[form]}"), form, 0, is_said=True)
        assert runs.changes() == {}


@pytest.mark.parametrize("row", [row for row in ROWS if row.asks is not None], ids=named)
@pytest.mark.parametrize("option", ["--no-input", "--json"])
def test_a_question_that_nobody_answers(runs: Runs, row: Row, option: str) -> None:
    outcome = runs.run(f"{row.run(row.asks)} {option}")
    check(outcome, "json" if option == "--json" else "table", 2)
    assert "--yes" in outcome.stdout + outcome.stderr
    assert runs.changes() == {}


@pytest.mark.sampled
@pytest.mark.parametrize("row", ROWS, ids=named)
def test_usage(runs: Runs, row: Row) -> None:
    """An option that nobody knows; a value that is none for each option that has a type."""
    runs.check(f"{row.line()} --nosuch", 2, BOTH)
    for param in find(tuple(row.command.split())).params:
        if isinstance(param, click.Option) and isinstance(param.type, Parsed | click.Choice):
            runs.check(f"{row.line()} {param.opts[-1]} no^such", 2, ("table",))


@pytest.mark.sampled
@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_a_missing_argument(runs: Runs, path: tuple[str, ...]) -> None:
    required = [param for param in find(path).params if param.required]
    if required:
        runs.check(" ".join(path), 2, BOTH)


@pytest.mark.parametrize("path", GROUPS, ids=" ".join)
def test_a_group_alone(runs: Runs, path: tuple[str, ...]) -> None:
    runs.check(" ".join(path), 2, BOTH)
    runs.check(" ".join((*path, "nosuch")), 2, BOTH)
