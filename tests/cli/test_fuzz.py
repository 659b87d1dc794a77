"""`umi fuzz` as its users run it: exit codes, streams, corpus, replay, the fuzzing meter."""

import json
import shlex
import signal
from pathlib import Path

import pytest

from tests.cli.conftest import call_umi, run_umi, start_umi
from tests.cli.desk import Desk, laid
from umi_cli.certify.fuzz_case import Carrier, FuzzCase, FuzzLayer
from umi_cli.cli.fuzz import LAYERS

SOUND = ("-p", "sim")
HANGS = ("-p", "sim:?defect=hang-on-fragment")
SAFE = [layer.value for layer in FuzzLayer if not layer.changes]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return laid(tmp_path_factory.mktemp("desk"))


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_the_command_line_knows_the_layers() -> None:
    assert (*(layer.value for layer in FuzzLayer), "all") == LAYERS


def test_a_sound_meter_survives_and_the_rate_is_told() -> None:
    outcome = run_umi(*SOUND, "fuzz", "--cases", "90")
    assert outcome.exit == 0
    assert "90 in " in outcome.stdout
    assert "/s" in outcome.stdout
    assert "30 link, 30 packet, 30 payload" in outcome.stdout
    assert "certificate (needs --allow-changes), image (needs --allow-changes)" in outcome.stdout
    assert "fuzz 100% " in outcome.stderr


def test_a_frame_behind_another_one_may_be_answered(capsys: pytest.CaptureFixture[str]) -> None:
    """On a slow line the first one is answered before the second has come (protocol 2.3)."""
    replay = ("fuzz", "--replay", "0:link:506")
    assert call_umi(capsys, "-p", "opto:sim", *replay).exit == 0


@pytest.mark.parametrize("seed", ["0", "11"])
def test_what_a_host_clocks_in_while_intb_is_low_is_nothing_that_is_sent(
    seed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A Peripheral that waits for the rest of a frame holds INTB low (protocol 9)."""
    command = ("fuzz", "--layer", "link", "--cases", "300", "--seed", seed)
    assert call_umi(capsys, "-p", "spi:sim", *command).exit == 0


@pytest.mark.parametrize("port", ["sim", "spi:sim"])
def test_a_meter_as_it_leaves_the_line_survives_changes(
    port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It takes the first root that it is handed; as a Peripheral nobody resets it behind a case."""
    command = ("fuzz", "--allow-changes", "--seed", "5", "--cases", "700")
    outcome = call_umi(capsys, "-p", port, *command)
    assert outcome.exit == 0
    assert "the device has no certificate: whichever it takes is not judged" in outcome.stderr


def test_one_document_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call_umi(capsys, *SOUND, "fuzz", "--cases", "30", "--seed", "5", "--json")
    data = outcome.document["data"]
    assert outcome.exit == 0
    assert (data["seed"], data["cases"], data["failed_cases"]) == (5, 30, 0)
    assert data["layers"] == dict.fromkeys(SAFE, 10)
    assert data["failures"] == []
    assert data["last_case"] == "5:payload:9"
    assert data["cases_per_s"] > 0
    assert outcome.document["meta"]["device"] == "00237EFE00000001"


def test_a_failure_ends_with_53_and_is_kept_and_sent_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = tmp_path / "cases"
    command = ("fuzz", "--layer", "link", "--cases", "60", "--corpus", str(corpus))
    first = run_umi(*HANGS, *command)
    assert first.exit == 53
    (path,) = corpus.iterdir()
    assert path.name.startswith("fail-0-link-")
    kept = json.loads(path.read_bytes())
    assert kept["failure"]["trouble"] == "silent"
    assert kept["failure"]["came_back"].startswith("by itself, after 6")
    assert len(kept["pieces"][0]) <= 24  # hex digits: a fragment with nothing in it
    assert "FAILED 0:link:" in first.stderr
    assert kept["case"] in first.stdout
    assert str(path) in first.stdout
    hint = f"again with: umi -p sim:?defect=hang-on-fragment fuzz --replay {path}\n"
    assert hint in first.stderr.replace("'", "")
    for again in (kept["case"], str(path)):
        outcome = call_umi(capsys, *HANGS, "fuzz", "--replay", again, "--json")
        (failure,) = outcome.document["data"]["failures"]
        assert outcome.exit == 53
        assert failure["failure"]["trouble"] == "silent"
        assert failure["frames"][-1]["words"][0].startswith("link frame: type 4 (RESYNC)")
        assert call_umi(capsys, *SOUND, "fuzz", "--replay", again).exit == 0


@pytest.mark.parametrize(
    "words",
    [
        (*HANGS, "fuzz", "--layer", "link", "--cases", "60", "--seed=3", "--no-minimise"),
        (*HANGS, "fuzz", "--layer=link", "--for", "2", "--stop-after", "1", "--json"),
        ("--timeout", "0.5", *HANGS, "fuzz", "--layer", "link", "--cases", "99", "--allow-changes"),
        (*HANGS, "fuzz", "--replay", "0:link:21"),
    ],
)
def test_the_hint_works_as_it_stands(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = call_umi(capsys, *words)
    assert first.exit == 53
    hint = (first.document["error"]["hint"] if "--json" in words else first.stderr).splitlines()[-1]
    umi, *again = shlex.split(hint.partition("again with: ")[2])
    assert umi == "umi"
    outcome = call_umi(capsys, *again)
    assert outcome.exit == 53, again
    assert "of 1 cases failed" in outcome.stderr + outcome.stdout


def test_the_cases_of_a_corpus_come_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("fuzz", "--layer", "link", "--cases", "60", "--corpus", str(tmp_path / "cases"))
    assert call_umi(capsys, *HANGS, *command).exit == 53
    only = ("fuzz", "--cases", "0", "--corpus", str(tmp_path / "cases"), "--json")
    assert call_umi(capsys, *HANGS, *only).exit == 53
    outcome = call_umi(capsys, *SOUND, *only)
    assert outcome.exit == 0
    assert outcome.document["data"]["cases"] == 1


def test_the_same_seed_fails_at_the_same_case(capsys: pytest.CaptureFixture[str]) -> None:
    command = ("fuzz", "--layer", "link", "--cases", "40", "--no-minimise", "--json")
    first, second = (call_umi(capsys, *HANGS, *command).document["data"] for _ in range(2))
    assert [each["pieces"] for each in first["failures"]] == [
        each["pieces"] for each in second["failures"]
    ]
    assert first["failures"][0]["failure"]["smaller_tried"] == 0


def test_events_tell_a_failure_when_it_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    events = call_umi(
        capsys, *HANGS, "fuzz", "--layer", "link", "--cases", "1000", "--no-minimise", "--events"
    ).events
    kinds = [event["type"] for event in events]
    assert kinds.count("failure") == 1
    assert kinds.count("cases") == 1
    assert "progress" not in kinds
    (failure,) = (event for event in events if event["type"] == "failure")
    assert failure["failure"]["trouble"] == "silent"
    assert events[-1]["exit"] == 53
    (cases,) = (event for event in events if event["type"] == "cases")
    assert (cases["cases"], cases["failed_cases"] > 0) == (1000, True)


def test_what_was_found_goes_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "found.json"
    outcome = call_umi(capsys, *SOUND, "fuzz", "--cases", "30", "--out", str(path))
    assert outcome.exit == 0
    report = json.loads(path.read_bytes())
    assert (report["cases"], report["port"], report["device"]) == (30, "sim", "00237EFE00000001")


def test_with_keys_and_leave_everything_is_fuzzed(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = ("--key", desk.file("office.pem"), "--cert", desk.file("chain.cvc"))
    anchor = ("--anchor", desk.file("root.cvc"))
    command = ("fuzz", "--allow-changes", "--cases", "100", "--json")
    outcome = call_umi(capsys, "-p", desk.meter, *keys, *anchor, *command)
    data = outcome.document["data"]
    assert outcome.exit == 0
    assert data["layers"] == {layer.value: 20 for layer in FuzzLayer}
    assert data["left_out"] == {}


def test_enough_failures_are_enough(capsys: pytest.CaptureFixture[str]) -> None:
    command = ("fuzz", "--layer", "link", "--stop-after", "1", "--no-minimise", "--json")
    data = call_umi(capsys, "-p", "sim:?defect=crc-unchecked", *command).document["data"]
    assert len(data["failures"]) == 1
    assert data["stopped"] == "1 failures are enough"
    assert data["cases"] < 1000


def test_a_device_that_does_not_come_back_ends_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    command = ("fuzz", "--layer", "link", "--cases", "500", "--json")
    outcome = call_umi(capsys, "-p", "sim:?defect=crash-on-length", *command)
    data = outcome.document["data"]
    assert outcome.exit == 53
    assert data["stopped"].startswith("the device did not come back after 0:link:")
    assert data["failures"][0]["failure"]["is_gone"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--layer", "image"), "the layer image changes the device"),
        (("--layer", "nowhere"), "nowhere"),
        (("--cases", "-1"), "--cases"),
        (("--for", "0"), "--for"),
        (("--replay", "7:nowhere:1"), "names no fuzz case"),
        (("--replay", "missing.json"), "cannot read missing.json"),
        (("--replay", "7:image:1"), "was made where the device may be changed"),
        (("--replay", "7:link:1:changes"), "was made where the device may be changed"),
        (("--tcp", "127.0.0.1:0"), "--tcp is for --as-meter"),
        (("--dry-run",), "this is a dry run"),
        (("--out", "/nowhere/found.json"), "cannot write"),
        (("--as-meter", "--corpus", "x"), "for a device"),
        (("--as-meter", "--replay", "x"), "is no number of a case"),
        (("--as-meter", "--replay", "1", "--tcp", "127.0.0.1:0"), "not for --tcp"),
        (("--as-meter", "--tcp", "127.0.0.1:0", "-p", "tcp:127.0.0.1:1"), "no device to call"),
    ],
)
def test_what_contradicts_itself_is_refused(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = call_umi(capsys, *SOUND, "fuzz", *words)
    assert outcome.exit == 2
    assert message in outcome.stderr
    assert outcome.stdout == ""


def test_without_a_device_there_is_nothing_to_fuzz(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("fuzz",), ("fuzz", "--replay", "7:link:21")):
        outcome = call_umi(capsys, *words)
        assert outcome.exit == 2
        assert "there is nothing to fuzz: no device is named" in outcome.stderr


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema": "umi/1"}', "[" * 100_000])
def test_a_corpus_of_something_else_is_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "case.json").write_text(text)
    outcome = call_umi(capsys, *SOUND, "fuzz", "--corpus", str(tmp_path))
    assert outcome.exit == 2
    assert "case.json: " in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_a_case_that_sends_nothing_is_not_sent_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = FuzzCase(
        seed=0, layer=FuzzLayer.LINK, number=0, base="", carrier=Carrier.FRAMES, pieces=()
    )
    path = tmp_path / "case.json"
    path.write_text(json.dumps(case.record))
    outcome = call_umi(capsys, *SOUND, "fuzz", "--replay", str(path))
    assert outcome.exit == 2
    assert "there is nothing to send: the case has no pieces" in outcome.stderr


def test_a_corpus_that_cannot_be_made_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    outcome = call_umi(capsys, *SOUND, "fuzz", "--corpus", str(tmp_path / "file" / "cases"))
    assert outcome.exit == 2
    assert "cannot use" in outcome.stderr


def test_cases_with_changes_are_left_out_of_a_corpus(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = {
        "schema": "umi-fuzz/1",
        "seed": 0,
        "layer": "packet",
        "number": 0,
        "changes": True,
        "base": "",
        "carrier": "packets",
        "pieces": ["00"],
    }
    (tmp_path / "case.json").write_text(json.dumps(record))
    outcome = call_umi(capsys, *SOUND, "fuzz", "--cases", "0", "--corpus", str(tmp_path))
    assert outcome.exit == 0
    assert "1 cases of the corpus are left out: they need --allow-changes" in outcome.stderr


def test_ctrl_c_tells_what_was_found(tmp_path: Path) -> None:
    environment = {"XDG_STATE_HOME": str(tmp_path)}
    with start_umi(*SOUND, "fuzz", "--for", "60", "-v", "--json", env=environment) as process:
        for line in process.stderr:
            if line.startswith("case 0:link:20:"):
                break
        (left,) = (tmp_path / "umi" / "fuzz").iterdir()
        assert left.name == f"under-way-{process.pid}.txt"
        assert left.read_text().startswith("0:")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    document = json.loads(out)
    assert process.returncode == 130
    assert document["error"]["code"] == "interrupted"
    assert document["data"]["cases"] >= 20
    assert document["data"]["stopped"] == "it was interrupted"
    assert not left.exists()


def test_the_name_of_a_case_is_gone_when_the_run_has_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call_umi(capsys, *SOUND, "fuzz", "--cases", "3").exit == 0
    assert list((tmp_path / "state" / "umi" / "fuzz").iterdir()) == []


def test_the_name_of_a_case_is_gone_when_nobody_reads_on(tmp_path: Path) -> None:
    environment = {"XDG_STATE_HOME": str(tmp_path)}
    with start_umi(*SOUND, "--events", "fuzz", "--for", "60", env=environment) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=60) == 141
    assert list((tmp_path / "umi" / "fuzz").iterdir()) == []


def test_the_name_of_a_case_stays_after_a_crash(tmp_path: Path) -> None:
    environment = {"XDG_STATE_HOME": str(tmp_path)}
    with start_umi(*SOUND, "fuzz", "--for", "60", "-v", env=environment) as process:
        for line in process.stderr:
            if line.startswith("case 0:link:5:"):
                break
        process.kill()
        process.communicate(timeout=30)
    (left,) = (tmp_path / "umi" / "fuzz").iterdir()
    assert left.read_text().split()[0].startswith("0:")


def test_this_toolkit_as_a_reader(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "found.json"
    command = ("fuzz", "--as-meter", "--cases", "40", "--seed", "2", "--out", str(path), "--json")
    outcome = call_umi(capsys, *command)
    assert outcome.exit == 0
    data = outcome.document["data"]
    assert (data["cases"], data["violations"], data["seed"]) == (40, [], 2)
    assert sum(data["ended"].values()) == 40
    assert json.loads(path.read_bytes()) == data
    shown = call_umi(capsys, "fuzz", "--as-meter", "--replay", "17")
    assert shown.exit == 0
    assert "1 in " in shown.stdout


SERVE = ("fuzz", "--as-meter", "--tcp", "127.0.0.1:0")


def test_any_reader_can_call_the_fuzzing_meter() -> None:
    with start_umi(*SERVE, "--events") as server:
        (address,) = json.loads(server.stdout.readline())["addresses"]
        exits = {run_umi("-p", address, "--timeout", "0.2", "info").exit for _ in range(6)}
        server.send_signal(signal.SIGINT)
        out, _ = server.communicate(timeout=30)
    assert server.returncode == 130
    assert exits <= {0, 14, 15, 17, 23, 30, 31, 33}
    spoilt = [json.loads(line) for line in out.splitlines()]
    assert [each["type"] for each in spoilt][-1] == "result"
    numbers = [each["number"] for each in spoilt if each["type"] == "spoilt"]
    assert numbers == list(range(1, len(numbers) + 1))
    assert numbers
    assert sum(spoilt[-1]["data"]["spoilt"].values()) == len(numbers)


def test_the_fuzzing_meter_ends_after_so_many_spoilt_answers(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    with start_umi(*SERVE, "--cases", "3", "--json", "--out", str(path)) as server:
        address = server.stderr.readline().removeprefix("listening on ").strip()
        while server.poll() is None:
            run_umi("-p", address, "--timeout", "0.2", "info")
        out, _ = server.communicate(timeout=30)
    assert server.returncode == 0
    document = json.loads(out)
    data = document["data"]
    assert (document["schema"], document["ok"], document["command"]) == ("umi/1", True, "fuzz")
    assert (data["addresses"], data["seed"], data["stopped"]) == ([address], 0, "")
    assert sum(data["spoilt"].values()) == 3
    assert [each["umi_id"] for each in data["readers"]] == ["00237EFE00000004"]
    found = json.loads(path.read_bytes())
    assert {name: found[name] for name in data} == data
    assert [each["number"] for each in found["answers"]] == [1, 2, 3]
    assert found["left_out"] == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_fuzzing_meter_tells_what_it_spoilt_when_it_is_ended(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    path = tmp_path / "found.json"
    with start_umi(*SERVE, "--json", "--out", str(path)) as server:
        assert server.stderr.readline().startswith("listening on tcp:127.0.0.1:")
        server.send_signal(number)
        out, _ = server.communicate(timeout=30)
    document = json.loads(out)
    assert (server.returncode, document["error"]["exit"]) == (code, code)
    assert document["data"]["stopped"] == "it was interrupted"
    assert json.loads(path.read_bytes())["frames"] == 0


def test_where_no_reader_comes_the_exit_code_tells() -> None:
    outcome = run_umi(*SERVE, "--for", "0.2")
    assert outcome.exit == 2
    assert json.loads(outcome.stdout.splitlines()[0])["type"] == "listening"
    assert "judged   nothing" in outcome.stdout
    assert "umi: no reader came" in outcome.stderr


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("--layer", "link"), "--layer"),
        (("--no-minimise",), "--minimise"),
        (("--allow-changes",), "--allow-changes"),
        (("--stop-after", "1"), "--stop-after"),
        (("--power", "true"), "--power"),
        (("--cases", "0"), "--cases 0"),
    ],
)
def test_the_fuzzing_meter_takes_no_options_of_devices(
    words: tuple[str, ...], option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = call_umi(capsys, *SERVE, *words)
    assert outcome.exit == 2
    assert option in outcome.stderr
