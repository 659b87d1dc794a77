"""The README's page "From UMI-S to code", made of the table that `umi spec` prints."""

import re
from collections.abc import Iterator, Sequence

from umi_cli.spec import FEATURES, Feature

BEGIN = "<!-- spec: python -m tests.tour --write makes what follows of umi_cli/spec.py -->"
END = "<!-- /spec -->"
_NAME = re.compile(r"[\w.]*_\w*")  # of the code: it has an underscore


def with_spec_page(lines: Sequence[str]) -> list[str]:
    """Return a README with the page as it should be; `ValueError` where its place is not marked."""
    begin, end = lines.index(BEGIN), lines.index(END)
    return [*lines[: begin + 1], "", *spec_page(), "", *lines[end:]]


def spec_page() -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| clause | mechanism | grounds | in umi_cli | to change a choice |"
    yield "|---|---|---|---|---|"
    for feature in FEATURES:
        change = _NAME.sub(r"`\g<0>`", feature.change)
        cells = (feature.clause, feature.feature, feature.marks, _places(feature), change)
        yield f"| {' | '.join(cells)} |".replace("|  |", "| |")


def _places(feature: Feature) -> str:
    """Return the names of a row, each module once: `types: UmiCode, UmiId`."""
    modules: dict[str, list[str]] = {}
    for module, name in feature.places:
        modules.setdefault(module, []).extend([name] if name else [])
    return "; ".join(
        f"`{module}`{': ' if names else ''}{', '.join(f'`{name}`' for name in names)}"
        for module, names in modules.items()
    )
