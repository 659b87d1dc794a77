"""The event log in a virtual meter's state file: what it has logged, and what it shall have."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from umi_cli.connecting import connect

Record = tuple[int, int, str]
"""Event, UMI datetime, data as hex."""


def log_events(state: Path, records: Sequence[Record]) -> None:
    """Make a state file whose event log has these records and no other."""
    if not state.exists():
        with connect(f"sim:{state}") as meter:
            meter.ping()
    content = json.loads(state.read_text())
    content["events"]["records"] = [
        (number, time_s, data.ljust(16, "0")) for number, time_s, data in records
    ]
    state.write_text(json.dumps(content))


def logged_events(state: Path) -> list[Record]:
    """Return what a meter has logged."""
    content: dict[str, Any] = json.loads(state.read_text())
    return [(number, time_s, data) for number, time_s, data in content["events"]["records"]]
