"""`umi spec` tells the truth: what it names is there, and each choice in the code is named."""

import ast
import importlib
import re
from pathlib import Path

import pytest

import umi_cli
from tests.cli.conftest import run_umi
from umi_cli.spec import FEATURES, Feature

PACKAGE = Path(umi_cli.__file__).parent
CHOICE = re.compile(r"# choice\b")


def sources_with_choices() -> list[str]:
    paths = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.toml")]
    found = [path for path in paths if CHOICE.search(path.read_text(encoding="utf-8"))]
    return sorted(path.relative_to(PACKAGE).as_posix() for path in found)


def place_of(source: str) -> str:
    """Return how the table names a source: `link.crc`, or a path that is no module's."""
    return source.removesuffix(".py").replace("/", ".") if source.endswith(".py") else source


def chosen_names(source: str) -> set[str]:
    """Return the names that are named for a module in C rows."""
    rows = [feature for feature in FEATURES if "C" in feature.marks]
    return {name for row in rows for place, name in row.places if place == place_of(source)}


def names_at(tree: ast.Module, line: int) -> set[str]:
    """Return the names that a comment is about: what it stands in, or above."""
    below = [node for node in tree.body if (node.end_lineno or 0) >= line]
    if isinstance(below[0], ast.Expr):  # the docstring of the module speaks of all of it
        return {name for node in tree.body for name in defined(node)}
    names = defined(below[0])
    if isinstance(below[0], ast.ClassDef):
        inner = next((each for each in below[0].body if (each.end_lineno or 0) >= line), None)
        names |= {f"{below[0].name}.{name}" for name in (defined(inner) if inner else ())}
    return names


def defined(node: ast.stmt) -> set[str]:
    """Return the names that a statement defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


@pytest.mark.parametrize("source", sources_with_choices())
def test_each_choice_stands_in_a_row(source: str) -> None:
    chosen = chosen_names(source)
    assert chosen, f"umi_cli/spec.py has no C row that names {place_of(source)}"
    if not source.endswith(".py"):
        return
    text = (PACKAGE / source).read_text(encoding="utf-8")
    tree = ast.parse(text)
    for number, line in enumerate(text.splitlines(), start=1):
        if CHOICE.search(line):
            about = names_at(tree, number)
            assert about & chosen, f"no C row names {about}, line {number} of {source}"


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.feature)
def test_row_is_well_formed(feature: Feature) -> None:
    assert re.fullmatch(r"[SFC](/[SFC])*", feature.marks)
    assert re.fullmatch(r"\d+(\.\d+)?", feature.clause)
    assert bool(feature.where) == (feature.state == "implemented")
    assert bool(feature.change) == ("C" in feature.marks)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.feature)
def test_what_a_row_names_is_there(feature: Feature) -> None:
    for place, name in feature.places:
        if "/" in place:
            assert (PACKAGE / place).is_file()
            continue
        found = importlib.import_module(f"umi_cli.{place}")
        for attribute in filter(None, name.split(".")):
            found = getattr(found, attribute)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.feature)
def test_what_is_to_be_changed_is_there(feature: Feature) -> None:
    """Names in code style: CONSTANTS, _private, with_underscores, module:name, Class.method."""
    sources = "".join(
        (PACKAGE / (place if "/" in place else f"{place.replace('.', '/')}.py")).read_text()
        for place, _ in feature.places
    )
    for word in re.findall(r"(?:[\w.]+:)?[A-Za-z_.]*_\w+|[A-Z][a-z]+\.\w+", feature.change):
        assert word.rpartition(":")[2].rpartition(".")[2] in sources, word


def test_clauses_are_in_order() -> None:
    clauses = [[int(number) for number in feature.clause.split(".")] for feature in FEATURES]
    assert clauses == sorted(clauses)
    assert {clause[0] for clause in clauses} == set(range(1, 11))


def test_rows_are_unique() -> None:
    assert len({feature.feature for feature in FEATURES}) == len(FEATURES)


def test_mark_selects() -> None:
    data = run_umi("spec", "--mark", "c", "--json").document["data"]
    assert data
    assert all("C" in feature["marks"] for feature in data)


def test_people_are_told_what_a_choice_is() -> None:
    assert "not the licensed UMI standard" in run_umi("spec").stdout


def test_a_word_shows_the_names_and_how_to_change_them() -> None:
    shown = run_umi("spec", "wraps from 15").stdout
    assert "link.commander:next_command_sequence" in shown
    assert "to change it" in shown


def test_a_word_that_is_nowhere_is_told() -> None:
    outcome = run_umi("spec", "telegraph")
    assert (outcome.exit, outcome.stdout) == (2, "")
    assert "telegraph" in outcome.stderr
