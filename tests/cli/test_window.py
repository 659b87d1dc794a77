"""The zone of this host: its summer time, and the hour that comes twice."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
