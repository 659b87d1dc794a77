"""What a session proves itself with: options, trust, pins; and no secret leaks."""

import base64
import json
import os
import re
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.desk import METER, OFFICE, ROOT, SUB, Desk, laid
from umi_cli.certificates.chain import decode_chain
from umi_cli.certificates.cvc import Certificate
from umi_cli.certificates.trust import ChainError, ChainFailure
from umi_cli.cli.context import App
from umi_cli.cli.credentials import credentials_of, own_id
from umi_cli.cli.pins import Pins
from umi_cli.cli.settings import Settings, settle
from umi_cli.device.credentials import Scheme2Credentials
from umi_cli.errors import KeyUnusableError
from umi_cli.types import DEFAULT_READER_ID, UmiId

OWN = ["--key", "office.pem", "--cert", "chain.cvc"]
READ = ["read", "manufacturer-id/serial"]
CHANGED = "THE CERTIFICATE OF 00237EFE00000001 HAS CHANGED"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Return a desk with what may be wrong with a key or a certificate on it, too."""
    desk = laid(tmp_path_factory.mktemp("desk"))
    (desk.path / "text.cvc").write_text("no certificate")
    desk.do("key new other.pem")
    desk.do(f"cert request old.req --key office.pem --subject {OFFICE} --issuer {SUB}")
    by = "--key root.pem --issuer-cert root.cvc"
    for name, key in (("renewed", "meter"), ("thief", "other")):
        desk.do(f"cert request {name}.req --key {key}.pem --subject {METER} --issuer {ROOT}")
        desk.do(f"cert issue {name}.req {name}.cvc {by} --role metering-device")
    return desk


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the user's configuration directory, which is not there yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "umi"


def meter_of(desk: Desk, name: str, key: str = "meter") -> str:
    """Return the address of a meter that shows another certificate."""
    address = desk.meter.replace("meter.cvc", f"{name}.cvc")
    return address.replace("meter.pem", f"{key}.pem")


def certificate(desk: Desk, name: str) -> Certificate:
    return decode_chain((desk.path / name).read_bytes())[0]


# The options


@pytest.mark.parametrize(
    ("given", "scheme"),
    [
        ({}, 0),
        ({"key": "k"}, 0),
        ({"cert": "c"}, 0),
        ({"key": "k", "cert": "c"}, 2),
        ({"key": "k", "cert": "c", "scheme": "0"}, 0),
        ({"key": "k", "cert": "c", "scheme": "1"}, 1),
    ],
)
def test_scheme_by_default(given: dict[str, str], scheme: int) -> None:
    assert settle(given, {"XDG_CONFIG_HOME": "/nonexistent"}).scheme == scheme


def test_a_profile_names_them_all(home: Path) -> None:
    home.mkdir(parents=True)
    text = 'key = "own.pem"\ncert = "own.cvc"\nanchor = ["a.cvc", "b.cvc"]\npin = true\n'
    (home / "config.toml").write_text(text + 'passphrase = "env:PASS"\n')
    settings = settle({}, {"XDG_CONFIG_HOME": str(home.parent)})
    assert settings.scheme == 2
    assert settings.anchors == ("a.cvc", "b.cvc")
    assert (settings.pin, settings.passphrase) == (True, "env:PASS")


def test_where_secrets_are_is_in_no_repr() -> None:
    shown = repr(Settings(key="00112233", passphrase="hunter22"))  # noqa: S106 - typed by mistake
    assert "00112233" not in shown
    assert "hunter22" not in shown


def test_own_id(desk: Desk) -> None:
    settings = Settings(cert=desk.file("chain.cvc"))
    assert own_id(settings, None) == UmiId.parse(OFFICE)
    assert own_id(replace(settings, umi_id=UmiId(5)), None) == UmiId(5)
    assert own_id(Settings(), None) == DEFAULT_READER_ID


# Sessions with the virtual meter


def test_scheme_2_end_to_end(desk: Desk) -> None:
    outcome = desk.umi("-p", desk.meter, *OWN, "--anchor", "root.cvc", "--json", *READ)
    assert outcome.document["data"][0]["value"] == "31733978"


def test_scheme_1_end_to_end(desk: Desk) -> None:
    address = f"sim:?role-keys=service:{desk.path}/service.key"
    words = ["-p", address, "--scheme", "1", "--role", "service", "--key", "service.key"]
    assert desk.umi(*words, *READ).stdout == "31733978\n"


def test_a_key_with_a_passphrase(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASS", "correct horse battery")
    desk.do("key new locked.key --type aes128 --passphrase env:PASS")
    address = f"sim:?role-keys=service:{desk.path}/service.key"
    words = ["-p", address, "--scheme", "1", "--role", "service", "--key", "locked.key"]
    refused = desk.umi(*words, "--json", *READ).document["error"]
    assert refused["exit"] == 2
    assert "--passphrase" in refused["hint"]
    monkeypatch.setenv("UMI_PASSPHRASE", "env:PASS")
    assert desk.umi(*words, *READ).exit == 20  # opened, and not the meter's key


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--role", "service"], 2, "needs security scheme 1 or 2"),
        (["--scheme", "1"], 2, "none is named"),
        (["--scheme", "1", "--role", "user"], 2, "no key is named"),
        (["--scheme", "1", "--role", "user", "--key", "office.pem"], 22, "this is a P-256 key"),
        (["--scheme", "2"], 2, "needs a certificate"),
        (["--scheme", "2", "--cert", "chain.cvc"], 2, "no key is named"),
        (["--key", "service.key", "--cert", "chain.cvc"], 22, "this is an AES-128 key"),
        (["--key", "nosuch.pem", "--cert", "chain.cvc"], 22, "names no file"),
        (["--key", "0011223344556677", "--cert", "chain.cvc"], 2, "cannot stand"),
        (["--key", "office.pem", "--cert", "nosuch.cvc"], 22, "cannot read"),
        (["--key", "office.pem", "--cert", "text.cvc"], 22, "holds no certificate"),
        (["--key", "office.pem", "--cert", "office.pem"], 22, "holds no certificate"),
        (["--key", "other.pem", "--cert", "chain.cvc"], 22, "is not the one that"),
        (["--key", "sub.pem", "--cert", "sub.cvc"], 22, "signing authority's"),
        ([*OWN, "--role", "user"], 22, "is for the role service, not user"),
        ([*OWN, "--anchor", "nosuch.cvc"], 22, "cannot read"),
        ([*OWN, "--anchor", "chain.cvc"], 22, "an anchor is one"),
        ([*OWN], 24, "nothing says that 00237EFE00000001 is to be trusted"),
        ([*OWN, "--anchor", "other-root.cvc"], 24, "no trusted anchor"),
    ],
    ids=str,
)
def test_refusals_have_a_next_step(desk: Desk, args: list[str], code: int, said: str) -> None:
    if not (desk.path / "other-root.cvc").exists():
        desk.do(f"cert new other-root.cvc --key other.pem --subject {SUB}")
    outcome = desk.umi("-p", desk.meter, *args, *READ)
    assert outcome.exit == code
    assert outcome.stdout == ""
    assert said in outcome.stderr
    assert "\nhint: " in outcome.stderr or code == 24
    assert "00112233" not in outcome.stderr


@pytest.mark.parametrize("option", ["--key office.pem", "--cert sub.cvc", "--pin"])
def test_what_would_not_be_used_is_refused(desk: Desk, tmp_path: Path, option: str) -> None:
    meter = tmp_path / "meter.json"
    words = ["-p", f"sim:{meter}", *option.split(), "write", "counter", "5"]
    outcome = desk.umi(*words)
    assert (outcome.exit, outcome.stdout) == (2, "")
    assert "nothing is encrypted" in outcome.stderr
    assert "--scheme 0 goes on in the clear" in outcome.stderr
    assert not meter.exists()
    chosen = desk.umi(*words, "--scheme", "0")
    assert (chosen.exit, chosen.stderr) == (0, "")


@pytest.mark.parametrize(
    "option", ["--key nosuch.pem", "--key text.cvc", "--cert text.cvc", "--anchor nosuch.cvc"]
)
def test_what_cannot_be_used_is_refused_before_anything_is_sent(
    desk: Desk, tmp_path: Path, option: str
) -> None:
    meter = tmp_path / "meter.json"
    outcome = desk.umi("-p", f"sim:{meter}", *option.split(), "write", "counter", "5")
    assert (outcome.exit, outcome.stdout) == (22, "")
    assert not meter.exists()


def test_an_anchor_alone_is_warned_of(desk: Desk) -> None:
    outcome = desk.umi("-p", "sim", "--anchor", "root.cvc", "--json", *READ)
    assert "nothing is encrypted" in outcome.document["warnings"][0]


def test_a_connection_in_the_clear_is_chosen_for_its_line_alone(desk: Desk) -> None:
    read = f"read counter --key {desk.file('office.pem')}"
    (desk.path / "lines.umi").write_text(f"{read} --scheme 0\n{read}\n")
    results = json.loads(desk.umi("-p", "sim", "--json", "shell", desk.file("lines.umi")).stdout)
    assert [line["exit"] for line in results["data"]] == [0, 2]


@pytest.mark.parametrize(
    "secret",
    [
        "--key 00112233445566778899aabbccddeeff",
        "--passphrase hunter2",
        "--passphrase 0011223344556677",
    ],
)
@pytest.mark.parametrize("command", [READ, ["objects", "counter"], [*READ, "--scheme", "0"]])
def test_a_secret_itself_is_refused_and_not_repeated(
    desk: Desk, secret: str, command: list[str]
) -> None:
    outcome = desk.umi("-p", "sim", *secret.split(), *command)
    assert (outcome.exit, outcome.stdout) == (2, "")
    assert "cannot stand on the command line" in outcome.stderr
    assert secret.split()[1] not in outcome.stderr


def test_an_own_certificate_out_of_its_time_is_warned_of(desk: Desk, tmp_path: Path) -> None:
    root, old = f"{tmp_path}/root.cvc", f"{tmp_path}/old.cvc"
    desk.do(f"cert new {root} --key sub.pem --subject {SUB} --from 2001-01-01T00:00:00Z")
    period = "--from 2001-01-01T00:00:00Z --days 9"
    desk.do(f"cert issue old.req {old} --key sub.pem --issuer-cert {root} --role user {period}")
    words = ["-p", desk.meter, "--key", "office.pem", "--cert", old, "--anchor", "root.cvc"]
    outcome = desk.umi(*words, "auth")
    assert outcome.exit != 0
    assert "out of its time" in outcome.stderr


# Pins


def test_first_contact_is_pinned_and_told(desk: Desk, home: Path) -> None:
    first = desk.umi("-p", desk.meter, *OWN, "--pin", *READ)
    assert first.exit == 0
    fingerprint = certificate(desk, "meter.cvc").fingerprint.hex()
    assert first.stderr.startswith("warning: ")
    assert fingerprint in first.stderr
    assert (home / "pins").read_text() == f"{METER} {fingerprint}\n"
    assert stat.S_IMODE(os.stat(home / "pins").st_mode) == 0o600
    assert stat.S_IMODE(os.stat(home).st_mode) == 0o700
    again = desk.umi("-p", desk.meter, *OWN, *READ)
    assert (again.exit, again.stderr) == (0, "")
    warned = desk.umi("-p", desk.meter, *OWN, "--pin", "--json", *READ)
    assert warned.document["warnings"] == []


@pytest.mark.parametrize("more", [[], ["--pin"]])
@pytest.mark.parametrize(("name", "key"), [("renewed", "meter"), ("thief", "other")])
def test_a_changed_certificate_is_refused_aloud(
    desk: Desk, home: Path, name: str, key: str, more: list[str]
) -> None:
    assert desk.umi("-p", desk.meter, *OWN, "--pin", *READ).exit == 0
    before = (home / "pins").read_bytes()
    outcome = desk.umi("-p", meter_of(desk, name, key), *OWN, *more, *READ)
    assert outcome.exit == 24
    assert CHANGED in outcome.stderr
    assert str(home / "pins") in outcome.stderr
    assert (home / "pins").read_bytes() == before


def test_an_anchor_vouches_for_a_renewed_certificate(desk: Desk) -> None:
    assert desk.umi("-p", desk.meter, *OWN, "--pin", *READ).exit == 0
    words = ["-p", meter_of(desk, "renewed"), *OWN, "--anchor", "root.cvc"]
    assert desk.umi(*words, *READ).exit == 0


def test_a_pin_is_of_one_device(desk: Desk, home: Path, tmp_path: Path) -> None:
    """Another meter that was pinned cannot stand in for this one."""
    desk.do(f"cert request {tmp_path}/a.req --key other.pem --subject {SUB} --issuer {ROOT}")
    words = f"--key root.pem --issuer-cert root.cvc {tmp_path}/a.req {tmp_path}/a.cvc"
    desk.do(f"cert issue {words} --role metering-device")
    pins = Pins(home / "pins")
    other = certificate(desk, f"{tmp_path}/a.cvc")
    pins.record(UmiId.parse(SUB), other)
    with pytest.raises(ChainError) as caught:
        pins.is_known(UmiId.parse(METER), other)
    assert caught.value.failure is ChainFailure.WRONG_SUBJECT
    assert desk.umi("-p", desk.meter, *OWN, *READ).exit == 24


def test_an_ended_certificate_is_not_pinned(desk: Desk, home: Path, tmp_path: Path) -> None:
    desk.do(
        f"cert new {tmp_path}/old.cvc --key root.pem --subject {ROOT} --from"
        " 2001-01-01T00:00:00Z --days 9"
    )
    settings = Settings(
        scheme=2, key=desk.file("office.pem"), cert=desk.file("chain.cvc"), pin=True
    )
    credentials = credentials_of(settings, App([]))
    assert isinstance(credentials, Scheme2Credentials)
    with pytest.raises(ChainError) as caught:
        credentials.pin(UmiId.parse(ROOT), certificate(desk, f"{tmp_path}/old.cvc"))
    assert caught.value.failure is ChainFailure.EXPIRED
    assert not (home / "pins").exists()


def test_pins_of_two_processes(desk: Desk, home: Path) -> None:
    first, second = Pins(home / "pins"), Pins(home / "pins")
    first.record(UmiId.parse(METER), certificate(desk, "meter.cvc"))
    second.record(UmiId.parse(OFFICE), certificate(desk, "office.cvc"))
    assert len(Pins(home / "pins").fingerprints) == 2
    with pytest.raises(ChainError):
        second.record(UmiId.parse(METER), certificate(desk, "renewed.cvc"))
    first.record(UmiId.parse(METER), certificate(desk, "meter.cvc"))
    assert os.listdir(home) == ["pins"]


LINE = f"{METER} {'0' * 64}\n"


@pytest.mark.parametrize("text", ["x\n", f"{METER}\n", LINE[:-2] + "\n", LINE + LINE, "\n"])
def test_a_spoilt_file_of_pins(desk: Desk, home: Path, text: str) -> None:
    home.mkdir(parents=True)
    (home / "pins").write_text(text)
    (home / "pins").chmod(0o600)
    outcome = desk.umi("-p", desk.meter, *OWN, *READ)
    assert outcome.exit == 22
    assert "is no pin" in outcome.stderr


def test_pins_that_others_can_write(desk: Desk, home: Path) -> None:
    home.mkdir(parents=True)
    (home / "pins").write_text(LINE)
    (home / "pins").chmod(0o666)
    assert desk.umi("-p", desk.meter, *OWN, *READ).exit == 22


def test_pins_that_cannot_be_written(desk: Desk, home: Path) -> None:
    home.parent.mkdir()
    home.write_text("in the way")
    with pytest.raises(KeyUnusableError, match="cannot write"):
        Pins(home / "pins").record(UmiId.parse(METER), certificate(desk, "meter.cvc"))


# Secrets


def test_no_secret_in_any_output(desk: Desk) -> None:
    """Run what touches keys, well and badly, and search everything for the keys."""
    scheme_1 = ["--scheme", "1", "--role", "service", "--key", "service.key"]
    runs = [
        ["-p", desk.meter, *OWN, "--anchor", "root.cvc", "auth"],
        ["-p", desk.meter, *OWN, "--pin", "info"],
        ["-p", desk.meter, *OWN, "auth"],
        ["-p", desk.meter, *OWN, "--key", "other.pem", "auth"],
        ["-p", desk.meter, *OWN, "--key", "service.key", "auth"],
        ["-p", f"sim:?role-keys=service:{desk.path}/service.key", *scheme_1, "auth"],
        ["-p", "sim", *scheme_1, "auth"],
        ["-p", "sim", *scheme_1, "--key", "office.pem", "auth"],
        ["cert", "issue", "office.req", "office.cvc", "--key", "sub.pem", "--issuer-cert", "a.cvc"],
    ]
    output = ""
    for words in runs:
        for form in (["-vvv"], ["-vvv", "--json"], ["-vvv", "--events"]):
            outcome = desk.umi(*words, *form)
            output += re.sub(r"[\s:]", "", outcome.stdout + outcome.stderr)
    for path in desk.path.glob("*.pem"):
        lines = path.read_text().splitlines()[1:-1]
        data = base64.b64decode("".join(lines)).hex()
        assert data.partition("0201010420")[2][:64] not in output
        assert not any(line in output for line in lines[1:])  # the first is the same in all
    key = base64.b64decode((desk.path / "service.key").read_text().splitlines()[1])
    assert key.hex() not in output
    assert repr(key)[2:-1] not in output
