"""`umi spec`: what of UMI is implemented, on what grounds, where, and how to change a choice."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from umi_cli.cli.base import command
from umi_cli.cli.context import App, pass_app
from umi_cli.errors import InputError
from umi_cli.output.render import Table, View

if TYPE_CHECKING:
    from umi_cli.spec import Feature

LEGEND = """\
S  the public UMI overview    F  seen in the field    C  this project's own choice
A choice stands where the specification is not public: it is not the licensed UMI standard."""

EXAMPLES = """\
umi spec
umi spec --mark C
umi spec fragment
umi spec --json
"""


@command(examples=EXAMPLES)
@click.argument("word", required=False)
@click.option(
    "--mark", type=click.Choice(["S", "F", "C"], case_sensitive=False), help="Only what rests on it"
)
@pass_app
def spec(app: App, word: str | None, mark: str | None) -> None:
    """Say what of UMI is implemented, and on what grounds.

    With a WORD, such as fragment or link.crc, only what it is in, with the names in the code and
    how a choice is changed.
    """
    from umi_cli.spec import FEATURES

    found = [
        feature
        for feature in FEATURES
        if (mark or "").upper() in feature.marks and _mentions(feature, word or "")
    ]
    if not found:
        raise InputError(f"nothing is marked or named like that: {word}", hint="list: umi spec")
    rows = [[f.clause, f.feature, f.marks, f.state, _modules(f) or None] for f in found]
    table = Table(columns=("clause", "feature", "mark", "state", "where"), rows=rows)
    blocks = map(_details, found) if word else (table, LEGEND)
    whole = Table(columns=tuple(asdict(found[0])), rows=[list(asdict(f).values()) for f in found])
    app.emit([asdict(feature) for feature in found], View(blocks=blocks, csv=whole))


def _mentions(feature: "Feature", word: str) -> bool:
    return word.lower() in f"{feature.feature} {feature.where}".lower()


def _modules(feature: "Feature") -> str:
    return ", ".join(dict.fromkeys(module for module, _ in feature.places))


def _details(feature: "Feature") -> Table:
    names = {
        "feature": feature.feature,
        "clause": feature.clause,
        "mark": feature.marks,
        "state": feature.state,
        "where": feature.where,
        "to change it": feature.change,
    }
    return Table.pairs({name: text for name, text in names.items() if text})
