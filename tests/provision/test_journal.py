"""A journal keeps what it was told, in order, on both back ends."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.provision.conftest import Place
from tests.provision.worker import IDS, SERIALS
from umi_cli.errors import (
    ConflictError,
    InputError,
    JournalError,
    PlaceholderError,
    PoolExhaustedError,
    SomeFailedError,
    TamperedError,
    UnitFailedError,
)
from umi_cli.provision.chain import MAX_DATA_CHARS, Author
from umi_cli.provision.journal import (
    NO_DIGEST,
    Head,
    Journal,
    Phase,
    UnitState,
    UnitStatus,
    open_journal,
)
from umi_cli.provision.pools import Pool

FIRST_ID = "00237EFE00100000"


# Entries


def test_an_entry_says_who_did_what_when_to_which_unit(journal: Journal) -> None:
    before = datetime.now(UTC)
    entry = journal.record("unit-7", "flash", Phase.DONE, {"image": "a.umi", "tries": 2})
    assert before <= entry.time <= datetime.now(UTC)
    assert (entry.number, entry.unit, entry.step, entry.phase) == (
        1,
        "unit-7",
        "flash",
        Phase.DONE,
    )
    assert (entry.station, entry.operator, entry.tool) == ("station-1", "tester", "0.1.0")
    assert entry.data == {"image": "a.umi", "tries": 2}
    assert entry.previous == NO_DIGEST
    assert list(journal.entries()) == [entry]


def test_each_entry_holds_the_digest_of_the_one_before(journal: Journal) -> None:
    entries = [journal.record("unit", "step", Phase.OBSERVED, {"n": n}) for n in range(5)]
    assert [entry.number for entry in entries] == [1, 2, 3, 4, 5]
    assert [entry.previous for entry in entries[1:]] == [entry.digest for entry in entries[:-1]]
    assert journal.head() == journal.verify() == entries[-1].head


def test_the_digest_can_be_made_by_anybody(place: Place) -> None:
    """The form is a promise: an auditor needs no umi-cli."""
    import hashlib
    import json

    entry = place.open().record("unit", "step", Phase.DONE, {"b": [1.5, None], "a": "é"})
    record = {
        "data": {"a": "é", "b": [1.5, None]},
        "number": 1,
        "operator": "tester",
        "phase": "done",
        "station": "station-1",
        "step": "step",
        "time": entry.time.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "tool": "0.1.0",
        "unit": "unit",
    }
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(bytes(32) + text.encode("ascii")).digest() == entry.digest


def test_what_is_read_is_what_was_returned_after_opening_again(place: Place) -> None:
    data = {"text": 'é\u0000\u2028"\\', "deep": {"a": [1, -1.5e300, True, None, 2**80]}, "7": ""}
    with place.open() as journal:
        entry = journal.record("unit é", "step", Phase.FAILED, data)
    with place.open(create=False) as journal:
        assert list(journal.entries()) == [entry]
        assert entry.data == data


def test_a_long_journal_is_read_in_pieces(journal: Journal, monkeypatch: Any) -> None:
    monkeypatch.setattr("umi_cli.provision.ledger.PAGE_ROWS", 3)
    entries = [journal.record("unit", "step", Phase.DONE) for _ in range(10)]
    reader = journal.entries()
    assert next(reader) == entries[0]
    last = journal.record("unit", "step", Phase.DONE)  # nobody waits for a reader
    assert list(reader) == [*entries[1:], last]


@pytest.mark.parametrize(
    "data", [{"n": float("nan")}, {"b": b"bytes"}, {"x": "x" * MAX_DATA_CHARS}]
)
def test_what_json_cannot_hold_is_refused(journal: Journal, data: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        journal.record("unit", "step", Phase.DONE, data)
    assert journal.head().number == 0


@pytest.mark.parametrize("name", ["", " unit", "a\nb", "x" * 201, "\ud800", "a\x00b"])
def test_names_that_are_none_are_refused(place: Place, journal: Journal, name: str) -> None:
    with pytest.raises(InputError):
        journal.record(name, "step", Phase.DONE)
    with pytest.raises(InputError):
        journal.record("unit", name, Phase.DONE)
    with pytest.raises(InputError):
        journal.allot(name, "serial", SERIALS)
    with pytest.raises(InputError), journal.lock(name):
        pass
    with pytest.raises(InputError):
        place.open(name)


def test_the_journals_own_steps_are_nobodys(journal: Journal) -> None:
    with pytest.raises(InputError, match="@finish"):
        journal.record("unit", "@finish", Phase.DONE)


def test_the_clock_is_an_argument() -> None:
    then = datetime(2026, 11, 22, 10, tzinfo=UTC)
    author = Author(station="s", operator="o", tool="t", now=lambda: then)
    assert author.draft("unit", "step", Phase.DONE, {}).time == then


# Units


def test_an_unknown_unit_is_open_and_has_nothing(journal: Journal) -> None:
    assert journal.state("unit") == UnitState(unit="unit")
    assert list(journal.units()) == []


def test_a_unit_has_steps_that_are_done_and_steps_that_are_in_doubt(journal: Journal) -> None:
    journal.record("unit", "flash", Phase.REQUESTED, {"image": "a"})
    journal.record("unit", "flash", Phase.DONE)
    journal.record("unit", "keys", Phase.REQUESTED, {"n": 1})
    journal.record("unit", "keys", Phase.OBSERVED, {"n": 0})
    state = journal.state("unit")
    assert state.done == {"flash"}
    assert state.requested == {"keys": {"n": 1}}
    journal.record("unit", "flash", Phase.REQUESTED, {"image": "b"})
    journal.record("unit", "keys", Phase.REQUESTED, {"n": 2})
    state = journal.state("unit")
    assert not state.done
    assert state.requested == {"flash": {"image": "b"}, "keys": {"n": 2}}
    journal.record("unit", "flash", Phase.DONE)
    journal.record("unit", "flash", Phase.FAILED, {"why": "it does not boot"})
    assert journal.state("unit").done == frozenset()


def test_units_come_in_the_order_of_their_first_entries(place: Place) -> None:
    first, second = place.open("station-1"), place.open("station-2")
    first.record("b", "flash", Phase.DONE)
    second.record("a", "flash", Phase.DONE)
    second.finish("b")
    states = list(first.units())
    assert [(state.unit, state.station) for state in states] == [
        ("b", "station-2"),
        ("a", "station-2"),
    ]
    assert states == [second.state("b"), second.state("a")]


def test_a_unit_is_finished_once(journal: Journal) -> None:
    serial = journal.allot("unit", "serial", SERIALS)
    journal.finish("unit")
    for again in (
        lambda: journal.finish("unit"),
        lambda: journal.record("unit", "flash", Phase.DONE),
        lambda: journal.allot("unit", "umi-id", IDS),
        lambda: journal.claim("unit", "umi-id", "0011223344556677"),
        lambda: journal.release("unit", "why not"),
    ):
        with pytest.raises(ConflictError):
            again()
    assert journal.state("unit").status is UnitStatus.DONE
    assert journal.allot("unit", "serial", SERIALS) == serial  # it has it already
    assert journal.head().number == 2


def test_a_unit_in_quarantine_is_set_aside_until_it_is_released(journal: Journal) -> None:
    journal.quarantine("unit", "it smells\nburnt")
    state = journal.state("unit")
    assert (state.status, state.reason) == (UnitStatus.QUARANTINED, "it smells\nburnt")
    for refused in (
        lambda: journal.finish("unit"),
        lambda: journal.allot("unit", "serial", SERIALS),
    ):
        with pytest.raises(ConflictError, match="quarantine"):
            refused()
    journal.record("unit", "look", Phase.OBSERVED, {"smell": "solder"})
    journal.quarantine("unit", "still")
    assert journal.state("unit").reason == "still"
    journal.release("unit", "it was the neighbour")
    with pytest.raises(ConflictError):
        journal.release("unit", "twice")
    state = journal.state("unit")
    assert (state.status, state.reason) == (UnitStatus.OPEN, None)
    journal.finish("unit")
    journal.quarantine("unit", "came back")
    assert journal.state("unit").status is UnitStatus.QUARANTINED


# Values


def test_allotting_gives_the_next_value_and_the_same_one_again(place: Place) -> None:
    journal, other = place.open(), place.open("station-2")
    assert journal.allot("a", "umi-id", IDS) == FIRST_ID
    assert other.allot("b", "umi-id", IDS) == "00237EFE00100001"
    assert other.allot("a", "umi-id", IDS) == FIRST_ID
    assert journal.allot("a", "serial", SERIALS) == "SN000100"
    assert journal.state("a").values == {"umi-id": FIRST_ID, "serial": "SN000100"}
    assert journal.head().number == 3
    entry = next(iter(journal.entries()))
    assert entry.data == {"kind": "umi-id", "value": FIRST_ID, "pool": "ids"}


def test_a_pool_goes_on_in_its_next_range_and_ends(journal: Journal) -> None:
    pool = Pool.parse("small", "serial", "A8..A9, B10+2")
    values = [journal.allot(f"unit{n}", "serial", pool) for n in range(4)]
    assert values == ["A8", "A9", "B10", "B11"]
    with pytest.raises(PoolExhaustedError, match="small") as caught:
        journal.allot("unit4", "serial", pool)
    assert caught.value.exit_code == 51
    longer = Pool.parse("small", "serial", "A8..A9, B10+2, C1")
    assert journal.allot("unit4", "serial", longer) == "C1"


def test_values_that_came_from_outside_and_placeholders_are_passed_over(journal: Journal) -> None:
    journal.claim("csv", "serial", "00000001")
    pool = Pool.parse("serials", "serial", "00000000..00000003")
    assert journal.allot("a", "serial", pool) == "00000002"
    journal.claim("late", "serial", "00000003")
    with pytest.raises(PoolExhaustedError):
        journal.allot("b", "serial", pool)


def test_a_claim_far_ahead_does_not_use_up_the_pool(journal: Journal) -> None:
    journal.allot("a", "serial", SERIALS)
    journal.claim("csv", "serial", "SN100099")
    assert journal.allot("b", "serial", SERIALS) == "SN000101"


def test_a_value_belongs_to_one_unit(journal: Journal) -> None:
    journal.claim("a", "umi-id", "00-23-7e-fe-00-10-00-00")
    journal.claim("a", "umi-id", FIRST_ID)  # the same, in other words
    assert journal.head().number == 1
    with pytest.raises(ConflictError, match="belongs to unit a") as caught:
        journal.claim("b", "umi-id", FIRST_ID)
    assert caught.value.exit_code == 51
    with pytest.raises(ConflictError, match="has the umi-id"):
        journal.claim("a", "umi-id", "00237EFE00100009")
    journal.claim("b", "serial", FIRST_ID)  # of another kind
    assert journal.state("a").values == {"umi-id": FIRST_ID}
    assert journal.allot("b", "umi-id", IDS) == "00237EFE00100001"
    assert journal.allot("a", "umi-id", IDS) == FIRST_ID


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("serial", ""),
        ("serial", "  "),
        ("serial", "0"),
        ("serial", "00-00-00"),
        ("serial", "11111111"),
        ("serial", "FFFFFFFF"),
        ("serial", "xxxxxxxx"),
        ("serial", "12345678"),
        ("serial", "N/A"),
        ("serial", "Unknown"),
        ("mac", "00:00:00:00:00:00"),
        ("mac", "ff:ff:ff:ff:ff:ff"),
        ("umi-id", "0000000000000000"),
        ("umi-id", "FFFFFFFFFFFFFFFF"),
        ("umi-id", "00237EFE00000004"),
        ("umi-id", ""),
    ],
)
def test_placeholders_are_no_values(journal: Journal, kind: str, value: str) -> None:
    with pytest.raises(PlaceholderError) as caught:
        journal.claim("unit", kind, value)
    assert caught.value.exit_code == 2
    assert journal.head().number == 0


def test_a_conflict_leaves_nothing_behind(journal: Journal) -> None:
    journal.claim("a", "serial", "X7")
    head = journal.head()
    with pytest.raises(ConflictError):
        journal.claim("b", "serial", "X7")
    assert journal.head() == journal.verify() == head
    assert [state.unit for state in journal.units()] == ["a"]


# Opening, locking, closing


def test_a_journal_is_not_made_unasked(place: Place) -> None:
    with pytest.raises(JournalError, match="there is no journal") as caught:
        place.open(create=False)
    assert caught.value.exit_code == 52
    place.open().close()
    place.open(create=False).record("unit", "step", Phase.DONE)


def test_one_station_at_a_time_works_on_a_unit(place: Place) -> None:
    journal, other = place.open(), place.open("station-2")
    with journal.lock("unit"):
        for waiting in (journal, other):
            with pytest.raises(ConflictError, match="at work on unit unit"), waiting.lock("unit"):
                pass
        with other.lock("unit-2"):
            other.record("unit-2", "step", Phase.DONE)
        journal.record("unit", "step", Phase.DONE)
    with other.lock("unit"):
        pass


def test_a_lock_ends_with_an_exception_and_with_the_journal(place: Place) -> None:
    journal, other = place.open(), place.open("station-2")
    with pytest.raises(RuntimeError), journal.lock("unit"):
        raise RuntimeError
    with other.lock("unit"):
        pass


@pytest.mark.parametrize("url", ["mysql://host/db", "http://x", "://"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(InputError):
        open_journal(url, station="s", operator="o", tool="t")


def test_a_head_has_a_text() -> None:
    head = Head(number=42, digest=bytes(range(32)))
    assert Head.parse(f" {head}\n") == head
    for text in ("", "42", "42:00", "x:" + "00" * 32, "-1:" + "00" * 32):
        with pytest.raises(InputError):
            Head.parse(text)


def test_the_errors_have_their_exit_codes() -> None:
    errors = (UnitFailedError, ConflictError, JournalError, SomeFailedError)
    assert [(error.code, error.exit_code) for error in errors] == [
        ("unit-failed", 50),
        ("conflict", 51),
        ("journal-unusable", 52),
        ("some-failed", 53),
    ]
    assert (TamperedError.exit_code, PoolExhaustedError.exit_code) == (52, 51)


# The model

UNITS = st.sampled_from(["a", "b", "c", "d"])
KINDS = st.sampled_from(["serial", "batch"])
TINY = {
    "one": Pool.parse("one", "serial", "S1..S3"),
    "two": Pool.parse("two", "serial", "S2..S4, T9"),
}


class Model(RuleBasedStateMachine):
    """A journal beside a few dictionaries, which must say the same."""

    place: Place
    runs = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).runs += 1
        self.run = f"r{type(self).runs}"  # runs share a journal: each has its units and values
        self.journal = self.place.open()
        self.values: dict[tuple[str, str], str] = {}
        self.status: dict[str, UnitStatus] = {}
        self.entries = self.journal.head().number

    def teardown(self) -> None:
        self.journal.close()

    def name(self, text: str) -> str:
        return f"{self.run}{text}"

    def pool(self, name: str) -> Pool:
        ranges = [str(span) for span in TINY[name].ranges]
        return Pool.parse(
            name,
            "serial",
            [f"{self.name(a)}..{self.name(b)}" for a, b in (text.split("..") for text in ranges)],
        )

    def is_open(self, unit: str) -> bool:
        return self.status.get(unit, UnitStatus.OPEN) is UnitStatus.OPEN

    def owner(self, kind: str, value: str) -> str | None:
        return next((u for (u, k), v in self.values.items() if (k, v) == (kind, value)), None)

    @rule(unit=UNITS, kind=KINDS, name=st.sampled_from(sorted(TINY)))
    def allot(self, unit: str, kind: str, name: str) -> None:
        pool = self.pool(name)
        free = [
            value
            for span in pool.ranges
            for value in span.values_after(None)
            if self.owner(kind, value) is None
        ]
        try:
            value = self.journal.allot(self.name(unit), kind, pool)
        except PoolExhaustedError:
            # A hole below what was allotted out of another pool stays one.
            assert (unit, kind) not in self.values
            assert self.is_open(unit)
        except ConflictError:
            assert (unit, kind) not in self.values
            assert not self.is_open(unit)
        else:
            if (unit, kind) in self.values:
                assert value == self.values[unit, kind]
            else:
                assert value in free
                self.values[unit, kind] = value
                self.entries += 1

    @rule(unit=UNITS, kind=KINDS, value=st.sampled_from(["S1", "S2", "S3", "X"]))
    def claim(self, unit: str, kind: str, value: str) -> None:
        wanted = self.name(value)
        is_own = self.values.get((unit, kind)) == wanted
        is_free = (unit, kind) not in self.values and self.owner(kind, wanted) is None
        try:
            self.journal.claim(self.name(unit), kind, wanted)
        except ConflictError:
            assert not is_own
            assert not (is_free and self.is_open(unit))
        else:
            assert is_own or (is_free and self.is_open(unit))
            self.entries += not is_own
            self.values[unit, kind] = wanted

    @rule(unit=UNITS, verb=st.sampled_from(["finish", "quarantine", "release"]))
    def move(self, unit: str, verb: str) -> None:
        before = self.status.get(unit, UnitStatus.OPEN)
        allowed, after = {
            "finish": ({UnitStatus.OPEN}, UnitStatus.DONE),
            "quarantine": (set(UnitStatus), UnitStatus.QUARANTINED),
            "release": ({UnitStatus.QUARANTINED}, UnitStatus.OPEN),
        }[verb]
        reason = () if verb == "finish" else ("a reason",)
        try:
            getattr(self.journal, verb)(self.name(unit), *reason)
        except ConflictError:
            assert before not in allowed
        else:
            assert before in allowed
            self.status[unit] = after
            self.entries += 1

    @rule()
    def open_again(self) -> None:
        self.journal.close()
        self.journal = self.place.open()

    @invariant()
    def says_the_same(self) -> None:
        assert self.journal.head().number == self.entries
        for unit in "abcd":
            state = self.journal.state(self.name(unit))
            assert state.values == {k: v for (u, k), v in self.values.items() if u == unit}
            assert state.status is self.status.get(unit, UnitStatus.OPEN)


def test_a_journal_does_what_its_model_does(place: Place) -> None:
    machine = type("PlacedModel", (Model,), {"place": place})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    place.open().verify()


def test_units_that_are_done_are_counted(journal: Journal) -> None:
    assert journal.count_done() == 0
    for unit in ("a", "b", "c"):
        journal.record(unit, "flash", Phase.DONE)
    for unit in ("a", "b"):
        journal.finish(unit)
    assert journal.count_done() == 2
    journal.quarantine("b", "it came back")
    assert journal.count_done() == 1
    journal.release("b", "mended")
    assert journal.count_done() == 1
    journal.finish("b")
    assert journal.count_done() == 2
