"""The living objects: clock, half-hourly profile, event log, valve."""

from datetime import datetime
from struct import iter_unpack
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.load_vectors import octets, vector
from tests.virtual.bench import START_S, START_UNIX_S, Bench
from umi_cli.application.codes import ResultCode
from umi_cli.types import EPOCH_UNIX_S, MAX_DATETIME_S, Role, UmiId
from umi_cli.virtual.delivered import VIRTUAL_METER_ID, new_memory
from umi_cli.virtual.event_log import CAPACITY as LOG_CAPACITY
from umi_cli.virtual.event_log import EventLog
from umi_cli.virtual.metering import Metering
from umi_cli.virtual.profile import (
    CAPACITY,
    CLOCK_IN_SYNC,
    CLOCK_SET,
    DELIVERED,
    SOFTWARE_RESTART,
    LoadProfile,
)

HALF_HOUR_S = 1800


def profile(bench: Bench) -> list[tuple[int, int, int, int]]:
    """Return (reading, timestamp_s, status, rate) of each entry, as the bytes have them."""
    return list(iter_unpack("<IIHH", bench.read("profile-table")))


def events(bench: Bench) -> list[tuple[int, int, bytes]]:
    return list(iter_unpack("<II8s", bench.read("event-table")))


def seconds(moment: object) -> int:
    return int(cast(datetime, moment).timestamp()) - EPOCH_UNIX_S


def status(bench: Bench, name: str) -> dict[str, object]:
    return cast(dict[str, object], bench.value(name))


def set_clock(bench: Bench, to_s: int) -> ResultCode:
    return bench.write("clock-control", to_s.to_bytes(4, "little") + bytes(4))


def test_the_clock_runs_with_the_hosts() -> None:
    """The meter's time is UTC in seconds since 2000, and it passes."""
    bench = Bench()
    assert bench.clock_s == START_S == 848_656_800
    assert status(bench, "metrology-clock")["now"] == datetime.fromisoformat("2026-11-22T10:00Z")
    bench.wait(61.5)
    assert seconds(status(bench, "metrology-clock")["now"]) == START_S + 61


def test_a_new_meter_has_hung_on_its_wall_for_a_week() -> None:
    """Its profile holds 336 half hours up to now, without a gap, in ascending readings."""
    entries = profile(Bench())
    assert len(entries) == DELIVERED == 336
    assert [entry[1] for entry in entries] == [
        START_S - (335 - number) * HALF_HOUR_S for number in range(336)
    ]
    readings = [entry[0] for entry in entries]
    assert readings == sorted(readings)
    assert {entry[2:] for entry in entries} == {(CLOCK_IN_SYNC, 100)}


@pytest.mark.parametrize(
    ("after_s", "more"), [(0, 0), (1799, 0), (1800, 1), (1801, 1), (5400, 3), (86_400, 48)]
)
def test_an_entry_for_each_half_hour_that_passes(after_s: int, more: int) -> None:
    """On the half hour to the second, at once or bit by bit, and never twice."""
    at_once, by_and_by = Bench(), Bench()
    at_once.wait(after_s)
    for _ in range(600):
        by_and_by.wait(after_s / 600)
    assert profile(at_once) == profile(by_and_by)
    times = [entry[1] for entry in profile(at_once)]
    assert len(times) == 336 + more
    assert times[-1] == START_S + more * HALF_HOUR_S
    for _ in range(3):
        at_once.wait(0)
    assert len(profile(at_once)) == 336 + more


def test_the_profile_holds_100_days() -> None:
    """The oldest entries go first, whether time passes bit by bit or in one leap of years."""
    bench = Bench()
    for _ in range(120):
        bench.wait(86_400)
    leap = Bench()
    leap.wait(3 * 365 * 86_400)
    for each in (bench, leap):
        entries = profile(each)
        assert len(entries) == CAPACITY == 4800
        assert entries[-1][1] == each.clock_s
        assert entries[0][1] == each.clock_s - 4799 * HALF_HOUR_S


@given(
    st.lists(
        st.tuples(st.integers(0, 20_000), st.none() | st.integers(1, 2_000_000_000)), max_size=8
    )
)
def test_nothing_is_made_up_when_the_clock_is_set(steps: list[tuple[int, int | None]]) -> None:
    """Each half hour that the meter's clock passed by itself has one entry; jumps have none."""
    bench = Bench(role=Role.SERVICE)
    expected = [START_S - number * HALF_HOUR_S for number in reversed(range(336))]
    for passing_s, to_s in steps:
        begin_s = bench.clock_s
        bench.wait(passing_s)
        expected += [
            moment
            for moment in range(begin_s + 1, begin_s + passing_s + 1)
            if moment % HALF_HOUR_S == 0
        ]
        if to_s is not None:
            assert set_clock(bench, to_s) == ResultCode.OK
            assert bench.clock_s == to_s
    assert [entry[1] for entry in profile(bench)] == expected


@pytest.mark.parametrize("by_s", [-90_000, -3600, -1, 1, 3600, 90_000])
def test_the_first_entry_behind_a_clock_set_says_so(by_s: int) -> None:
    """Status bit 1 casts doubt on the one entry whose half hour was not a whole one."""
    bench = Bench(role=Role.SERVICE)
    bench.wait(900)
    assert set_clock(bench, bench.clock_s + by_s) == ResultCode.OK
    assert len(profile(bench)) == 336
    bench.wait(2 * HALF_HOUR_S)
    first, second = profile(bench)[336:]
    assert first[2] == CLOCK_IN_SYNC | CLOCK_SET
    assert second[2] == CLOCK_IN_SYNC


@pytest.mark.parametrize(
    ("cut_s", "back_s", "seen_s", "missing"),
    [
        (900, 1799, 1900, []),
        (900, 1801, 1900, [1800]),
        (1800, 1805, 9000, []),
        (900, 6000, 90_000, [1800, 3600, 5400]),
    ],
)
def test_a_power_cut_leaves_a_gap(cut_s: int, back_s: int, seen_s: int, missing: list[int]) -> None:
    """Half hours that end without power have no entry; the next one tells of the restart."""
    bench = Bench()
    bench.wait(cut_s)
    bench.meter.lose_power(bench.now + back_s - cut_s)
    for moment_s in (back_s - 1, seen_s):  # off, and long back
        bench.wait(moment_s - bench.now)
    found = {entry[1] - START_S: entry[2] for entry in profile(bench)[336:]}
    due = range(HALF_HOUR_S, seen_s + 1, HALF_HOUR_S)
    assert list(found) == [moment_s for moment_s in due if moment_s not in missing]
    restarted = [moment_s for moment_s, status in found.items() if status & SOFTWARE_RESTART]
    assert restarted == [moment_s for moment_s in found if moment_s >= back_s][:1]
    assert events(bench)[-1][:2] == (16, START_S + back_s)


def test_a_clock_that_was_set_is_logged_and_goes_on_from_there() -> None:
    """Event 18 carries the change in seconds; last_sync is the new time; 0 is no time."""
    bench = Bench(role=Role.SERVICE)
    assert set_clock(bench, START_S - 100) == ResultCode.OK
    assert events(bench)[-1] == (18, START_S - 100, b"\x9c\xff\xff\xff" + bytes(4))
    assert seconds(status(bench, "metrology-clock")["last_sync"]) == START_S - 100
    bench.wait(10)
    assert bench.clock_s == START_S - 90
    assert set_clock(bench, 0) == ResultCode.INVALID_VALUE
    assert set_clock(bench, 1) == ResultCode.OK
    assert set_clock(bench, MAX_DATETIME_S) == ResultCode.OK
    bench.wait(5000)  # past the end of all UMI datetimes the clock stands still
    assert bench.clock_s == MAX_DATETIME_S


@pytest.mark.parametrize("utc", [0.0, EPOCH_UNIX_S, EPOCH_UNIX_S + 1800.0, EPOCH_UNIX_S + 9999.0])
def test_a_clock_near_the_beginning_of_time(utc: float) -> None:
    """There is no entry before 2000, nor one whose time would read as "not set"."""
    memory = new_memory("ei4", VIRTUAL_METER_ID)
    metering = Metering(memory)
    metering.advance(utc)
    assert metering.now_s == max(1, int(utc) - EPOCH_UNIX_S)
    times = [record[1] for record in memory.profile.records]
    assert times == list(range(HALF_HOUR_S, metering.now_s + 1, HALF_HOUR_S))


def test_the_profile_status_tells_of_the_window() -> None:
    """Entries and first timestamp are those of the table from start_time on; the UID is field's."""
    bench = Bench(role=Role.HOST)
    bench.wait(100)
    whole = status(bench, "profile-status")
    assert whole["entries"] == 336
    assert seconds(whole["first_timestamp"]) == START_S - 335 * HALF_HOUR_S
    assert seconds(whole["last_execution"]) == START_S
    assert whole["start_time"] is None
    assert whole["meter_uid"] == vector("meter-uid")["value"]
    assert bench.read("profile-status/meter_uid") == octets("meter-uid", "bytes")
    start_s = START_S - 10 * HALF_HOUR_S
    control = start_s.to_bytes(4, "little") + bytes(4)
    for shift_s, entries in ((0, 11), (1, 10), (10 * HALF_HOUR_S, 1), (10 * HALF_HOUR_S + 1, 0)):
        raw = (start_s + shift_s).to_bytes(4, "little")
        assert bench.write("profile-control", raw + control[4:]) == ResultCode.OK
        assert len(profile(bench)) == entries
        window = status(bench, "profile-status")
        assert window["entries"] == entries
        assert seconds(window["start_time"]) == start_s + shift_s
        if entries == 0:
            assert window["first_timestamp"] is None
    assert bench.write("profile-control", bytes(8)) == ResultCode.OK
    assert len(profile(bench)) == 336


def test_each_meter_has_its_own_consumption() -> None:
    """It depends on the UMI ID and the time alone, so a run can be run again."""
    same, again, other = (LoadProfile(seed) for seed in (1, 1, 2))
    for each in (same, again, other):
        each.advance(START_S)
    assert same.records == again.records
    assert same.records != other.records


def test_a_reading_turns_over_at_its_width() -> None:
    """A counter of 32 bits goes on from 0."""
    full = LoadProfile(1, [(0xFFFF_FFFF, START_S, 1, 100)], due_s=START_S + HALF_HOUR_S)
    full.advance(START_S + 86_400)
    assert len(full.records) == 49
    assert full.records[-1][0] < 100_000


def test_a_new_meter_has_started_once() -> None:
    """The log begins with the restart; nothing else is made up."""
    bench = Bench()
    assert events(bench) == [(16, START_S, bytes(8))]
    bench.wait(86_400)
    assert len(events(bench)) == 1
    assert status(bench, "event-status")["active"] == 1 << 16


def test_what_is_done_to_the_meter_is_logged() -> None:
    """Valve, configuration and clock, each with its data, at the meter's time."""
    bench = Bench(role=Role.SERVICE)
    bench.wait(5)
    assert bench.write("valve", "closed") == ResultCode.OK
    assert bench.write("valve", "open") == ResultCode.OK
    assert bench.write("wan-configuration/primary_port", 4060) == ResultCode.OK
    assert events(bench)[1:] == [
        (6, START_S + 5, bytes(8)),
        (5, START_S + 5, bytes(8)),
        (3, START_S + 5, bytes.fromhex("0bc20101 0000 0000")),  # umi.1.1.194.11, no error
    ]
    assert status(bench, "event-status") == {
        "start_time": None,
        "last_execution": datetime.fromisoformat("2026-11-22T10:00:05Z"),
        "entries": 4,
        "format_code": 0,
        "first_timestamp": datetime.fromisoformat("2026-11-22T10:00:00Z"),
        "latest_timestamp": datetime.fromisoformat("2026-11-22T10:00:05Z"),
        "active": 1 << 16 | 1 << 6 | 1 << 5 | 1 << 3,
    }


@pytest.mark.parametrize(("role", "value"), [(Role.GUEST, b"\x00"), (Role.SERVICE, b"\x07")])
def test_what_was_refused_is_not_logged(role: Role, value: bytes) -> None:
    bench = Bench(role=role)
    assert bench.write("valve", value) != ResultCode.OK
    assert len(events(bench)) == 1


def test_events_are_acknowledged_bit_by_bit_and_windowed_by_time() -> None:
    """`acknowledge` takes active events back; `start_time` hides older records, deletes none."""
    bench = Bench(role=Role.SERVICE)
    bench.wait(10)
    bench.write("valve", "closed")
    bench.wait(10)
    bench.write("valve", "open")

    def control(start_s: int, acknowledge: int) -> None:
        raw = start_s.to_bytes(4, "little") + bytes(4) + acknowledge.to_bytes(4, "little")
        assert bench.write("event-control", raw) == ResultCode.OK

    control(START_S + 10, 1 << 6)
    assert [event[:2] for event in events(bench)] == [(6, START_S + 10), (5, START_S + 20)]
    window = status(bench, "event-status")
    assert window["active"] == 1 << 16 | 1 << 5
    assert (window["entries"], seconds(window["first_timestamp"])) == (2, START_S + 10)
    control(START_S + 21, 0xFFFF_FFFF)
    assert events(bench) == []
    window = status(bench, "event-status")
    assert (window["entries"], window["active"]) == (0, 0)
    assert window["first_timestamp"] is window["latest_timestamp"] is None
    control(0, 0)
    assert len(events(bench)) == 3


def test_the_log_holds_512_records() -> None:
    """The oldest go first; an event above 31 is logged, and has no bit to be active in."""
    log, told = EventLog(), list[int]()
    log.subscribers.append(lambda number, _: told.append(number))
    for number in range(600):
        log.add(48 if number == 599 else number % 32, number + 1)
    assert len(log.records) == LOG_CAPACITY == 512
    assert log.records[0] == (88 % 32, 89, "00" * 8)
    assert log.records[-1] == (48, 600, "00" * 8)
    assert log.active == 0xFFFF_FFFF
    assert len(told) == 599
    assert 48 not in told


def test_a_serial_number_that_is_none_gives_the_bare_uid() -> None:
    """What is no decimal number adds nothing to 10¹²."""
    bench = Bench(role=Role.MANUFACTURER)
    bench.write("manufacturer-id/serial", b"31A33978")
    assert bench.value("profile-status/meter_uid") == 10**12


def test_the_host_clock_going_back_makes_nothing_up() -> None:
    """A host whose clock is corrected backwards adds no entry twice."""
    bench = Bench()
    before = profile(bench)
    bench.meter.advance(bench.now, START_UNIX_S - 7200)
    bench.meter.advance(bench.now, START_UNIX_S + 60)
    assert profile(bench) == before


def test_the_umi_id_is_an_object() -> None:
    assert Bench().value("umi-id") == UmiId(0x0023_7EFE_0000_0001)
