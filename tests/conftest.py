"""What holds for every test: large families run in part, and processes can be interrupted."""

import os
import signal
from zlib import crc32

import pytest

ALL_VARIABLE = "UMI_TEST_ALL"
KEPT_IN = 3
"""One row in so many is kept, the same ones each time."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", f"sampled: one row in {KEPT_IN} runs, and every one with {ALL_VARIABLE}=1"
    )
    for number in (signal.SIGINT, signal.SIGHUP):
        # A shell starts background jobs without the one, nohup without the other: so would we.
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def pytest_report_header() -> list[str]:
    if os.environ.get(ALL_VARIABLE):
        return []
    return [f"large families: one row in {KEPT_IN} runs; {ALL_VARIABLE}=1 runs all"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get(ALL_VARIABLE):
        return
    left_out = [item for item in items if not _is_kept(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if _is_kept(item)]


def _is_kept(item: pytest.Item) -> bool:
    # By its name and not by its place: no parameter can fall in step with it.
    sampled = item.get_closest_marker("sampled")
    return sampled is None or crc32(item.name.encode()) % KEPT_IN == 0
