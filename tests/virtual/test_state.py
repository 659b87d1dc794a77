"""The state file: what a meter remembers across processes, and what is no such file."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.virtual.bench import START_S, START_UNIX_S, Bench
from umi_cli.application.codes import ResultCode
from umi_cli.errors import InputError, PortBusyError
from umi_cli.types import ObjectPart, Role, RoleSet
from umi_cli.virtual.memory import Memory, load_memory
from umi_cli.virtual.metering import Metering
from umi_cli.virtual.profile import CLOCK_IN_SYNC, CLOCK_SET
from umi_cli.virtual.state import StateFile
from umi_cli.virtual.store import Access

DAY_S = 86_400


def used() -> Bench:
    """A meter that has been used: values, access, clock, profile, events, answers."""
    bench = Bench(role=Role.SERVICE)
    bench.wait(5000)
    assert bench.write("valve", "closed") == ResultCode.OK
    assert bench.write("counter", 77) == ResultCode.OK
    assert bench.write("scratch[0:9]", bytes(range(10))) == ResultCode.OK
    assert bench.write("wan-configuration/primary_port", 4060) == ResultCode.OK
    code = bench.catalogue.resolve("counter").code
    bench.memory.store.access[code] = Access(read=RoleSet(3), write=RoleSet(0))
    clock = (START_S + 30 * DAY_S).to_bytes(4, "little") + bytes(4)
    assert bench.write("clock-control", clock) == ResultCode.OK
    return bench


DUMP = used().memory.dump()


def reborn(memory: Memory) -> Memory:
    return load_memory(memory.dump(), "test")


def readable(memory: Memory) -> dict[str, bytes]:
    """Return every object's value, as a reader that may read everything gets it."""
    store = memory.store
    for code in list(store.access):
        store.access[code] = Access(read=RoleSet.everyone(), write=RoleSet.everyone())
    return {str(code): store.read(ObjectPart(code), Role.GUEST) for code in list(store.values)}


def test_a_state_round_trips() -> None:
    """What is dumped is loaded, to the letter; the meter that comes of it is the same meter."""
    bench = used()
    memory = reborn(bench.memory)
    assert memory.dump() == bench.memory.dump()
    assert not memory.is_new
    assert memory.store.access == bench.memory.store.access
    assert memory.store.values == bench.memory.store.values
    assert memory.replay.answers == bench.memory.replay.answers
    again = Bench(memory=memory, role=Role.SERVICE)
    again.now = bench.now
    again.wait(0)
    assert again.clock_s == bench.clock_s
    assert readable(again.memory) == readable(bench.memory)


def test_a_meter_goes_on_as_if_it_had_never_been_away() -> None:
    """Saved and loaded at every step, or never: profile, clock and log are the same."""
    whole = Bench(role=Role.SERVICE)
    steps = [(100, None), (4000, 50), (10, -20), (7200, None), (1700, 3), (90_000, None)]
    parts = Bench(role=Role.SERVICE)
    for wait_s, days in steps:
        again = Bench(memory=reborn(parts.memory), role=Role.SERVICE)
        again.now, again.transaction = parts.now, parts.transaction
        parts = again
        for bench in (whole, parts):
            bench.wait(wait_s)
            if days is not None:
                clock = (bench.clock_s + days * DAY_S).to_bytes(4, "little") + bytes(4)
                assert bench.write("clock-control", clock) == ResultCode.OK
    assert parts.memory.dump() == whole.memory.dump()


@pytest.mark.parametrize("days", [-40, -1, 1, 40])
def test_a_clock_set_before_a_power_cut_makes_nothing_up_after_it(days: int) -> None:
    """What the clock jumped over stays without entries, and the next one says why."""
    bench = Bench(role=Role.SERVICE)
    set_to = START_S + days * DAY_S
    bench.write("clock-control", set_to.to_bytes(4, "little") + bytes(4))
    memory = reborn(bench.memory)
    metering = Metering(memory)
    metering.advance(START_UNIX_S + 3600)
    assert metering.now_s == set_to + 3600
    times = [(record[1], record[2]) for record in memory.profile.records[335:]]
    assert times == [
        (START_S, CLOCK_IN_SYNC),
        (set_to + 1800, CLOCK_IN_SYNC | CLOCK_SET),
        (set_to + 3600, CLOCK_IN_SYNC),
    ]


def test_time_that_passes_while_nobody_serves_it_passes() -> None:
    """The meter hung on its wall all the while: its profile has filled."""
    memory = reborn(Bench().memory)
    Metering(memory).advance(START_UNIX_S + DAY_S)
    assert len(memory.profile.records) == 336 + 48


def test_another_datasheet_leaves_out_what_it_does_not_know(tmp_path: Path) -> None:
    """The file's other objects are left out; those that both know keep their values."""
    sheet = tmp_path / "small.toml"
    sheet.write_text(
        'schema = "umi-datasheet/1"\nname = "small"\ntitle = "Small"\nbanks = ["umi.1.7"]\n'
    )
    memory = load_memory(DUMP, "test", str(sheet))
    assert memory.datasheet == str(sheet)
    assert memory.store.find("valve") is not None
    assert memory.store.find("manufacturer-id") is None
    assert memory.known_events == 0


def spoil(path: list[str | int], value: object) -> str:
    content: Any = json.loads(DUMP)
    place = content
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return json.dumps(content)


GONE = ["schema", "umi_id", "datasheet", "clock_offset_s", "synced_s", "objects", "access"]
GONE += ["profile", "events", "replay"]
SPOILT: list[tuple[list[str | int], object]] = [
    (["schema"], "umi-state/2"),
    (["umi_id"], 7),
    (["umi_id"], "7Z"),
    (["datasheet"], "no-such-datasheet"),
    (["clock_offset_s"], "x"),
    (["clock_offset_s"], float("nan")),
    (["clock_offset_s"], float("inf")),
    (["clock_offset_s"], 10**400),
    (["synced_s"], -1),
    (["synced_s"], 1 << 32),
    (["objects"], []),
    (["objects", "umi.1.1.0.0"], "00"),
    (["objects", "umi.1.1.0.0"], "zz"),
    (["objects", "umi.1.1.0.0"], None),
    (["objects", "x"], "00"),
    (["access", "umi.1.1.0.0"], [1]),
    (["access", "umi.1.1.0.0"], [1, 1 << 16]),
    (["access", "umi.1.1.0.0"], ["a", "b"]),
    (["profile", "records", 0], [1, 2, 3]),
    (["profile", "records", 0], [1, 2, 3, 1 << 16]),
    (["profile", "records", 0], [1, 2, 3, 0.5]),
    (["profile", "due_s"], "soon"),
    (["profile", "next_status"], None),
    (["profile", "next_status"], 1 << 16),
    (["events", "active"], None),
    (["events", "active"], 1 << 32),
    (["events", "records", 0], [1, 2]),
    (["events", "records", 0], [-1, 2, "00"]),
    (["events", "records", 0], [1, "2", "00"]),
    (["events", "records", 0], [1, 2, "0"]),
    (["replay"], 7),
    (["replay", 0], ["line", "00"]),
    (["replay", 0], ["line", "00", 5]),
]


SPOILT += [([key], ...) for key in GONE]


@pytest.mark.parametrize(("path", "value"), SPOILT, ids=repr)
def test_a_file_that_is_spoilt_is_refused(path: list[str | int], value: object) -> None:
    """One sentence with the file's name and a way out; nothing else, and not later either."""
    with pytest.raises(InputError) as caught:
        load_memory(spoil(path, value), "bench.json")
    assert caught.value.exit_code == 2


TEXTS = [
    "",
    "null",
    "[]",
    '"schema"',
    "{",
    '{"schema":"umi-state/1"}',
    "[" * 100_000,
    '{"schema":' * 50_000,
    "9" * 5000,
    DUMP[:-1],
    DUMP + "x",
]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_what_is_no_state_file_at_all(text: str) -> None:
    with pytest.raises(InputError, match=r"bench\.json is no state file") as caught:
        load_memory(text, "bench.json")
    assert "move this one away" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ('{"schema"', "not JSON from line 1, column 10 on"),
        ("{}", "it lacks 'schema'"),
        ("[]", "something in it is of the wrong kind"),
        ("[" * 100_000, "it is nested too deep"),
        ('{"schema":"umi-state/2"}', "its schema is not umi-state/1"),
    ],
)
def test_the_reason_is_said_in_plain_words(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=rf"virtual meter: {reason}$"):
        load_memory(text, "bench.json")


def places(content: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the way to everything in a JSON document, a few elements of each list."""
    found = [path] if path else []
    if isinstance(content, dict):
        for key, item in content.items():
            found += places(item, (*path, key))
    if isinstance(content, list):
        for number, item in enumerate(content[:3]):
            found += places(item, (*path, number))
    return found


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=9).map(bytes.hex)
    | st.sampled_from([-1, 0, 1 << 16, 1 << 32, 1 << 64, 10**400, "umi.1.1.0.0", [], {}]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(st.sampled_from(places(json.loads(DUMP))), anything)
def test_whatever_stands_anywhere_in_it(path: tuple[str | int, ...], value: object) -> None:
    """A state loads, and then all its objects can be read and it can be dumped; or InputError."""
    try:
        memory = load_memory(spoil(list(path), value), "bench.json")
    except InputError:
        return
    Metering(memory).advance(START_UNIX_S)
    memory.events.add(5, START_S)
    assert readable(memory)
    memory.dump()


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_garbage_is_an_input_error_and_nothing_else(text: str) -> None:
    with pytest.raises(InputError):
        load_memory(text, "bench.json")


def test_a_state_file_is_its_owners_alone(tmp_path: Path) -> None:
    """It holds keys: mode 600 from the first byte on, whatever the umask."""
    path = tmp_path / "state.json"
    with StateFile(path) as file:
        assert file.load() is None
        file.save("first")
        file.save("second")
        assert file.load() == "second"
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(tmp_path)) == [".state.json.lock", "state.json"]


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """The second is told at once; when the first lets go, it may; closing twice is harmless."""
    path = tmp_path / "state.json"
    first = StateFile(path)
    with pytest.raises(PortBusyError, match="in use by another umi"):
        StateFile(path)
    first.close()
    first.close()
    with StateFile(path), pytest.raises(PortBusyError):
        StateFile(path)


def test_a_file_that_cannot_be_used_is_an_input_error(tmp_path: Path) -> None:
    """No directory, a directory, no text, no name: said in one sentence, whatever is tried."""
    for unusable in (tmp_path / "none" / "state.json", Path("."), Path("/"), Path("a\x00b")):
        with pytest.raises(InputError, match="cannot use the state file"):
            StateFile(unusable)
    directory = tmp_path / "directory"
    directory.mkdir()
    with StateFile(directory) as file:
        with pytest.raises(InputError, match="cannot read the state file"):
            file.load()
        with pytest.raises(InputError, match="cannot write the state file"):
            file.save("x")
    os.mkfifo(tmp_path / "endless")
    with StateFile(tmp_path / "endless") as file, pytest.raises(InputError, match="no regular"):
        file.load()
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe")
    with StateFile(binary) as file, pytest.raises(InputError, match="it is no text"):
        file.load()
