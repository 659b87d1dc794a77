"""`umi spec`: what of UMI is implemented, and on what grounds."""

from dataclasses import asdict

import click

from umi_cli.cli.base import command
from umi_cli.cli.context import App, pass_app
from umi_cli.output.render import Table, View

LEGEND = """\
S  the public UMI overview    F  seen in the field    C  this project's own choice
A choice stands where the specification is not public: it is not the licensed UMI standard."""


@command(examples="umi spec\numi spec --mark C\numi spec --json")
@click.option(
    "--mark", type=click.Choice(["S", "F", "C"], case_sensitive=False), help="Only what rests on it"
)
@pass_app
def spec(app: App, mark: str | None) -> None:
    """Say what of UMI is implemented, and on what grounds."""
    from umi_cli.spec import FEATURES

    features = [feature for feature in FEATURES if mark is None or mark.upper() in feature.marks]
    rows = [[f.clause, f.feature, f.marks, f.state, f.where or None] for f in features]
    table = Table(columns=("clause", "feature", "mark", "state", "where"), rows=rows)
    app.emit([asdict(feature) for feature in features], View(blocks=(table, LEGEND), csv=table))
