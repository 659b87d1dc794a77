"""The zone of this host: its summer time, and the hour that comes twice."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.conftest import call_umi
from umi_cli.cli.window import ZONE, LocalZone

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(autouse=True, scope="module")
def host_in_berlin() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


@given(st.integers(0, 4 * 365 * 48))
def test_each_half_hour_has_the_offset_of_its_season(number: int) -> None:
    moment = datetime(2024, 1, 1, tzinfo=UTC) + number * timedelta(minutes=30)
    local = moment.astimezone(LocalZone())
    assert local.isoformat() == moment.astimezone(BERLIN).isoformat()
    assert local.astimezone(UTC) == moment


def test_a_day_begins_at_the_hosts_midnight() -> None:
    for day in (datetime(2026, 3, 29), datetime(2026, 10, 25), datetime(2026, 12, 1)):
        midnight = day.replace(tzinfo=LocalZone()).astimezone(UTC)
        assert midnight == day.replace(tzinfo=BERLIN).astimezone(UTC)


def test_it_is_asked_for_by_name() -> None:
    zone = ZONE.convert("local", None, None)
    assert isinstance(zone, LocalZone)
    assert str(zone) == "local"


@pytest.mark.parametrize("command", ["profile", "events"])
def test_ends_the_wrong_way_round_leave_the_device_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str
) -> None:
    meter = tmp_path / "meter.json"
    outcome = call_umi(capsys, "-p", f"sim:{meter}", command, "--since", "2h", "--until", "5h")
    assert (outcome.exit, outcome.stdout) == (2, "")
    assert "--since 2h is not before --until 5h" in outcome.stderr
    assert not meter.exists()


def test_ends_that_only_the_clock_can_order_are_named_in_utc(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A meter that was only looked at has started all the same, and its log says so."""
    address = f"sim:{tmp_path}/meter.json?time=2026-03-30T08:00:00Z"
    words = ["profile", "--since", "2h", "--until", "2026-03-30T03:00:00Z"]
    outcome = call_umi(capsys, "-p", address, *words)
    assert outcome.exit == 2
    said = "--since 2026-03-30T06:00:00Z is not before --until 2026-03-30T03:00:00Z"
    assert said in outcome.stderr
    log = call_umi(capsys, "-p", address, "events", "--csv").stdout.splitlines()
    assert [line for line in log if "restart" in line] == log[1:]
    assert log[1].startswith("2026-03-30T08:00:00Z")
