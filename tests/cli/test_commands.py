"""`read`, `write`, `objects` and `access` against the built-in virtual meter."""

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import TIME_LIMIT_S, Outcome, call_umi, run_umi, start_umi
from tests.cli.serving import served
from umi_cli.cli.main import run

IDENTITY = "454953474d763000454c53303032353331373333393738"
KEY = "00112233445566778899aabbccddeeff"


def sim(*args: str, role: str = "guest", **options: Any) -> Outcome:
    return run_umi("-p", f"sim:?as={role}", *args, **options)


def data(*args: str, role: str = "guest", **options: Any) -> Any:
    return sim(*args, "--json", role=role, **options).document["data"]


def test_read_one_value() -> None:
    outcome = sim("read", "umi.1.1.0.0/3")
    assert (outcome.exit, outcome.stdout, outcome.stderr) == (0, "31733978\n", "")


@pytest.mark.parametrize("text", ["umi.1.1.0.0", "manufacturer-id", "Manufacturer_ID"])
def test_read_as_documented(text: str) -> None:
    document = sim("read", text, "--json").document
    assert document["data"] == [
        {
            "part": "umi.1.1.0.0",
            "name": "manufacturer-id",
            "raw": IDENTITY,
            "value": {
                "model": "EISGMv0",
                "manufacturer": "ELS",
                "factory": "0025",
                "serial": "31733978",
            },
        }
    ]
    assert document["command"] == "read"
    assert document["meta"]["port"] == "sim:?as=guest"
    assert document["meta"]["device"] == "00237EFE00000001"


def test_read_by_obis_code() -> None:
    [record] = data("read", "7.0.3.0.0.255[0]")
    assert record["name"] == "profile-table[0]/reading"


def test_read_raw_is_a_line_a_part() -> None:
    lines = sim("read", "manufacturer-id/serial", "umi-id", "-o", "raw").stdout.splitlines()
    assert lines == [b"31733978".hex(), "01000000fe7e2300"]


def test_read_profile_as_csv() -> None:
    lines = sim("read", "profile-table[0:47]", "-o", "csv").stdout.splitlines()
    assert lines[0] == "part,name,element,reading,timestamp,status,rate"
    assert [line.split(",")[2] for line in lines[1:]] == [str(n) for n in range(48)]


def test_read_under_events_is_the_result() -> None:
    [result] = sim("read", "umi-id", "--events").events
    assert result["data"][0]["value"] == "00237EFE00000001"


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["read", "umi.1.1.99.9"], 31),
        (["read", "umi.9.9.9.9"], 31),
        (["read", "nosuch"], 31),
        (["read", "manufacturer-id/nosuch"], 31),
        (["read", "umi.1.1.0"], 2),
        (["read", "gsm-status"], 23),
        (["read", "scheme-1-keys"], 23),
        (["write", "valve", "open"], 23),
        (["write", "counter", "x"], 2),
        (["write", "counter", "hex:00"], 30),
        (["access", "show", "valve"], 23),
        (["access", "show", "profile-table[1]"], 2),
        (["objects", "nosuch"], 31),
        (["objects", "umi.1.1.99.9"], 31),
    ],
)
def test_errors_are_one_sentence_and_a_hint(args: list[str], code: int) -> None:
    outcome = sim(*args)
    assert outcome.exit == code
    assert outcome.stdout == ""
    first, *rest = outcome.stderr.splitlines()
    assert first.startswith("umi: ")
    assert len(rest) <= 1
    document = sim(*args, "--json").document
    assert document["error"]["exit"] == code
    assert first == f"umi: {document['error']['message']}"


def test_refusal_names_the_result_code() -> None:
    document = sim("read", "gsm-status", "--json").document
    assert document["error"]["code"] == "access-denied"
    assert document["error"]["result"] == {"number": 9, "name": "ACCESS_DENIED"}
    assert document["meta"]["device"] == "00237EFE00000001"


def test_what_came_before_an_error_is_certain() -> None:
    outcome = sim("read", "umi-id", "umi.1.1.99.9")
    assert outcome.exit == 31
    assert outcome.stdout == "00237EFE00000001\n"
    document = sim("read", "umi-id", "umi.1.1.99.9", "--json").document
    assert [record["name"] for record in document["data"]] == ["umi-id"]


@pytest.mark.parametrize(
    ("args", "role", "hint"),
    [
        (["write", "valve", "open"], "guest", "the datasheet lets service,utility-supplier write"),
        (["read", "scheme-1-keys"], "manufacturer", "the datasheet lets nobody read scheme-1-keys"),
        (["access", "show", "valve"], "guest", "umi objects tells which"),
    ],
)
def test_a_refusal_says_which_role_may(args: list[str], role: str, hint: str) -> None:
    outcome = sim(*args, role=role)
    assert outcome.exit == 23
    assert hint in outcome.stderr


def test_a_device_that_lets_fewer_in_than_its_datasheet(state: str) -> None:
    assert run_umi("-p", state, "access", "set", "counter", "--read", "service").exit == 0
    outcome = run_umi("-p", state.replace("manufacturer", "guest"), "read", "counter")
    assert outcome.exit == 23
    assert "umi access show counter tells whom it lets" in outcome.stderr


@pytest.fixture
def wrong(tmp_path: Path) -> tuple[str, ...]:
    """Return the options for a datasheet that describes another device."""
    sheet = tmp_path / "wrong.toml"
    sheet.write_text(
        'schema = "umi-datasheet/1"\nname = "wrong"\ntitle = "x"\nextends = "ei4"\n[[object]]\n'
        'code = "umi.1.1.0.0"\nname = "tally"\ntitle = "x"\nkind = "value"\ntype = "u64"\n'
        'unit = "kWh"\n'
    )
    return ("-p", f"sim:{tmp_path / 'state.json'}?as=service", "--datasheet", str(sheet))


def test_bytes_that_the_datasheet_cannot_explain_are_shown(wrong: tuple[str, ...]) -> None:
    outcome = run_umi(*wrong, "read", "umi-id", "tally", "-o", "raw")
    assert (outcome.exit, outcome.stdout) == (33, f"01000000fe7e2300\n{IDENTITY}\n")
    assert "tally" in outcome.stderr
    assert "--datasheet" in outcome.stderr
    assert run_umi(*wrong, "read", "tally").stdout == f"{IDENTITY}\n"
    outcome = run_umi(*wrong, "read", "tally", "--json")
    [record] = outcome.document["data"]
    assert (record["raw"], record["value"]) == (IDENTITY, None)
    assert outcome.document["error"]["exit"] == 33


@pytest.mark.parametrize("address", ["nosuch", "tcp:127.0.0.1:1", "opto:/dev/x", ""])
def test_no_device(address: str) -> None:
    outcome = run_umi("-p", address, "read", "umi-id")
    assert outcome.exit in (2, 10)
    assert "\nhint: " in outcome.stderr


def test_mistakes_show_before_the_port_is_opened() -> None:
    assert run_umi("-p", "tcp:127.0.0.1:1", "read", "nosuch").exit == 31
    assert run_umi("-p", "tcp:127.0.0.1:1", "write", "counter", "x").exit == 2


@pytest.mark.parametrize(
    ("order", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_who_interrupts_a_write_is_told_that_it_may_have_run(
    order: signal.Signals, code: int, word: str
) -> None:
    with served("--as", "service", "--defer", "umi.255.0.0.32:3000") as server:
        process = start_umi("-v", "-p", server.address, "write", "valve", "closed")
        line = ""
        while not re.search(r" out [2-9]\d bytes", line):  # the write; a RESYNC is shorter
            line = process.stderr.readline()
            assert line
        process.send_signal(order)
        _, stderr = process.communicate(timeout=TIME_LIMIT_S)
    assert process.returncode == code
    assert f"umi: {word}; WRITE_OBJECT umi.255.0.0.32 was sent, and its answer had not" in stderr
    assert "hint: connect again, and read back" in stderr


@pytest.fixture
def state(tmp_path: Path) -> str:
    return f"sim:{tmp_path / 'state.json'}?as=manufacturer"


def test_write_is_remembered(state: str) -> None:
    assert run_umi("-p", state, "write", "counter", "5", "--verify").stdout == (
        "counter: written and read back\n"
    )
    assert run_umi("-p", state, "read", "counter").stdout == "5\n"


def test_dry_run_changes_nothing(state: str) -> None:
    outcome = run_umi("-p", state, "--dry-run", "--json", "write", "counter", "5")
    assert outcome.document["data"]["written"] is False
    assert run_umi("-p", state, "read", "counter").stdout == "0\n"


def test_dry_run_finds_what_is_missing() -> None:
    assert sim("write", "umi.1.1.99.9", "hex:00", "--dry-run").exit == 31
    assert sim("write", "counter", "x", "--dry-run").exit == 2


def test_write_as_json() -> None:
    assert data("write", "counter", "258", "--verify") == {
        "part": "umi.255.0.0.65",
        "name": "counter",
        "raw": "02010000",
        "value": 258,
        "written": True,
        "verified": True,
    }


@pytest.mark.parametrize(
    ("part", "text", "raw"),
    [
        ("scratch[0:2]", "[1,2,3]", "010203"),
        ("scratch[0:2]", "hex:0a0b0c", "0a0b0c"),
        ("counter", "0x10", "10000000"),
    ],
)
def test_values_as_typed(part: str, text: str, raw: str) -> None:
    assert data("write", part, text)["raw"] == raw
    assert data("write", part, "-", input=f"{text}\n")["raw"] == raw


def test_value_that_begins_with_a_minus_sign() -> None:
    assert "put -- before" in sim("write", "counter", "-5").stderr
    assert "-5" in sim("write", "counter", "--", "-5").stderr


def test_secret_is_refused_as_text_and_never_repeated() -> None:
    outcome = sim("write", "scheme-1-keys[3]", KEY, "-v", role="manufacturer")
    assert outcome.exit == 2
    assert KEY not in outcome.stderr + outcome.stdout


@pytest.mark.parametrize("form", [["--json"], [], ["-o", "raw"], ["--events"], ["-o", "csv"]])
def test_secret_is_taken_from_its_source_and_never_shown(form: list[str]) -> None:
    args = ["write", "scheme-1-keys[3]", "env:METER_KEY", "-vv", *form]
    outcome = sim(*args, role="manufacturer", env={"METER_KEY": KEY})
    assert outcome.exit == (2 if form == ["-o", "csv"] else 0)
    text = (outcome.stderr + outcome.stdout).replace(" ", "").lower()
    assert KEY not in text
    assert KEY[:16] not in text


def test_verbose_shows_the_bytes() -> None:
    outcome = sim("read", "umi-id", "-v")
    assert "01 04 00 00 fe 5b" in outcome.stderr
    assert outcome.stdout == "00237EFE00000001\n"


def test_objects_need_no_device() -> None:
    document = run_umi("objects", "--json").document
    assert document["data"]["datasheet"] == "ei4"
    [table] = [o for o in document["data"]["objects"] if o["name"] == "profile-table"]
    assert table["obis"] == "7.0.99.99.1.255"
    assert [member["name"] for member in table["members"]] == [
        "reading",
        "timestamp",
        "status",
        "rate",
    ]
    assert table["members"][0]["unit"] == "m³"
    assert "events" not in document["data"]


def test_objects_for_people() -> None:
    assert "umi.1.1.194.23" in run_umi("objects").stdout
    detail = run_umi("objects", "wan-status").stdout
    assert "1 manual, 4 cyclic" in detail
    assert "17 members" not in detail


def test_objects_with_events() -> None:
    document = run_umi("objects", "--with-events", "--json").document
    assert {"number": 5, "name": "valve-released"}.items() <= document["data"]["events"][5].items()
    assert "valve-released" in run_umi("objects", "--with-events").stdout


def test_objects_as_csv() -> None:
    lines = run_umi("objects", "-o", "csv").stdout.splitlines()
    assert lines[0] == "code,name,type,read,write,obis"


def test_probe_asks_the_device() -> None:
    records = data("objects", "umi-id", "event-table", "gsm-status", "--probe")["objects"]
    assert [record["exists"] for record in records] == [True, True, True]


def test_probe_of_what_the_device_does_not_have(tmp_path: Path) -> None:
    sheet = tmp_path / "more.toml"
    sheet.write_text(
        'schema = "umi-datasheet/1"\nname = "more"\ntitle = "More"\nextends = "ei4"\n'
        'banks = ["umi.1.1"]\n[[object]]\ncode = "umi.1.1.9.9"\nname = "extra"\n'
        'title = "Extra"\nkind = "value"\ntype = "u8"\n'
    )
    [record] = data("--datasheet", str(sheet), "objects", "extra", "--probe")["objects"]
    assert record["exists"] is False


def test_access_is_shown() -> None:
    assert data("access", "show", "valve", role="service") == {
        "code": "umi.255.0.0.32",
        "name": "valve",
        "read": {"number": 36863, "names": data_roles()},
        "write": {"number": 544, "names": ["service", "utility-supplier"]},
    }


def data_roles() -> list[str]:
    document = run_umi("objects", "valve", "--json").document
    return list(document["data"]["objects"][0]["read"]["names"])


def test_access_is_set(state: str) -> None:
    outcome = run_umi("-p", state, "access", "set", "valve", "--write", "service", "--json")
    assert outcome.document["data"]["write"]["names"] == ["service"]
    assert outcome.document["data"]["changed"] is True
    shown = run_umi("-p", state, "access", "show", "valve", "--json").document
    assert shown["data"]["write"]["names"] == ["service"]


def test_access_dry_run_changes_nothing(state: str) -> None:
    args = ["access", "set", "valve", "--write", "none", "--dry-run", "--json"]
    record = run_umi("-p", state, *args).document["data"]
    assert record["changed"] is False
    assert record["write"]["names"] == ["service", "utility-supplier"]


def test_locking_everybody_out_needs_a_yes(state: str) -> None:
    args = ["-p", state, "access", "set", "valve", "--write", "none"]
    refused = run_umi(*args)
    assert refused.exit == 2
    assert "this will leave no role that may write umi.255.0.0.32" in refused.stderr
    assert refused.stderr.endswith("hint: answer with --yes\n")
    assert run_umi(*args, "--yes").exit == 0


def partial_read(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    """Read an array from a device that loses frames, until one goes away in the middle."""
    for seed in range(40):
        options = f"max-packet=200&fault=drop:0.5&seed={seed}&time=2026-11-22T10:00:00Z"
        code = run(["-p", f"sim:?{options}", "read", "profile-table", *args])
        out, err = capsys.readouterr()
        if "[0:" in out:
            return code, out, err
    raise AssertionError("no read was cut in the middle")


def test_partial_read_says_which_elements_came(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = partial_read(capsys, "--json")
    document = json.loads(out)
    assert document["error"]["exit"] == code == 17
    [record] = document["data"]
    last = int(record["part"].partition("[0:")[2].rstrip("]"))
    assert len(record["value"]) == last + 1
    assert record["part"] in document["error"]["message"]


def test_partial_read_shows_people_what_came(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = partial_read(capsys)
    assert code == 17
    assert "element" in out.splitlines()[1]
    assert err.startswith("umi: only umi.1.1.194.23[0:")


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("read", "read"),
        ("profile --bogus", "profile"),
        ("clock set", "clock set"),
        ("clock", None),
        ("", None),
        ("nosuch", None),
    ],
)
def test_usage_errors_name_the_command_that_is_known(
    capsys: pytest.CaptureFixture[str], words: str, command: str | None
) -> None:
    outcome = call_umi(capsys, *words.split(), "--json")
    assert outcome.exit == 2
    assert outcome.document["command"] == command


@pytest.mark.parametrize("words", ["--csv --json", "--json --csv"])
def test_forms_that_exclude_each_other_are_named_as_typed(
    capsys: pytest.CaptureFixture[str], words: str
) -> None:
    error = call_umi(capsys, "-p", "sim", "profile", *words.split()).document["error"]
    assert "--json and --csv exclude each other" in error["message"]
    error = call_umi(capsys, "-p", "sim", "profile", "--json", "-o", "csv").document["error"]
    assert "--json and --output exclude each other" in error["message"]


def test_an_empty_file_is_said_to_be_empty(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    empty = tmp_path / "empty.bin"
    empty.touch()
    outcome = call_umi(capsys, "decode", str(empty))
    assert (outcome.exit, outcome.stdout) == (33, "")
    assert "the file is empty" in outcome.stderr
