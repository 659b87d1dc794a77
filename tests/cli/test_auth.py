"""`umi auth` and `umi info` under schemes 1 and 2, in process, over TCP and over a terminal."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import umi_cli
from tests.cli.conftest import TIME_LIMIT_S, run_umi, start_umi
from tests.cli.desk import METER, OFFICE, ROOT, SUB, Desk, laid
from umi_cli.application.security_commands import S1AuthReply, S1AuthRequest
from umi_cli.certificates.chain import decode_chain
from umi_cli.device.protection import Unprotected
from umi_cli.errors import RefusedError
from umi_cli.types import Role, UmiId

OWN = ["--key", "office.pem", "--cert", "chain.cvc", "--anchor", "root.cvc"]
ROLE_KEY = ["--scheme", "1", "--role", "service", "--key", "service.key"]
ROLE_WORDS = {1: ROLE_KEY, 2: OWN}
LINES = ("sim", "tcp", "pty")
STANDING = {
    "scheme",
    "role",
    "authenticated",
    "encrypted",
    "confirmed",
    "forward_secrecy",
    "own_certificate",
    "device_certificate",
    "pinned",
}
PERIOD = "--from 2026-01-02T00:00:00Z --days 9"  # over, and within that of the old root


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Return a desk with more meters' certificates on it, good ones and bad ones."""
    desk = laid(tmp_path_factory.mktemp("desk"))
    desk.do("key new other.pem")
    desk.do("key new other.key --type aes128")
    desk.do(f"cert new other-root.cvc --key other.pem --subject {SUB}")
    desk.do(f"cert new old-root.cvc --key root.pem --subject {ROOT} --from 2026-01-01T00:00:00Z")
    by = "--key root.pem --issuer-cert root.cvc"
    for name, key in (("renewed", "meter"), ("thief", "other")):
        desk.do(f"cert request {name}.req --key {key}.pem --subject {METER} --issuer {ROOT}")
        desk.do(f"cert issue {name}.req {name}.cvc {by} --role metering-device")
    by = f"--key root.pem --issuer-cert old-root.cvc {PERIOD}"
    desk.do(f"cert issue meter.req old-meter.cvc {by} --role metering-device")
    desk.do(f"cert request direct.req --key office.pem --subject {OFFICE} --issuer {ROOT}")
    desk.do(f"cert issue direct.req old-office.cvc {by} --role service")
    return desk


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the user's configuration directory, which is not there yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "umi"


def meter_options(desk: Desk, cert: str = "meter", key: str = "meter") -> dict[str, str]:
    """Return what gives a virtual meter its identity, by the name in a `sim:` address."""
    return {
        "key": desk.file(f"{key}.pem"),
        "cert": desk.file(f"{cert}.cvc"),
        "anchor": desk.file("root.cvc"),
        "role-keys": f"service:{desk.file('service.key')}",
    }


def sim(desk: Desk, state: Path | None = None, cert: str = "meter", key: str = "meter") -> str:
    """Return the address of a meter in process, which remembers if there is a state file."""
    options = meter_options(desk, cert, key).items()
    return f"sim:{state or ''}?" + "&".join(f"{name}={text}" for name, text in options)


@dataclass(frozen=True, slots=True)
class Bench:
    """A meter that `umi sim` serves, and one in process: their addresses by kind of line."""

    addresses: dict[str, str]
    pid: int


@contextmanager
def serving(desk: Desk, link: Path) -> Iterator[Bench]:
    """Run `umi sim` on TCP and on a pseudo-terminal, and end it as Ctrl-C does."""
    named = {f"--meter-{name}": text for name, text in meter_options(desk).items()}
    words = [word for pair in named.items() for word in pair]
    process = start_umi("sim", "--tcp", "127.0.0.1:0", "--serial", str(link), *words)
    try:
        tcp, pty = json.loads(process.stdout.readline())["addresses"]
        yield Bench({"sim": sim(desk), "tcp": tcp, "pty": pty}, process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIME_LIMIT_S)
    assert process.returncode == 130


@pytest.fixture(scope="module")
def bench(desk: Desk) -> Iterator[Bench]:
    with serving(desk, desk.path / "line") as bench:
        yield bench


def certified(desk: Desk, name: str) -> dict[str, Any]:
    """Return what `auth` must say of a certificate, as `cert show` has it."""
    [shown, *_] = desk.umi("cert", "show", name, "--json").document["data"]
    names = ("subject", "issuer", "serial", "valid_from", "valid_until", "fingerprint")
    return {name: shown[name] for name in names}


# What is proved, on every line


@pytest.mark.parametrize("line", LINES)
def test_scheme_2(desk: Desk, bench: Bench, line: str) -> None:
    address = bench.addresses[line]
    document = desk.umi("-p", address, *OWN, "auth", "--json").document
    assert document["data"] == {
        "device": METER,
        "scheme": 2,
        "role": "service",
        "authenticated": True,
        "encrypted": True,
        "confirmed": True,
        "forward_secrecy": False,
        "own_certificate": certified(desk, "office.cvc"),
        "device_certificate": certified(desk, "meter.cvc"),
        "pinned": False,
    }
    assert document["warnings"] == []
    assert document["meta"]["device"] == METER


@pytest.mark.parametrize("line", LINES)
def test_scheme_1(desk: Desk, bench: Bench, line: str) -> None:
    document = desk.umi("-p", bench.addresses[line], *ROLE_KEY, "auth", "--json").document
    assert document["data"] == {
        "device": METER,
        "scheme": 1,
        "role": "service",
        "authenticated": True,
        "encrypted": False,
        "confirmed": False,
        "forward_secrecy": False,
        "own_certificate": None,
        "device_certificate": None,
        "pinned": False,
    }


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("scheme", ROLE_WORDS)
def test_info_shows_the_same(desk: Desk, bench: Bench, line: str, scheme: int) -> None:
    words = ["-p", bench.addresses[line], *ROLE_WORDS[scheme]]
    proved = desk.umi(*words, "auth", "--json").document["data"]
    shown = desk.umi(*words, "info", "--json").document["data"]
    assert set(shown["security"]) == STANDING
    assert {"device": shown["device"], **shown["security"]} == proved


def test_people_see_what_a_security_officer_asks(desk: Desk, bench: Bench) -> None:
    until = certified(desk, "meter.cvc")["valid_until"]
    for command in ("auth", "info"):
        text = desk.umi("-p", bench.addresses["sim"], *OWN, command).stdout
        for said in ("scheme 2", "service", "confirmed", "verified", "none: ", until, OFFICE):
            assert said in text
        assert "not confirmed" not in text


def test_everything_as_its_users_run_it(desk: Desk, bench: Bench) -> None:
    words = [desk.file(word) if "." in word else word for word in OWN]
    for line in LINES:
        outcome = run_umi("-p", bench.addresses[line], *words, "auth", "--json")
        assert outcome.document["data"]["confirmed"] is True
        assert run_umi("-p", bench.addresses[line], *words, "auth", "--events").events


def test_events_and_csv(desk: Desk, bench: Bench) -> None:
    words = ["-p", bench.addresses["sim"], *OWN, "auth"]
    [result] = desk.umi(*words, "--events").events
    assert result["data"]["role"] == "service"
    assert desk.umi(*words, "-o", "csv").stdout.splitlines()[:2] == [
        "name,value",
        f"device,{METER}",
    ]


def test_nothing_is_proved_under_scheme_0(desk: Desk, bench: Bench) -> None:
    for words in ([], ["--key", "office.pem"], ["--scheme", "0", *OWN]):
        outcome = desk.umi("-p", bench.addresses["sim"], *words, "auth")
        assert (outcome.exit, outcome.stdout) == (2, "")
        assert "nothing is proved" in outcome.stderr
    security = desk.umi("-p", bench.addresses["sim"], "info", "--json").document["data"]["security"]
    assert (security["authenticated"], security["encrypted"], security["role"]) == (
        False,
        False,
        "guest",
    )


# What guests may not touch


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("scheme", ROLE_WORDS)
def test_what_guests_may_not_touch(desk: Desk, bench: Bench, line: str, scheme: int) -> None:
    guest = ["-p", bench.addresses[line]]
    words = [*guest, *ROLE_WORDS[scheme]]
    assert desk.umi(*words, "read", "gsm-status/provider").stdout == "loopback\n"
    assert desk.umi(*words, "write", "valve", "open", "--verify").exit == 0
    limit = str(10 * scheme + LINES.index(line))  # the same twice in a second would be a replay
    assert desk.umi(*words, "write", "load-limit", limit, "--verify").exit == 0
    for refused in (["read", "gsm-status"], ["write", "valve", "open"]):
        assert desk.umi(*guest, *refused).exit == 23
    assert desk.umi(*words, "read", "scheme-1-keys").exit == 23
    assert desk.umi(*words, "access", "set", "scheme-1-keys", "--read", "all", "-y").exit == 23


def test_guests_set_no_load_limit(desk: Desk, bench: Bench) -> None:
    assert desk.umi("-p", bench.addresses["tcp"], "write", "load-limit", "1").exit in (23, 30)


# Who is refused


def failed(desk: Desk, *words: str) -> dict[str, Any]:
    """Return the error of a run that fails, with nothing certain beside it."""
    document = desk.umi(*words, "--json").document
    assert document["data"] is None
    assert document["error"]["message"]
    return dict(document["error"])


@pytest.mark.parametrize("line", LINES)
def test_a_wrong_role_key(desk: Desk, bench: Bench, line: str) -> None:
    """The meter proves itself first, so a wrong key of ours is found before it is used."""
    words = ["-p", bench.addresses[line], *ROLE_KEY]
    for command in (["auth"], ["info"], ["read", "umi-id"], ["write", "valve", "open"]):
        error = failed(desk, *words, "--key", "other.key", *command)
        assert (error["exit"], error["code"]) == (20, "authentication-refused")
    assert desk.umi(*words, "auth").exit == 0


def test_a_role_that_has_no_key(desk: Desk, bench: Bench) -> None:
    error = failed(desk, "-p", bench.addresses["tcp"], *ROLE_KEY, "--role", "user", "auth")
    assert (error["exit"], error["code"]) == (20, "authentication-refused")
    assert "user" in error["message"]
    assert "--role" in error["hint"]


def try_a_key(address: str) -> None:
    """Authenticate with a proof that is made up, as somebody does who does not have the key."""
    with umi_cli.connect(address, umi_id=UmiId(7)) as meter:
        session = meter.session
        session.request_in_clear(S1AuthRequest(role=Role.SERVICE, nonce_a=bytes(range(16))))
        with pytest.raises(RefusedError, match="AUTHENTICATION_FAILED"):
            session.request_under(Unprotected(), S1AuthReply(tag_a=bytes(16)))


def test_three_failures_lock_the_meter(desk: Desk, tmp_path: Path) -> None:
    address = sim(desk, tmp_path / "state.json")
    try_a_key(address)
    try_a_key(address)
    assert desk.umi("-p", address, *ROLE_KEY, "auth").exit == 0  # and it counts anew
    for _ in range(3):
        try_a_key(address)
    for command in (["auth"], ["info"], ["write", "valve", "open"]):
        error = failed(desk, "-p", address, *ROLE_KEY, *command)
        assert (error["exit"], error["code"]) == (21, "locked-out")
        assert "wait" in error["hint"]
    assert desk.umi("-p", address, *OWN, "auth").exit == 0  # certificates cannot be guessed
    assert desk.umi("-p", f"{address}&time=2035-01-01T00:00:00Z", *ROLE_KEY, "auth").exit == 0


def unusable(desk: Desk, tmp_path: Path, kind: str) -> str:
    """Return the path of a file that is no good."""
    path = tmp_path / f"{kind}.bad"
    if kind == "directory":
        path.mkdir()
    elif kind == "group":
        path.write_bytes((desk.path / "office.pem").read_bytes())
        path.chmod(0o640)
    elif kind == "empty":
        path.touch(mode=0o600)
    return str(path)


@pytest.mark.parametrize("kind", ["missing", "directory", "group", "empty"])
@pytest.mark.parametrize("command", ["auth", "info"])
def test_a_key_that_cannot_be_used(desk: Desk, tmp_path: Path, kind: str, command: str) -> None:
    path = unusable(desk, tmp_path, kind)
    for words in (OWN, ROLE_KEY):
        error = failed(desk, "-p", sim(desk), *words, "--key", path, command)
        assert (error["exit"], error["code"]) == (22, "key-unusable")
        assert error["hint"]
    assert ("0640" in error["message"]) == (kind == "group")


@pytest.mark.parametrize("kind", ["missing", "directory", "empty"])
@pytest.mark.parametrize("option", ["--cert", "--anchor"])
def test_a_certificate_that_cannot_be_read(
    desk: Desk, tmp_path: Path, kind: str, option: str
) -> None:
    path = unusable(desk, tmp_path, kind)
    error = failed(desk, "-p", sim(desk), *OWN, option, path, "auth")
    assert (error["exit"], error["code"]) == (22, "key-unusable")
    assert error["hint"]


def test_the_meters_identity_is_not_our_own(desk: Desk, tmp_path: Path) -> None:
    """`--meter-key` and its like stand beside `--key` and its like, which `sim` does not use."""
    words = ["--key", "nosuch.pem", "--cert", "nosuch.cvc", "--umi-id", OFFICE, "--meter-id", METER]
    given = ["--meter-key", "other.pem", "--meter-cert", "meter.cvc", "--meter-anchor", "root.cvc"]
    outcome = desk.umi("sim", "--serial", str(tmp_path / "line"), *words, *given)
    assert outcome.exit == 22  # and not before: the meter's certificate is for another key
    assert "the meter's certificate" in outcome.stderr


@pytest.mark.parametrize("kind", ["missing", "directory", "group", "empty"])
def test_a_meter_whose_key_cannot_be_used(desk: Desk, tmp_path: Path, kind: str) -> None:
    path = unusable(desk, tmp_path, kind)
    for words in (["--meter-key", path], ["--meter-role-keys", f"service:{path}"]):
        assert desk.umi("sim", "--tcp", "127.0.0.1:0", *words).exit == 22


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--role", "user"], 22, "is for the role service, not user"),
        (["--key", "other.pem"], 22, "is not the one that"),
        (["--key", "service.key"], 22, "AES-128 key"),
        (["--cert", "office.cvc"], 30, "UNKNOWN_ISSUER"),  # without what stands between
        (["--cert", "old-office.cvc"], 30, "INVALID_CERTIFICATE"),
    ],
    ids=str,
)
def test_own_certificates_that_do_not_do(desk: Desk, args: list[str], code: int, said: str) -> None:
    outcome = desk.umi("-p", sim(desk), *OWN, *args, "auth")
    assert (outcome.exit, outcome.stdout) == (code, "")
    assert said in outcome.stderr
    assert "\nhint: " in outcome.stderr


@pytest.mark.parametrize(
    ("meter", "anchor", "said"),
    [
        ("meter", "other-root", "no trusted anchor"),
        ("old-meter", "root", "ended"),
        ("thief", "other-root", "no trusted anchor"),
    ],
)
def test_a_device_that_is_not_trusted(desk: Desk, meter: str, anchor: str, said: str) -> None:
    key = "other" if meter == "thief" else "meter"
    words = ["-p", sim(desk, cert=meter, key=key), *OWN[:4], "--anchor", f"{anchor}.cvc"]
    for command in (["auth"], ["info"], ["write", "valve", "open"]):
        error = failed(desk, *words, *command)
        assert (error["exit"], error["code"]) == (24, "not-trusted")
    assert said in error["message"]


def test_nobody_says_whom_to_trust(desk: Desk) -> None:
    error = failed(desk, "-p", sim(desk), *OWN[:4], "auth")
    assert (error["exit"], error["code"]) == (24, "not-trusted")
    assert "--anchor" in error["hint"]
    assert "--pin" in error["hint"]


def test_a_device_without_a_certificate(desk: Desk) -> None:
    error = failed(desk, "-p", "sim", *OWN, "auth")
    assert (error["exit"], error["result"]["name"]) == (30, "NO_CERTIFICATE")


# Pins


@pytest.mark.parametrize("command", ["auth", "info"])
def test_pinned_on_first_contact(desk: Desk, home: Path, command: str) -> None:
    own, address = OWN[:4], sim(desk)
    first = desk.umi("-p", address, *own, "--pin", command, "--json").document
    standing = first["data"].get("security", first["data"])
    assert standing["pinned"] is True
    fingerprint = decode_chain((desk.path / "meter.cvc").read_bytes())[0].fingerprint.hex()
    [warning] = first["warnings"]
    assert fingerprint in warning
    assert (home / "pins").read_text() == f"{METER} {fingerprint}\n"
    again = desk.umi("-p", address, *own, command)
    assert (again.exit, again.stderr) == (0, "")
    assert "pinned on first contact" in again.stdout
    for more in ([], ["--pin"]):
        error = failed(desk, "-p", sim(desk, cert="renewed"), *own, *more, command)
        assert (error["exit"], error["code"]) == (24, "not-trusted")
        assert "HAS CHANGED" in error["message"]
        assert str(home / "pins") in error["hint"]


def test_an_anchor_comes_before_a_pin(desk: Desk, home: Path) -> None:
    proved = desk.umi("-p", sim(desk), *OWN, "--pin", "auth", "--json").document["data"]
    assert proved["pinned"] is False
    assert not (home / "pins").exists()


# A dry run


def test_a_dry_run_hands_no_certificate_over(desk: Desk, tmp_path: Path) -> None:
    """A certificate that the device must be given changes it; one that it has does not."""
    state = tmp_path / "state.json"
    address = sim(desk, state)
    for command in (["auth"], ["info"], ["write", "load-limit", "7"]):
        error = failed(desk, "-p", address, *OWN, "--dry-run", *command)
        assert error["exit"] == 2
        assert "dry run" in error["message"]
    assert json.loads(state.read_text())["vault"]["key_table"] == []
    assert desk.umi("-p", address, *OWN, "auth").exit == 0
    table = json.loads(state.read_text())["vault"]["key_table"]
    assert len(table) == 2
    dry = desk.umi("-p", address, *OWN, "--dry-run", "auth", "--json").document["data"]
    assert dry["confirmed"] is True
    before = desk.umi("-p", address, "read", "load-limit").stdout
    proved = desk.umi("-p", address, *OWN, "--dry-run", "write", "load-limit", "7")
    assert (proved.exit, "would be written" in proved.stdout) == (0, True)
    assert desk.umi("-p", address, "read", "load-limit").stdout == before != "7 W\n"


def test_a_dry_run_under_scheme_1(desk: Desk) -> None:
    for command in (["auth"], ["write", "valve", "open"]):
        assert desk.umi("-p", sim(desk), *ROLE_KEY, "--dry-run", *command).exit == 0
