"""`umi doctor`: the host, its ports, keys and settings, the link, and a bundle without secrets."""

import json
import os
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from serial.tools import list_ports

from tests.cli.conftest import Outcome, call_umi, run_umi
from tests.cli.desk import METER, OFFICE, Desk, laid
from umi_cli.cli import doctor_host, doctor_ports
from umi_cli.cli.doctor_check import Check, State
from umi_cli.transports import host_state

Capsys = pytest.CaptureFixture[str]
SERIAL = "A50285BI"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return laid(tmp_path_factory.mktemp("desk"))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of a user who has nothing yet."""
    path = tmp_path / "home"
    path.mkdir()
    monkeypatch.setenv("HOME", str(path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(path / "state"))
    return path


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return a probe that is plugged in, whose device is a pipe: what is sent would stay in it."""
    path = tmp_path / "ttyUSB0"
    os.mkfifo(path)
    port = SimpleNamespace(
        device=str(path),
        vid=0x0403,
        pid=0x6001,
        product="FT232R",
        serial_number=SERIAL,
        description=None,
    )
    monkeypatch.setattr(list_ports, "comports", lambda: [port])
    return path


def by_name(outcome: Outcome) -> dict[str, dict[str, Any]]:
    document = json.loads(outcome.stdout)
    assert outcome.stderr == ""
    return {check["name"]: check for check in document["data"]["checks"]}


def test_a_host_that_is_fit(capsys: Capsys) -> None:
    document = call_umi(capsys, "doctor", "--json").document
    names = [check["name"] for check in document["data"]["checks"]]
    assert names[:3] == ["python", "umi", "click"]
    assert {"extra gpio", "clock", "time zones", "configuration", "pins"} <= set(names)
    assert document["data"]["counts"]["fail"] == 0
    assert sum(document["data"]["counts"].values()) == len(names)
    assert document["meta"]["port"] is None
    assert all(
        set(check) == {"name", "state", "found", "advice", "exit"}
        for check in document["data"]["checks"]
    )


def test_for_people_and_as_csv() -> None:
    outcome = run_umi("doctor")
    assert outcome.exit == 0
    assert outcome.stderr == ""
    assert "python" in outcome.stdout
    listed = run_umi("doctor", "-o", "csv")
    assert listed.stdout.splitlines()[0] == "check,state,found,what to do"


def test_the_link_of_a_device_that_is_named(capsys: Capsys) -> None:
    checks = by_name(call_umi(capsys, "-p", "sim", "doctor", "--json"))
    assert checks["device"]["found"] == METER
    assert checks["device clock"] == {
        "name": "device clock",
        "state": "ok",
        "found": "+0 s against this host",
        "advice": "",
        "exit": None,
    }
    assert checks["link"]["found"].startswith("answers within")
    assert checks["security"]["found"].startswith("scheme 0")


def test_an_optical_head(capsys: Capsys) -> None:
    words = ("-p", "opto:sim?opto=baud:19200,echo", "doctor", "--json")
    checks = by_name(call_umi(capsys, *words))
    assert checks["sign-on"]["found"] == "ELS EISGMv0, and then 19200 baud"
    assert "echoes what is sent" in checks["echo"]["found"]


def test_a_clock_that_is_wrong_is_a_warning(capsys: Capsys, tmp_path: Path) -> None:
    state = f"sim:{tmp_path}/m.json"
    assert call_umi(capsys, "-p", f"{state}?time=2026-11-22T10:00:00Z", "info").exit == 0
    meter = json.loads((tmp_path / "m.json").read_text())
    meter["clock_offset_s"] = -3600.0
    (tmp_path / "m.json").write_text(json.dumps(meter))
    outcome = call_umi(capsys, "-p", state, "doctor", "--json")
    assert outcome.exit == 0
    clock = by_name(outcome)["device clock"]
    assert (clock["state"], clock["advice"]) == ("warning", "set it: umi clock sync")


@pytest.mark.parametrize(
    ("address", "code"),
    [("serial:/dev/nosuch", 10), ("sim:?fault=drop:1", 14), ("tcp:127.0.0.1:1", 10), ("x:y", 2)],
)
def test_the_exit_code_is_that_of_the_first_that_fails(
    capsys: Capsys, address: str, code: int
) -> None:
    outcome = call_umi(capsys, "-p", address, "doctor", "--json")
    assert outcome.exit == code
    assert by_name(outcome)["link"]["exit"] == code
    error = json.loads(outcome.stdout)["error"]
    assert error["exit"] == code
    assert error["message"].startswith("link: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("retries = 'x'\n", "retries"),
        ("[", "is not TOML"),
        ("[profile.lab]\nprot = 'sim'\n", "profile.lab.prot is no setting"),
        ("default_profile = 'lab'\n", "has no profile 'lab'"),
    ],
)
def test_a_configuration_that_cannot_be_used_stops_nothing_else(
    capsys: Capsys, home: Path, text: str, said: str
) -> None:
    path = home / "config" / "umi" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    outcome = call_umi(capsys, "-p", "sim", "doctor", "--json")
    assert outcome.exit == 2
    checks = by_name(outcome)
    assert checks["configuration"]["state"] == "fail"
    assert said in checks["configuration"]["found"]
    assert checks["device"]["state"] == "ok"


def test_a_configuration_with_profiles(capsys: Capsys, home: Path) -> None:
    path = home / "config" / "umi" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text('[profile.lab]\nport = "sim"\n[profile.field]\nport = "auto"\n')
    outcome = call_umi(capsys, "--profile", "lab", "doctor", "--json")
    checks = by_name(outcome)
    assert checks["configuration"]["found"] == f"{path}; profiles: field, lab"
    assert checks["device"]["found"] == METER


def test_what_is_wrong_on_the_command_line_is_no_check(capsys: Capsys) -> None:
    outcome = call_umi(capsys, "--timeout", "never", "doctor")
    assert (outcome.exit, outcome.stdout) == (2, "")


# Keys


def test_keys_that_hold(desk: Desk) -> None:
    words = ["--key", "office.pem", "--cert", "chain.cvc", "--anchor", "root.cvc"]
    checks = by_name(desk.umi(*words, "doctor", "--json"))
    assert checks["key"]["found"] == "a P-256 key, readable, and for its owner alone"
    assert checks["key and certificate"]["state"] == "ok"
    assert checks["certificate"]["found"].startswith(f"of {OFFICE}, until ")
    assert checks["anchor"]["state"] == "ok"


def test_keys_that_do_not(desk: Desk, tmp_path: Path) -> None:
    loose = tmp_path / "loose.pem"
    loose.write_bytes((desk.path / "office.pem").read_bytes())
    loose.chmod(0o644)
    for words, name in {
        ("--key", "none.pem"): "key",
        ("--key", str(loose)): "key",
        ("--key", "meter.pem", "--cert", "office.cvc"): "key and certificate",
        ("--cert", "office.pem"): "certificate",
        ("--anchor", "none.cvc"): "anchor",
    }.items():
        outcome = desk.umi(*words, "doctor", "--json")
        assert outcome.exit == 22, words
        assert by_name(outcome)[name]["state"] == "fail"
        assert "chmod" not in outcome.stderr


def test_a_certificate_out_of_its_time(desk: Desk) -> None:
    desk.do("cert new old.cvc --key root.pem --subject 00237EFE000000A0"
            " --from 2020-01-01T00:00:00Z --days 9")  # fmt: skip
    outcome = desk.umi("--anchor", "old.cvc", "doctor", "--json")
    assert outcome.exit == 24
    assert by_name(outcome)["anchor"]["state"] == "fail"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("pkcs11:token=x;object=y?module-path=/none.so", "in a token"),
        ("fd:9", "is read when it is needed"),
        ("-", "is read when it is needed"),
        ("prompt", "is read when it is needed"),
    ],
)
def test_keys_that_are_not_looked_at(capsys: Capsys, source: str, found: str) -> None:
    outcome = call_umi(capsys, "--key", source, "doctor", "--json")
    key = by_name(outcome)["key"]
    assert key["state"] == "note"
    assert found in key["found"]


def test_an_encrypted_key_asks_nobody(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_WORDS", "correct horse battery staple")
    path = tmp_path / "closed.pem"
    made = desk.umi("key", "new", str(path), "--passphrase", "env:SECRET_WORDS")
    assert made.exit == 0, made.stderr
    checks = by_name(desk.umi("--key", str(path), "doctor", "--json"))
    assert checks["key"]["found"] == "encrypted; its passphrase is not asked for here"
    words = ["--key", str(path), "--passphrase", "env:SECRET_WORDS", "doctor", "--json"]
    assert by_name(desk.umi(*words))["key"]["state"] == "ok"


def test_pins_that_others_can_read(capsys: Capsys, home: Path) -> None:
    path = home / "config" / "umi" / "pins"
    path.parent.mkdir(parents=True)
    path.touch()
    path.chmod(0o666)
    outcome = call_umi(capsys, "doctor", "--json")
    assert outcome.exit == 22
    assert by_name(outcome)["pins"]["state"] == "fail"


# Host and ports


def test_an_upload_that_has_stopped_is_told_of(capsys: Capsys, home: Path) -> None:
    directory = home / "state" / "umi" / "uploads"
    directory.mkdir(parents=True)
    record = {"schema": "umi-upload/1", "device": METER, "next_number": 7}
    (directory / f"{METER}-00.json").write_text(json.dumps(record))
    (directory / f"{METER}-11.json").write_text("{")
    checks = by_name(call_umi(capsys, "doctor", "--json"))
    assert "stopped at block 7" in checks["unfinished upload"]["found"]


def test_a_probe_is_listed_and_nothing_is_sent_to_it(capsys: Capsys, probe: Path) -> None:
    reader = os.open(probe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        outcome = call_umi(capsys, "doctor", "--json")
        assert os.read(reader, 100) == b""
    finally:
        os.close(reader)
    check = by_name(outcome)[f"port {probe}"]
    assert (check["state"], check["found"]) == ("ok", f"{probe}: 0403:6001 FT232R FTDI FT232R")
    assert by_name(outcome)["udev rules"]["advice"].startswith("install them: umi ports --udev")


def access(**known: Any) -> host_state.PortAccess:
    defaults: dict[str, Any] = {"is_open_to_us": False, "mode": 0o660, "group": "dialout"}
    return host_state.PortAccess(**{**defaults, "is_member": False, **known})


def test_a_probe_that_this_user_may_not_open(
    capsys: Capsys, probe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_state, "access_of", lambda device: access())
    outcome = call_umi(capsys, "doctor", "--json")
    assert outcome.exit == 12
    check = by_name(outcome)[f"port {probe}"]
    assert check["state"] == "fail"
    assert check["advice"] == "sudo usermod -aG dialout $USER, then log in again"
    monkeypatch.setattr(host_state, "access_of", lambda device: access(is_member=True))
    again = by_name(call_umi(capsys, "doctor", "--json"))[f"port {probe}"]
    assert again["advice"].startswith("log in again")


def test_other_programs_at_a_probe(
    capsys: Capsys, probe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [host_state.Process(pid=41, name="ModemManager")]
    monkeypatch.setattr(host_state, "running", lambda names: found)
    monkeypatch.setattr(host_state, "holders_of", lambda device: found)
    monkeypatch.setattr(host_state, "latency_ms", lambda device: 16)
    monkeypatch.setattr(host_state, "installed_rules", lambda: None)
    checks = by_name(call_umi(capsys, "doctor", "--json"))
    assert checks[f"port {probe}"]["found"].endswith("is held by ModemManager (process 41)")
    assert checks["other programs"]["state"] == "warning"
    assert checks["udev rules"]["state"] == "warning"
    assert "16 ms" in checks[f"latency {probe}"]["found"]


def test_rules_that_are_installed(
    capsys: Capsys, probe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / host_state.RULES_NAME
    path.write_bytes((Path(doctor_ports.__file__).parents[1] / "share" / path.name).read_bytes())
    monkeypatch.setattr(host_state, "installed_rules", lambda: path)
    assert by_name(call_umi(capsys, "doctor", "--json"))["udev rules"]["state"] == "ok"
    path.write_text("# old")
    assert by_name(call_umi(capsys, "doctor", "--json"))["udev rules"]["state"] == "note"


def test_what_is_not_installed_is_told_with_the_way_to_it() -> None:
    check = doctor_host._extra("gpio", "no_such_module", "GPIO lines")
    assert check == Check(
        name="extra gpio",
        state=State.NOTE,
        found="no_such_module is not installed; it is for GPIO lines",
        advice="install it with: pip install 'umi-cli[gpio]'",
    )


def test_a_clock_that_nobody_has_set() -> None:
    from datetime import UTC, datetime

    assert doctor_host._clock(datetime(1970, 1, 1, tzinfo=UTC)).state is State.WARNING
    assert doctor_host._clock(datetime(2026, 11, 22, tzinfo=UTC)).state is State.OK


# The bundle


def texts_of(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_a_bundle_holds_no_secret_and_nobodys_name(
    desk: Desk, home: Path, probe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_WORDS", "correct horse battery staple")
    monkeypatch.setenv("UMI_NO_INPUT", "1")
    path = home / "report.zip"
    role_keys = f"&role-keys=service:{desk.path}/service.key"
    words = ["--key", "office.pem", "--cert", "chain.cvc", "--anchor", "root.cvc"]
    words += ["--passphrase", "env:SECRET_WORDS", "-p", desk.meter + role_keys, "doctor"]
    document = desk.umi(*words, "--bundle", str(path), "--json").document
    texts = texts_of(path)
    assert document["data"]["bundle"] == {"file": str(path), "holds": list(texts)}
    assert path.stat().st_mode & 0o777 == 0o600
    whole = "\n".join(texts.values())
    for name in ("office.pem", "service.key", "meter.pem"):
        for line in (desk.path / name).read_text().splitlines():
            assert line not in whole
    certificates = [(desk.path / name).read_bytes().hex() for name in ("office.cvc", "root.cvc")]
    known = ["battery staple", "SECRET_WORDS", METER, OFFICE, SERIAL, str(home), "office.pem"]
    for secret in (*certificates, *known):
        assert secret not in whole, secret
    assert json.loads(texts["settings.json"])["variables"] == ["UMI_NO_INPUT"]
    assert json.loads(texts["settings.json"])["key"] == "file"
    assert json.loads(texts["datasheet.json"])["name"] == "ei4"
    assert json.loads(texts["ports.json"])["serial"][0]["serial"].startswith("hashed-")
    for name in texts:
        assert name == "README.txt" or name in texts["README.txt"]


def test_the_same_number_has_the_same_digest_in_one_bundle_alone(
    capsys: Capsys, home: Path
) -> None:
    digests = []
    for name in ("a.zip", "b.zip"):
        assert call_umi(capsys, "-p", "sim", "doctor", "--bundle", str(home / name)).exit == 0
        checks = json.loads(texts_of(home / name)["doctor.json"])["checks"]
        [found] = [check["found"] for check in checks if check["name"] == "device"]
        assert found.startswith("hashed-")
        digests.append(found)
    assert digests[0] != digests[1]


def test_identities_stay_if_asked_for(capsys: Capsys, home: Path, probe: Path) -> None:
    path = home / "report.zip"
    words = ("-p", "sim", "doctor", "--bundle", str(path), "--with-identity")
    assert call_umi(capsys, *words).exit == 0
    texts = texts_of(path)
    assert METER in texts["doctor.json"]
    assert SERIAL in texts["ports.json"]
    assert "--with-identity" in texts["README.txt"]


def test_a_host_that_is_unfit_gets_its_bundle_too(capsys: Capsys, home: Path) -> None:
    path = home / "report.zip"
    words = ("-p", "serial:/dev/nosuch", "doctor", "--bundle", str(path))
    assert call_umi(capsys, *words).exit == 10
    assert "cannot be opened" in texts_of(path)["doctor.json"]


@pytest.mark.parametrize(
    "words",
    [("--with-identity",), ("--bundle", "-"), ("--bundle", "/dev/null/x.zip")],
    ids=" ".join,
)
def test_what_is_no_bundle(capsys: Capsys, words: tuple[str, ...]) -> None:
    outcome = call_umi(capsys, "doctor", *words)
    assert (outcome.exit, outcome.stdout) == (2, "")
