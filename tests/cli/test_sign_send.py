"""`umi sign` here and now, `umi send` elsewhere later: once, in its window, to the device meant."""

import json
import os
import re
import stat
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.conftest import Outcome, run_umi
from tests.cli.desk import METER, OFFICE, Desk, laid
from umi_cli.application.commands import WriteObjectPart
from umi_cli.device.credentials import Scheme1Credentials
from umi_cli.device.offline import SignedCommand, sign_ahead
from umi_cli.security.keys import load_key
from umi_cli.types import DEFAULT_READER_ID, ObjectPart, Role, UmiCode, UmiId, parse_datetime
from umi_cli.virtual.security import KEYS_OBJECT

OWN = ["--key", "office.pem", "--cert", "chain.cvc"]
ROLE_KEY = ["--scheme", "1", "--role", "service", "--key", "service.key"]
SIGNERS = {1: ROLE_KEY, 2: OWN}
OTHER_METER = "00237EFE00000009"
NEW_KEY = "5ec2e7000102030405060708090a0b0c"
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return laid(tmp_path_factory.mktemp("desk"))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))


@pytest.fixture
def meter(desk: Desk, tmp_path: Path) -> str:
    """Return the address of a meter in the cupboard, which knows the office's certificate."""
    role_keys = f"role-keys=service:{desk.file('service.key')}"
    address = desk.meter.replace("sim:", f"sim:{tmp_path}/state.json") + f"&{role_keys}"
    assert desk.umi("-p", address, *OWN, "--anchor", "root.cvc", "auth").exit == 0
    return address


def signed(desk: Desk, out: Path | str, *more: str, scheme: int = 2) -> Outcome:
    """Sign a load limit of 2500 W; options that follow take the place of these."""
    words = ["load-limit", "2500", "--target", METER, "--out", str(out), *SIGNERS[scheme]]
    return desk.umi("sign", *words, *more)


def limit_of(desk: Desk, meter: str) -> str:
    return desk.umi("-p", meter, "read", "load-limit").stdout


def refused(desk: Desk, meter: str, file: Path, code: int) -> str:
    """Send what must be refused with that exit code; return the sentence and the hint."""
    before = limit_of(desk, meter)
    outcome = desk.umi("-p", meter, "send", str(file))
    assert (outcome.exit, outcome.stdout) == (code, "")
    assert re.match(r"umi: .+\nhint: .+\n\Z", outcome.stderr)
    assert limit_of(desk, meter) == before
    return outcome.stderr


# In its window


@pytest.mark.parametrize("scheme", SIGNERS)
def test_signed_here_and_sent_elsewhere(
    desk: Desk, meter: str, tmp_path: Path, scheme: int
) -> None:
    file = tmp_path / "limit.umi"
    told = signed(desk, file, "--json", scheme=scheme).document["data"]
    record = json.loads(file.read_text())
    assert told == {"file": str(file)} | {
        name: text for name, text in record.items() if name not in ("schema", "packet")
    }
    assert record["schema"] == "umi-command/1"
    assert (record["target"], record["commander"]) == (METER, OFFICE)
    assert (record["role"], record["scheme"]) == ("service", scheme)
    sent = desk.umi("-p", meter, "send", str(file))
    assert (sent.exit, sent.stderr) == (0, "")
    assert "done, as service" in sent.stdout
    assert limit_of(desk, meter) == "2500 W\n"
    desk.umi("-p", meter, *ROLE_KEY, "write", "load-limit", "1")
    assert "INVALID_SIGNATURE" in refused(desk, meter, file, 30)  # a second time


def test_as_its_users_run_it(desk: Desk, meter: str, tmp_path: Path) -> None:
    own = [desk.file(word) if "." in word else word for word in OWN]
    words = ["sign", "load-limit", "77", "--target", METER]
    shown = run_umi(*words, "--out", "-", *own)
    assert shown.exit == 0
    assert [line for line in shown.stdout.splitlines() if line] == [shown.stdout.strip()]
    sent = run_umi("-p", meter, "send", "-", "--json", input=shown.stdout)
    data = sent.document["data"]
    assert data["done"] is True
    assert "packet" not in data
    assert sent.document["meta"]["device"] == METER
    again = run_umi("-p", meter, "send", "-", "--json", input=shown.stdout).document
    assert again["error"]["exit"] == 30
    assert again["error"]["result"] == {"number": 128, "name": "INVALID_SIGNATURE"}
    as_document = run_umi(*words, "--out", "-", *own, "--json").document["data"]
    (tmp_path / "again.umi").write_text(json.dumps(as_document))
    assert run_umi("-p", meter, "send", str(tmp_path / "again.umi")).exit == 0
    [result] = run_umi(*words, "--out", "-", *own, "--events").events
    assert result["data"]["schema"] == "umi-command/1"


@pytest.mark.parametrize("scheme", SIGNERS)
def test_a_part_and_a_role_that_may(desk: Desk, meter: str, tmp_path: Path, scheme: int) -> None:
    file, own = tmp_path / "valve.umi", SIGNERS[scheme]
    assert desk.umi("sign", "valve", "open", "--target", METER, "--out", str(file), *own).exit == 0
    assert desk.umi("-p", meter, "send", str(file)).exit == 0
    assert desk.umi("-p", meter, "read", "valve").stdout == "open\n"


def test_a_role_that_may_not(desk: Desk, meter: str, tmp_path: Path) -> None:
    file = tmp_path / "clock.umi"
    words = ["sign", "life-cycle", "locked", "--target", METER, "--out", str(file), *OWN]
    assert desk.umi(*words).exit == 0
    assert "ACCESS_DENIED" in refused(desk, meter, file, 23)


def test_nothing_is_needed_to_send(desk: Desk, meter: str, tmp_path: Path) -> None:
    """A meter that does not know the certificate cannot believe it, and says what to do."""
    file = tmp_path / "limit.umi"
    signed(desk, file)
    stranger = desk.meter  # it forgets everything
    assert "NO_CERTIFICATE" in refused(desk, stranger, file, 30)
    assert desk.umi("-p", meter, "send", str(file), "--dry-run").exit == 0
    assert limit_of(desk, meter) != "2500 W\n"
    assert desk.umi("-p", meter, "send", str(file)).exit == 0


# Outside it


def at(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize("scheme", SIGNERS)
@pytest.mark.parametrize(
    ("meters_day", "is_run"), [(-2, False), (0, True), (1, True), (4, False), (3000, False)]
)
def test_the_window_is_in_the_devices_time(
    desk: Desk, meter: str, tmp_path: Path, scheme: int, meters_day: int, is_run: bool
) -> None:
    """Sign for three days from now on, and send it when it is another day at the meter."""
    file, now = tmp_path / "limit.umi", datetime.now(UTC)
    signed(
        desk, file, "--from", at(now - timedelta(hours=1)), "--valid-for", "259200", scheme=scheme
    )
    then = f"{meter}&time={at(now + meters_day * DAY)}"
    if is_run:
        assert desk.umi("-p", then, "send", str(file)).exit == 0
        return
    if meters_day in (-2, 3000) and scheme == 2:  # that is outside the certificate's time, too
        assert "INVALID_CERTIFICATE" in refused(desk, then, file, 30)
        return
    text = refused(desk, then, file, 30)
    assert "INVALID_SIGNATURE (128)" in text
    assert "outside the command's window" in text


@pytest.mark.parametrize("scheme", SIGNERS)
@pytest.mark.parametrize(("start", "code"), [(-3, 30), (3, 30), (-0.5, 0)])
def test_before_and_after(
    desk: Desk, meter: str, tmp_path: Path, scheme: int, start: float, code: int
) -> None:
    file = tmp_path / "limit.umi"
    signed(desk, file, "--from", at(datetime.now(UTC) + start * DAY), scheme=scheme)
    outcome = desk.umi("-p", meter, "send", str(file))
    assert outcome.exit == code
    assert limit_of(desk, meter) == ("2500 W\n" if code == 0 else "0 W\n")


@pytest.mark.parametrize("length", ["120", "360", "604800"])
def test_short_and_long_windows(desk: Desk, meter: str, tmp_path: Path, length: str) -> None:
    file = tmp_path / "limit.umi"
    told = signed(desk, file, "--valid-for", length, "--json").document["data"]
    period = [datetime.fromisoformat(told[f"valid_{end}"]) for end in ("from", "until")]
    assert period[1] - period[0] == timedelta(seconds=int(length))
    assert desk.umi("-p", meter, "send", str(file)).exit == 0
    desk.umi("-p", meter, *ROLE_KEY, "write", "load-limit", "1")
    refused(desk, meter, file, 30)


@pytest.mark.parametrize(
    "more",
    [
        ["--valid-for", "604801"],
        ["--valid-for", "59"],
        ["--valid-for", "0"],
        ["--valid-for", "x"],
        ["--from", "yesterday"],
        ["--from", "2026-01-01"],
        ["--target", "00237EFE000000010"],
        ["--target", "x"],
        ["--scheme", "0"],
        ["--key", "nosuch.pem"],
        ["--key", "service.key"],
        ["--role", "user"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_signed(desk: Desk, tmp_path: Path, more: list[str]) -> None:
    file = tmp_path / "limit.umi"
    outcome = signed(desk, file, *more)
    assert outcome.exit == (22 if more[0] in ("--key", "--role") else 2)
    assert outcome.stdout == ""
    assert "\nhint: " in outcome.stderr
    assert not file.exists()


def test_a_value_that_does_not_fit(desk: Desk, tmp_path: Path) -> None:
    words = ["--target", METER, "--out", str(tmp_path / "x.umi"), *OWN]
    assert desk.umi("sign", "load-limit", "x", *words).exit == 2
    assert desk.umi("sign", "nosuch", "1", *words).exit == 31
    assert desk.umi("sign", "load-limit", "1", "--target", METER, *OWN).exit == 2  # no --out
    assert os.listdir(tmp_path) == []


# For another meter


@pytest.mark.parametrize("scheme", SIGNERS)
def test_for_another_meter(desk: Desk, meter: str, tmp_path: Path, scheme: int) -> None:
    file = tmp_path / "limit.umi"
    signed(desk, file, "--target", OTHER_METER, scheme=scheme)
    assert f"is for {OTHER_METER}, and this is {METER}" in refused(desk, meter, file, 30)
    document = desk.umi("-p", meter, "send", str(file), "--json").document
    assert document["meta"]["device"] == METER
    assert document["error"]["result"]["name"] == "UNAVAILABLE"


@pytest.mark.parametrize("target", ["FFFFFFFFFFFFFFFF", "00237EFE00000000"])
def test_for_any_meter(desk: Desk, meter: str, tmp_path: Path, target: str) -> None:
    """No command is for whoever is there."""
    file = tmp_path / "limit.umi"
    if signed(desk, file, "--target", target).exit == 0:
        refused(desk, meter, file, 30)


# With a byte changed


def altered(file: Path, packet: bytes) -> None:
    record = json.loads(file.read_text())
    file.write_text(json.dumps({**record, "packet": packet.hex()}))


@pytest.mark.parametrize("scheme", SIGNERS)
def test_every_byte_counts(desk: Desk, meter: str, tmp_path: Path, scheme: int) -> None:
    file = tmp_path / "limit.umi"
    signed(desk, file, scheme=scheme)
    packet = bytes.fromhex(json.loads(file.read_text())["packet"])
    for offset in range(len(packet)):
        changed = bytearray(packet)
        changed[offset] ^= 1 << offset % 8
        altered(file, bytes(changed))
        document = desk.umi("-p", meter, "send", str(file), "--json").document
        error = document["error"]
        assert error is not None, f"byte {offset}"
        # 17: the byte asked for a signed response, and the refusal is not signed
        assert error["exit"] in (2, 17, 23, 30), f"byte {offset}: {error}"
        assert "holds no signed command" in error["message"] or "refused" in error["message"]
    assert limit_of(desk, meter) == "0 W\n"
    altered(file, packet)
    assert desk.umi("-p", meter, "send", str(file)).exit == 0


@pytest.mark.parametrize("offset", [24, 40, -3])
def test_a_byte_of_it_changed(desk: Desk, meter: str, tmp_path: Path, offset: int) -> None:
    file = tmp_path / "limit.umi"
    signed(desk, file)
    packet = bytearray(bytes.fromhex(json.loads(file.read_text())["packet"]))
    packet[offset] ^= 1
    altered(file, bytes(packet))
    assert "INVALID_SIGNATURE" in refused(desk, meter, file, 30)


def test_only_the_packet_is_believed(desk: Desk, meter: str, tmp_path: Path) -> None:
    """What the file says beside the packet is for people; whoever changes it changes nothing."""
    file = tmp_path / "limit.umi"
    signed(desk, file)
    record = json.loads(file.read_text())
    lies = {"command": "WRITE_OBJECT umi.255.0.0.32", "target": OTHER_METER, "role": "user"}
    file.write_text(json.dumps({**record, **lies, "valid_until": "2000-01-01T00:00:00Z"}))
    sent = desk.umi("-p", meter, "send", str(file), "--json").document["data"]
    assert sent == {name: record[name] for name in record if name != "packet"} | {"done": True}


def test_a_signature_that_was_taken_away(desk: Desk, meter: str, tmp_path: Path) -> None:
    file = tmp_path / "limit.umi"
    signed(desk, file)
    packet = bytes.fromhex(json.loads(file.read_text())["packet"])
    altered(file, packet[:21] + b"\0" + packet[22:-83] + bytes([0, 2]))
    assert "carries no signature" in refused(desk, meter, file, 2)


# What is no signed command


GARBAGE: Sequence[bytes] = (
    b"",
    b"hello\n",
    b"{}",
    b"[]",
    b'"text"',
    b"17",
    b"null",
    b"NaN",
    b"[" * 100_000,
    b'{"schema": "umi/1", "packet": "00"}',
    b'{"schema": "umi-command/1"}',
    b'{"schema": "umi-command/1", "packet": 17}',
    b'{"schema": "umi-command/1", "packet": null}',
    b'{"schema": "umi-command/1", "packet": "zz"}',
    b'{"schema": "umi-command/1", "packet": ""}',
    b'{"schema": "umi-command/1", "packet": "00"}',
    b'{"schema": "umi-command/1", "packet": "' + b"00" * 60 + b'"}',
    b'{"schema": "umi-command/1", "packet": "' + b"ff" * 300 + b'"}',
    b"\x00\x01\x02\xff\xfe",
    b"\xff" * 5000,
    "schön".encode("latin-1"),
)


@pytest.mark.parametrize("number", range(len(GARBAGE)))
def test_garbage(desk: Desk, tmp_path: Path, number: int) -> None:
    file = tmp_path / "garbage.umi"
    file.write_bytes(GARBAGE[number])
    assert "holds no signed command" in refused(desk, "sim", file, 2)


@pytest.mark.parametrize("name", ["office.pem", "service.key", "chain.cvc", "office.req"])
def test_foreign_files(desk: Desk, name: str) -> None:
    assert "holds no signed command" in refused(desk, "sim", desk.path / name, 2)


@pytest.mark.parametrize("name", ["nosuch.umi", "."])
def test_files_that_cannot_be_read(desk: Desk, tmp_path: Path, name: str) -> None:
    outcome = desk.umi("-p", "sim", "send", str(tmp_path / name))
    assert (outcome.exit, outcome.stdout) == (2, "")
    assert "cannot read" in outcome.stderr


# The file


@pytest.mark.parametrize("scheme", SIGNERS)
def test_the_file_is_its_owners_and_holds_no_key(desk: Desk, tmp_path: Path, scheme: int) -> None:
    file, old = tmp_path / "limit.umi", os.umask(0)
    try:
        assert signed(desk, file, scheme=scheme).exit == 0
    finally:
        os.umask(old)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["limit.umi"]
    text = file.read_text()
    for name in ("office.pem", "service.key"):
        assert (desk.path / name).read_text().splitlines()[1] not in text
    key = load_key(desk.path / "service.key")
    assert getattr(key, "raw", b"").hex() not in text
    assert set(json.loads(text)) == {
        "schema",
        "command",
        "target",
        "commander",
        "role",
        "scheme",
        "valid_from",
        "valid_until",
        "packet",
    }


def test_a_file_that_is_there_is_kept(desk: Desk, tmp_path: Path) -> None:
    file, link = tmp_path / "limit.umi", tmp_path / "link.umi"
    file.write_text("precious")
    link.symlink_to(tmp_path / "elsewhere.umi")
    for path in (file, link):
        for more in ([], ["--yes"]):
            outcome = signed(desk, path, *more)
            assert outcome.exit == 2
            assert "is there already" in outcome.stderr
    assert file.read_text() == "precious"
    assert sorted(os.listdir(tmp_path)) == ["limit.umi", "link.umi"]


def test_a_file_that_cannot_be_written(desk: Desk, tmp_path: Path) -> None:
    for path in (tmp_path / "nosuch" / "limit.umi", tmp_path):
        assert signed(desk, path).exit == 2
    assert os.listdir(tmp_path) == []


# Secret objects


def test_a_secret_is_not_signed(desk: Desk, tmp_path: Path) -> None:
    """A signed command is in the clear, and goes from hand to hand."""
    secret = tmp_path / "new-key.hex"
    secret.write_text(NEW_KEY)
    secret.chmod(0o600)
    words = ["sign", f"{KEYS_OBJECT}[4]", str(secret), "--target", METER, *OWN]
    for more in (["--out", "-"], ["--out", "-", "--json"], ["--out", str(tmp_path / "x.umi")]):
        outcome = desk.umi(*words, *more, "-vvv")
        assert outcome.exit == 2
        assert "is secret" in outcome.stdout + outcome.stderr
        assert NEW_KEY not in outcome.stdout + outcome.stderr
    assert sorted(os.listdir(tmp_path)) == ["new-key.hex"]


def test_a_secret_that_others_signed_is_not_shown(desk: Desk, meter: str, tmp_path: Path) -> None:
    key = load_key(desk.path / "service.key")
    credentials = Scheme1Credentials(role=Role.SERVICE, key=key)  # type: ignore[arg-type]
    part = ObjectPart(UmiCode.parse("umi.255.0.0.16"), 4, 4)
    made: SignedCommand = sign_ahead(
        WriteObjectPart(part=part, value=bytes.fromhex(NEW_KEY)),
        credentials,
        commander=DEFAULT_READER_ID,
        target=UmiId.parse(METER),
        from_s=parse_datetime(at(datetime.now(UTC) - DAY / 24)),
        valid_for_s=86_400,
    )
    file = tmp_path / "key.umi"
    file.write_text(json.dumps(made.to_json()))
    for form in ([], ["--json"], ["--events"]):
        outcome = desk.umi("-p", meter, "send", str(file), "-vvv", *form)
        assert outcome.exit == (30 if form else 23)  # a service may not, and not twice
        shown = re.sub(r"\s", "", outcome.stdout + outcome.stderr)
        assert NEW_KEY[:16] not in shown
        assert NEW_KEY[16:] not in shown
