"""`--trace` and `umi decode FILE.pcapng`: what passed, whole, readable, and without a secret."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import TIME_LIMIT_S, UMI, call_umi, environment, run_umi, start_umi
from tests.cli.desk import Desk, laid
from tests.cli.serving import served
from tests.cli.test_auth import serving, sim
from tests.cli.test_secrets import secret_of
from tests.dissected import AGGREGATOR, EXPERT, compared, needs_tshark
from tests.load_vectors import octets
from umi_cli.explain.pcapng import Interface, Packet, Section, read_blocks
from umi_cli.optical.characters import with_parity
from umi_cli.optical.messages import BREAK

OWN = ["--key", "office.pem", "--cert", "chain.cvc", "--anchor", "root.cvc"]
SECRET = bytes.fromhex("9b41d7c02e8f563a1c74e9b0d3a2f685")
SPACE = 0o777


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Return a desk with keys and certificates, and a manufacturer who may write keys."""
    desk = laid(tmp_path_factory.mktemp("desk"))
    desk.do("key new maker.pem")
    desk.do(
        "cert request maker.req --key maker.pem --subject 00237EFE00000005"
        " --issuer 00237EFE000000A0"
    )
    desk.do(
        "cert issue maker.req maker.cvc --key root.pem --issuer-cert root.cvc --role manufacturer"
    )
    return desk


def decoded(path: Path, *words: str) -> dict[str, Any]:
    outcome = run_umi("decode", str(path), "--json", *words)
    data: dict[str, Any] = outcome.document["data"]
    return data


def packets(path: Path) -> list[Packet]:
    with path.open("rb") as file:
        return [block for block in read_blocks(file) if isinstance(block, Packet)]


def whats(path: Path) -> list[str]:
    return [frame["what"] for frame in decoded(path)["frames"]]


def test_a_read_is_traced(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "read.pcapng"
    assert call_umi(capsys, "-p", "sim", "read", "counter", "--trace", str(path)).exit == 0
    assert path.stat().st_mode & SPACE == 0o600
    data = decoded(path)
    assert [(f["number"], f["direction"], f["what"]) for f in data["frames"]] == [
        (1, "out", "RESYNC"),
        (2, "in", "RESYNC_RESPONSE"),
        (3, "out", "READ_OBJECT umi.255.0.0.65"),
        (4, "in", "READ_OBJECT_RESPONSE umi.255.0.0.65, OK, 4 bytes"),
    ]
    assert data["count"] == 4
    assert data["interfaces"] == [
        {"name": "sim", "description": "UMI link frames", "link_type": 147}
    ]
    assert "zeros" in data["comments"][0]
    with path.open("rb") as file:
        (section, interface, *_) = read_blocks(file)
    assert isinstance(section, Section)
    assert isinstance(interface, Interface)
    assert section.hardware == os.uname().machine
    assert section.system.startswith(os.uname().sysname)
    assert section.application.startswith("umi ")


def test_as_people_see_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "read.pcapng"
    address = "sim:?time=2026-11-22T10:00:00Z"
    call_umi(capsys, "-p", address, "read", "counter", "--trace", str(path))
    outcome = call_umi(capsys, "decode", str(path))
    assert outcome.exit == 0
    assert outcome.stdout.splitlines()[2:4] == [
        "    1  2026-11-22T10:00:00.000000Z  out  0>0 #0  RESYNC",
        "    2  2026-11-22T10:00:00.000000Z  in   0>5 #0  RESYNC_RESPONSE",
    ]
    assert "zeros" in outcome.stderr
    csv = call_umi(capsys, "decode", str(path), "-o", "csv").stdout.splitlines()
    assert csv[0] == "frame,time,way,link,what,comments"
    assert len(csv) == 5
    raw = call_umi(capsys, "decode", str(path), "-o", "raw").stdout.splitlines()
    assert raw[0] == "01040000fe5b"
    events = run_umi("decode", str(path), "--events").events
    assert [event["type"] for event in events] == ["frame"] * 4 + ["result"]
    assert events[-1]["data"]["count"] == 4


def test_it_is_read_from_stdin(tmp_path: Path) -> None:
    path = tmp_path / "read.pcapng"
    run_umi("-p", "sim", "read", "counter", "--trace", str(path))
    with path.open("rb") as file:
        process = start_umi("decode", "-", stdin=file)
        out, _ = process.communicate(timeout=TIME_LIMIT_S)
    assert process.returncode == 0
    assert "READ_OBJECT umi.255.0.0.65" in out


@needs_tshark
@pytest.mark.parametrize("line", ["sim", "tcp", "pty"])
def test_a_session_under_scheme_2_with_fragments_and_a_retry(
    desk: Desk, tmp_path: Path, line: str
) -> None:
    path = tmp_path / "session.pcapng"
    with serving(desk, tmp_path / "line") as bench:
        address = bench.addresses[line]
        if line == "sim":  # served to others, a meter is not to be upset by chance
            address += "&fault=drop:0.12&seed=4"
        words = ["--retries", "5", "--trace", str(path), "write", "scratch[0:999]"]
        outcome = desk.umi("-p", address, *OWN, *words, "hex:" + "5a" * 1000, "--verify")
        assert outcome.exit == 0, outcome.stderr
    data = decoded(path)
    frames = data["frames"]
    rows = compared(path, frames)
    assert all(row["umi.crc_ok"] == "1" for row in rows)
    told = [frame["what"] for frame in frames]
    assert any("FRAGMENT LAST: encrypted packet, " in text for text in told), "put together"
    comments = [comment for frame in frames for comment in frame["comments"]]
    assert "encrypted: WRITE_OBJECT_PART umi.255.0.0.64[0:999], 1000 bytes" in comments
    assert "encrypted: WRITE_OBJECT_PART_RESPONSE, OK" in comments
    assert "encrypted: S2_END_SESSION" in comments
    read = "encrypted: READ_OBJECT_PART_RESPONSE umi.255.0.0.64[0:999], OK, 1000 bytes"
    assert read in comments
    repeats = [frame for frame in frames if frame["repeated"]]
    assert bool(repeats) == (line == "sim")
    assert all(f["comments"][0].startswith("repeated, attempt ") for f in repeats)
    experts = AGGREGATOR.join(row[EXPERT] for row in rows)
    assert ("Repeated" in experts) == bool(repeats)


@needs_tshark
@pytest.mark.parametrize("seed", [1, 2, 3, 5])
def test_whatever_the_line_does(tmp_path: Path, seed: int) -> None:
    """Noise, late copies, bit errors: tshark and our decoder agree on every frame."""
    path = tmp_path / "faults.pcapng"
    fault = "drop:0.05,flip:0.08,noise:0.08,duplicate:0.1,delay:0.05,truncate:0.05"
    words = ["read", "profile-table[0:60]", "--trace", str(path)]
    run_umi("-p", f"sim:?fault={fault}&seed={seed}", *words)
    outcome = run_umi("decode", str(path), "--json")
    frames = outcome.document["data"]["frames"]
    compared(path, frames)
    damaged = [f for f in frames if f["what"].startswith("wrong CRC")]
    assert all(f["comments"] == ["dropped: the CRC is wrong"] for f in damaged)
    assert outcome.exit == (33 if damaged else 0)
    lines = [f for f in frames if f["form"] == "line"]
    assert all(f["comments"][0].startswith("dropped: ") for f in lines)
    assert damaged or lines


@needs_tshark
def test_an_optical_sign_on(tmp_path: Path) -> None:
    path = tmp_path / "optical.pcapng"
    assert run_umi("-p", "opto:sim", "read", "counter", "--trace", str(path)).exit == 0
    data = decoded(path)
    frames = data["frames"]
    compared(path, frames)
    assert [each["name"] for each in data["interfaces"]] == ["opto:sim/line", "opto:sim"]
    texts = [frame["what"].partition(": ")[2] for frame in frames if frame["form"] == "line"]
    assert texts[1:] == ["/?!..", "/ELS5EISGMv0..", ".056..", ".B0.q"]
    assert all(f["comments"] == ["sign-on"] for f in frames if f["form"] == "line")
    times = [frame["time"] for frame in frames]
    assert times == sorted(times)
    assert frames[-1]["time"] > frames[0]["time"], "the simulated clock"


# The other side


def passed(path: Path) -> list[tuple[str, bytes]]:
    """Return the direction and the bytes of each record."""
    return [(str(packet.direction), packet.data) for packet in packets(path)]


def mirrored(records: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    return [("in" if way == "out" else "out", data) for way, data in records]


def test_a_meter_that_is_served_sees_the_same(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.pcapng", tmp_path / "theirs.pcapng"
    with served("--as", "manufacturer", "--trace", str(theirs)) as server:
        words = ["-p", server.address, "--trace", str(ours)]
        assert run_umi(*words, "read", "profile-table[0:99]", "umi-id").exit == 0
        again = tmp_path / "again.pcapng"
        secret = secret_file(tmp_path / "value")
        writes = [*words[:2], "--trace", str(again), "write", "scheme-1-keys[5]", secret]
        assert run_umi(*writes).exit == 0
    assert passed(theirs) == mirrored(passed(ours) + passed(again))
    assert scan(theirs, SECRET, SECRET[:4]) == []
    assert [each["name"] for each in decoded(theirs)["interfaces"]] == ["line 1", "line 2"]
    assert theirs.stat().st_mode & SPACE == 0o600


def test_an_optical_port_that_is_served_shows_its_sign_on(tmp_path: Path) -> None:
    path, link = tmp_path / "meter.pcapng", tmp_path / "probe"
    with served("--pty", str(link), "--opto", "no-wakeup", "--trace", str(path)):
        assert run_umi("-p", f"opto:{link}?wakeup=none", "read", "umi-id").exit == 0
    frames = decoded(path)["frames"]
    sign_on = [each for each in frames if each["comments"] == ["sign-on"]]
    assert [each["direction"] for each in sign_on] == ["in", "out", "in"]
    assert "READ_OBJECT umi.0.0.0.0" in [each["what"] for each in frames]


@pytest.mark.parametrize("orders", [(signal.SIGINT,), (signal.SIGINT, signal.SIGTERM)])
def test_a_session_is_signed_off_however_often_it_is_told_to_end(
    tmp_path: Path, orders: tuple[signal.Signals, ...]
) -> None:
    path, link = tmp_path / "meter.pcapng", tmp_path / "probe"
    words = ["--pty", str(link), "--opto", "no-wakeup", "--trace", str(path), "--trace-plain"]
    probe = ["-p", f"opto:{link}?wakeup=none"]
    with served(*words):
        with start_umi(*probe, "watch", "counter", "--every", "60", "--events") as process:
            while '"type":"reading"' not in (line := process.stdout.readline()):
                assert line, process.stderr.read()
            for order in orders:
                process.send_signal(order)
                time.sleep(0.02)  # it is in the pause before the break
            process.communicate(timeout=TIME_LIMIT_S)
        assert run_umi(*probe, "read", "umi-id").exit == 0
    said = [packet.data for packet in packets(path) if packet.direction == "in"]
    assert with_parity(BREAK) in said


def test_two_runs_do_not_write_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "both.pcapng"
    with served("--trace", str(path)) as server:
        words = ["-p", server.address, "read", "umi-id"]
        outcome = run_umi(*words, "--trace", str(path))
        assert outcome.exit == 2
        assert "another program is writing to it" in outcome.stderr
        assert run_umi(*words).exit == 0
    assert len(packets(path)) > 3


def test_a_trace_that_cannot_be_written_is_said_before_anything_is_served(tmp_path: Path) -> None:
    words = ["sim", "--tcp", "127.0.0.1:0", "--trace", str(tmp_path / "none" / "x.pcapng")]
    outcome = run_umi(*words)
    assert (outcome.exit, outcome.stdout) == (2, "")
    assert "--trace: cannot write" in outcome.stderr


# Secrets


def secret_file(path: Path, value: bytes = SECRET) -> str:
    keys = [value[n : n + 16].hex() for n in range(0, len(value), 16)]
    path.write_text(keys[0] if len(keys) == 1 else json.dumps(keys))
    path.chmod(0o600)
    return str(path)


def scan(path: Path, *secrets: bytes) -> list[bytes]:
    data = path.read_bytes()
    return [secret for secret in secrets if secret in data]


SCALARS = ("office", "maker", "meter", "root")


def test_a_secret_under_scheme_2_is_nowhere_but_in_a_plain_trace(
    desk: Desk, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    source = secret_file(tmp_path / "value")
    maker = ["--key", "maker.pem", "--cert", "maker.cvc", "--anchor", "root.cvc"]
    words = ["write", "scheme-1-keys[5]", source]
    path = tmp_path / "hidden.pcapng"
    outcome = desk.umi("-p", sim(desk, state), *maker, *words, "--trace", str(path))
    assert outcome.exit == 0, outcome.stderr
    assert scan(path, SECRET, SECRET[:4]) == []
    plain = tmp_path / "plain.pcapng"
    extra = ["--trace", str(plain), "--trace-plain"]
    outcome = desk.umi("-p", sim(desk, state), *maker, *words, *extra)
    assert outcome.exit == 0
    assert outcome.stderr.count("SECRETS") == 2
    assert scan(plain, SECRET) == [SECRET]
    data = decoded(plain)
    assert "Nothing is redacted" in data["comments"][0]
    (written,) = [
        f for f in data["frames"] if f["what"].startswith("decrypted: WRITE_OBJECT_PART umi")
    ]
    assert written["form"] == "packet"
    assert written["interface"].endswith("/plain")
    shown = json.dumps(written["layers"])
    assert SECRET.hex() not in shown, "the datasheet calls it a secret"


@needs_tshark
def test_a_plain_trace_is_dissected(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "plain.pcapng"
    words = ["read", "manufacturer-id", "--trace", str(path), "--trace-plain", "--json"]
    warnings = desk.umi("-p", sim(desk), *OWN, *words).document["warnings"]
    assert len(warnings) == 2
    frames = decoded(path)["frames"]
    compared(path, frames)
    told = [frame["what"] for frame in frames if frame["form"] == "packet"]
    assert "decrypted: READ_OBJECT umi.1.1.0.0" in told
    assert "decrypted: READ_OBJECT_RESPONSE umi.1.1.0.0, OK, 23 bytes" in told


@needs_tshark
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [1, 16])
def test_a_secret_in_the_clear_is_redacted_on_a_bad_line(
    tmp_path: Path, seed: int, size: int
) -> None:
    """A guest writes keys, and is refused: its frames are repeated, and come back damaged."""
    value = bytes(range(0x81, 0x91)) * size
    source = secret_file(tmp_path / "value", value)
    fault = "drop:0.1,flip:0.1,duplicate:0.2,delay:0.1,noise:0.1"
    part = "scheme-1-keys[5]" if size == 1 else "scheme-1-keys"
    address = f"sim:?fault={fault}&seed={seed}"
    path, plain = tmp_path / "trace.pcapng", tmp_path / "plain.pcapng"
    for each, words in ((path, []), (plain, ["--trace-plain"])):
        outcome = run_umi("-p", address, "write", part, source, "--trace", str(each), *words)
        assert outcome.exit != 0
        assert value.hex() not in outcome.stdout + outcome.stderr
    assert scan(plain, value[:16]) == [value[:16]]
    blocks = [value[n : n + 3] for n in range(14)]
    assert scan(path, *blocks) == []
    frames = run_umi("decode", str(path), "--json").document["data"]["frames"]
    compared(path, frames)
    comments = [comment for frame in frames for comment in frame["comments"]]
    assert any(comment.startswith("redacted: ") for comment in comments)


def test_a_secret_that_is_read_in_the_clear_is_redacted(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.toml"
    sheet.write_text(
        'schema = "umi-datasheet/1"\nname = "x"\ntitle = "X"\nbanks = ["umi.1.1"]\n'
        '[[object]]\ncode = "umi.1.1.0.0"\nname = "number"\ntitle = "N"\nkind = "value"\n'
        'type = "bytes[23]"\nsecret = true\n'
    )
    path = tmp_path / "trace.pcapng"
    words = ["--datasheet", str(sheet), "--trace", str(path)]
    assert run_umi("-p", "sim", *words, "read", "umi.1.1.0.0").exit == 0
    assert scan(path, b"EISG", b"31733978") == []
    (answer,) = [f for f in decoded(path)["frames"] if "RESPONSE umi" in f["what"]]
    assert answer["comments"] == ["redacted: 23 bytes are zeros here, the CRC is made anew"]


def test_keys_of_this_desk_are_in_no_trace(desk: Desk, tmp_path: Path) -> None:
    secrets = [secret_of((desk.path / f"{name}.pem").read_bytes()) for name in SCALARS]
    service = secret_of((desk.path / "service.key").read_bytes())
    for number, words in enumerate(
        (
            [*OWN, "info"],
            ["--scheme", "1", "--role", "service", "--key", "service.key", "auth"],
            [*OWN, "auth", "--trace-plain"],
        )
    ):
        path = tmp_path / f"{number}.pcapng"
        assert desk.umi("-p", sim(desk), *words, "--trace", str(path)).exit == 0
        assert packets(path)
        assert scan(path, *secrets, service) == []


# The file


def test_a_capture_is_replaced_and_nothing_else_is(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "trace.pcapng"
    path.touch(0o644)
    for _ in range(2):
        assert call_umi(capsys, "-p", "sim", "read", "counter", "--trace", str(path)).exit == 0
        assert len(packets(path)) == 4
        assert path.stat().st_mode & SPACE == 0o600
    key = tmp_path / "key.pem"
    key.write_text("-----BEGIN")
    outcome = call_umi(capsys, "-p", "sim", "write", "counter", "5", "--trace", str(key))
    assert outcome.exit == 2
    assert "another kind of file, which stays" in outcome.stderr
    assert key.read_text() == "-----BEGIN"


@pytest.mark.parametrize("name", ["missing/trace.pcapng", ".", "link", "fifo"])
def test_a_file_that_cannot_be_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "fifo")
    state = tmp_path / "state.json"
    words = ["write", "counter", "5", "--trace", str(tmp_path / name)]
    outcome = call_umi(capsys, "-p", f"sim:{state}", *words)
    assert outcome.exit == 2
    assert outcome.stderr.startswith(f"umi: --trace: cannot write {tmp_path / name}")
    assert not state.exists(), "nothing was sent"
    assert not (tmp_path / "elsewhere").exists()


def test_a_full_disk_ends_the_trace_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "trace.pcapng"
    script = "ulimit -f 1; trap '' XFSZ; exec \"$@\""
    words = ["-p", "sim", "read", "profile-table[0:99]", "--trace", str(path)]
    process = subprocess.run(
        ["bash", "-c", script, "bash", *UMI, *words],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert process.stderr.count("takes no more, and ends here") == 1
    assert path.stat().st_size == 1024
    outcome = run_umi("decode", str(path))
    assert outcome.exit == 33
    assert "the capture ends in its block at offset" in outcome.stderr
    assert "RESYNC_RESPONSE" in outcome.stdout, "what is whole is shown"


def test_a_run_that_is_killed_leaves_a_capture(tmp_path: Path) -> None:
    path = tmp_path / "trace.pcapng"
    words = ["-p", "tcp-listen:0?wait=60", "read", "counter", "--trace", str(path)]
    process = start_umi(*words)
    while not path.exists() or not path.stat().st_size:
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=TIME_LIMIT_S)
    with path.open("rb") as file:
        assert [type(block) for block in read_blocks(file)] == [Section]


def test_plain_needs_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call_umi(capsys, "-p", "sim", "read", "counter", "--trace-plain")
    assert outcome.exit == 2
    assert "--trace-plain says how to trace, and not where" in outcome.stderr


def test_plain_is_not_for_a_profile(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text("trace_plain = true\n")
    outcome = call_umi(capsys, "--config", str(config), "-p", "sim", "read", "counter")
    assert outcome.exit == 2
    assert "trace_plain is not for a profile" in outcome.stderr


def test_a_command_without_a_device_writes_no_trace(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "trace.pcapng"
    assert call_umi(capsys, "objects", "--trace", str(path)).exit == 0
    assert not path.exists()


# Other captures


def test_what_is_no_capture_of_ours(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "other.pcapng"
    other = Interface(link_type=1, name="eth0").encode()
    path.write_bytes(Section().encode() + other + Packet(interface=0, utc_us=0, data=b"x").encode())
    outcome = call_umi(capsys, "decode", str(path))
    assert outcome.exit == 2
    assert "1 packets are of link types that are not UMI's" in outcome.stderr
    assert "nothing in this capture is of UMI" in outcome.stderr


def test_a_damaged_capture_shows_what_is_whole(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "trace.pcapng"
    call_umi(capsys, "-p", "sim", "read", "counter", "--trace", str(path))
    path.write_bytes(path.read_bytes()[:-3])
    outcome = call_umi(capsys, "decode", str(path))
    assert outcome.exit == 33
    assert "READ_OBJECT umi.255.0.0.65" in outcome.stdout
    assert "the capture ends in its block" in outcome.stderr
    document = run_umi("decode", str(path), "--json").document
    assert document["data"]["count"] == 3


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "give what is to be explained, or --dissector-path"),
        (["01040000fe5b", "--dissector-path"], "one of the two"),
        (["trace.pcapng", "--as", "frame"], "a capture says itself what it holds"),
    ],
)
def test_words_that_make_no_sense(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    why: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trace.pcapng").write_bytes(Section().encode())
    outcome = call_umi(capsys, "decode", *words)
    assert outcome.exit == 2
    assert why in outcome.stderr


def test_encrypted_packets_are_opened_with_their_key(tmp_path: Path) -> None:
    captured = "ei4-read-manufacturer-id-response"
    frame = octets(captured, "frame")
    path = tmp_path / "field.pcapng"
    blocks = (Section(), Interface(link_type=147), Packet(interface=0, utc_us=0, data=frame))
    path.write_bytes(b"".join(block.encode() for block in blocks))
    key = tmp_path / "key"
    key.write_bytes(octets(captured, "session_key"))
    key.chmod(0o600)
    assert whats(path) == [f"encrypted packet, {len(frame) - 6} bytes"]
    (found,) = decoded(path, "--session-key", str(key))["frames"]
    assert found["what"].startswith("encrypted: READ_OBJECT_RESPONSE umi.1.1.0.0, OK")
