"""A key in a token works wherever a key file does; where it does not, nothing is left half-made."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import UMI, environment
from tests.cli.desk import METER, OFFICE, ROOT, Desk, laid
from tests.softhsm import PIN, WRONG_PIN, Tokens, faulty, key, module, needed, seen, tokens_in
from umi_cli.certificates.register import Register
from umi_cli.cli.credentials import load_key
from umi_cli.cli.settings import Settings
from umi_cli.security.keys import decode_key

POLICY = 'register = "r.jsonl"\nroles = ["service"]\n[lifetime]\nmax-days = 9\n'
IMAGE = "--model m --version 1.0.0 --target-min 00237EFE00000000 --target-max 00237EFE0000FFFF"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Return a desk whose root, office and meter have their keys in a token as well."""
    needed()
    desk = laid(tmp_path_factory.mktemp("desk"))
    keys = []
    for name in ("root", "office", "meter"):
        private = decode_key((desk.path / f"{name}.pem").read_bytes())
        keys.append(key(name, private))  # type: ignore[arg-type]
    [office] = [each for each in keys if each["label"] == "office"]
    keys.append(office | {"label": "signs", "id": "55", "public_id": "55", "derives": False})
    tokens_in(desk.path / "hsm").add("umi", *keys)
    desk.do(f"cert request maker.req --key office.pem --subject {OFFICE} --issuer {ROOT}")
    by = "--key root.pem --issuer-cert root.cvc"
    desk.do(f"cert issue maker.req maker.cvc {by} --role manufacturer")
    (desk.path / "firmware.bin").write_bytes(b"firmware" * 20)
    desk.do(f"image build firmware.bin app.umi {IMAGE}")
    (desk.path / "policy.toml").write_text(POLICY)
    return desk


@pytest.fixture
def tokens(desk: Desk) -> Iterator[Tokens]:
    tokens = Tokens(desk.path / "hsm")
    with seen(tokens):
        yield tokens


def test_an_authority_whose_key_is_in_a_token(desk: Desk, tokens: Tokens, tmp_path: Path) -> None:
    root = tokens.uri("root")
    desk.do(f"cert new {tmp_path}/root.cvc --subject {ROOT} --key {root}")
    shown = desk.umi("key", "show", root, "--json").document["data"]
    assert shown == desk.umi("key", "show", "root.pem", "--json").document["data"]
    office = tokens.uri("office")
    request = f"{tmp_path}/office.req"
    desk.do(f"cert request {request} --subject {OFFICE} --issuer {ROOT} --key {office}")
    by = f"--key {root} --issuer-cert {tmp_path}/root.cvc --policy {desk.path}/policy.toml"
    desk.do(f"cert issue {request} {tmp_path}/office.cvc {by} --role service --days 9")
    desk.do(f"cert verify {tmp_path}/office.cvc --anchor {tmp_path}/root.cvc --role service")


def test_a_package_that_a_token_signs_and_one_that_it_opens(
    desk: Desk, tokens: Tokens, tmp_path: Path
) -> None:
    out = f"{tmp_path}/signed.umi"
    desk.do(f"image sign app.umi --out {out} --cert maker.cvc --key {tokens.uri('signs')}")
    desk.do(f"image verify {out} --cert maker.cvc --anchor root.cvc")
    desk.do(f"image encrypt {out} {tmp_path}/sealed.umi --to meter.cvc --anchor root.cvc")
    opener = f"--decrypt-key {tokens.uri('meter')}"
    desk.do(f"image verify {tmp_path}/sealed.umi --cert maker.cvc --anchor root.cvc {opener}")


def test_a_session_and_a_command_of_a_key_in_a_token(
    desk: Desk, tokens: Tokens, tmp_path: Path
) -> None:
    own = f"--cert chain.cvc --anchor root.cvc --key {tokens.uri('office')}"
    meter = f"sim:{tmp_path}/state.json?{desk.meter.partition('?')[2]}"
    assert "confirmed" in desk.do(f"-p {meter} {own} auth").stdout
    desk.do(f"-p {meter} {own} write valve open --verify")
    desk.do(f"sign valve closed --target {METER} --out {tmp_path}/valve.umi {own}")
    desk.do(f"-p {meter} send {tmp_path}/valve.umi")


def test_a_key_in_a_token_serves_all_lines_of_a_shell(
    desk: Desk, tokens: Tokens, tmp_path: Path
) -> None:
    script = tmp_path / "script.umi"
    script.write_text("write load-limit 1\nread load-limit\nwrite load-limit 2 --verify\n")
    own = f"--cert chain.cvc --anchor root.cvc --key {tokens.uri('office')}"
    outcome = desk.do(f"-p {desk.meter} {own} shell -e {script}")
    assert outcome.stdout.endswith("read back\n")


def test_a_key_that_agrees_on_nothing(desk: Desk, tokens: Tokens, tmp_path: Path) -> None:
    own = ["--cert", "chain.cvc", "--anchor", "root.cvc", "--key", tokens.uri("signs")]
    outcome = desk.umi("-p", desk.meter, *own, "auth")
    assert outcome.exit == 22
    assert "does not let this key agree on a session's key (ECDH)" in outcome.stderr
    words = ["sign", "valve", "open", "--target", METER, "--out", f"{tmp_path}/valve.umi"]
    assert desk.umi(*words, *own).exit == 0


def test_a_key_of_the_wrong_kind(desk: Desk, tokens: Tokens) -> None:
    words = ["--scheme", "1", "--role", "service", "--key", tokens.uri("root")]
    outcome = desk.umi("-p", desk.meter, *words, "auth")
    assert outcome.exit == 22
    assert "scheme 1 needs an AES-128 key" in outcome.stderr


def test_a_key_without_a_command(tokens: Tokens) -> None:
    """Who loads one from elsewhere closes it himself."""
    signer = load_key(Settings(key=tokens.uri("root")))
    signer.close()  # type: ignore[union-attr]


# The PIN


@pytest.mark.parametrize("pin", ["env:THE_PIN", "fd:{fd}", "-", "file:{d}/hsm/pin", "{d}/hsm/pin"])
def test_where_a_pin_may_be(desk: Desk, tokens: Tokens, pin: str) -> None:
    reader, writer = os.pipe()
    os.write(writer, PIN.encode() + b"\n")
    os.close(writer)
    uri = tokens.uri("root", pin=pin.format(fd=reader, d=desk.path))
    done = subprocess.run(
        [*UMI, "key", "show", uri, "-vvv"],
        env=environment({**tokens.environment, "THE_PIN": PIN}),
        stdin=reader if pin == "-" else subprocess.DEVNULL,
        pass_fds=[reader],
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(reader)
    assert (done.returncode, done.stderr) == (0, "")
    assert PIN not in done.stdout


@pytest.mark.parametrize(
    ("pin", "code", "said"),
    [
        ("file:{d}/hsm/wrong-pin", 22, "the PIN of the token 'umi' is wrong"),
        ("file:{d}/hsm/no-text", 22, "no UTF-8 text"),
        ("file:{d}/nosuch", 22, "cannot read"),
        ("env:NO_SUCH", 22, "no environment variable NO_SUCH"),
        ("prompt", 2, "nobody is here to type the PIN of the token"),
        ("12345678", 2, "cannot stand on the command line"),
        (PIN, 22, "names no file that exists"),
        (f"-&pin-value={PIN}", 2, "a PIN cannot stand in a PKCS#11 URI"),
        (f"-&pin-code={PIN}", 2, "is not known there"),
    ],
)
def test_a_pin_that_is_not_there(
    desk: Desk, tokens: Tokens, pin: str, code: int, said: str
) -> None:
    uri = tokens.uri("root", pin=pin.format(d=desk.path))
    for form in (["-vvv"], ["--json"]):
        outcome = desk.umi("key", "show", uri, *form)
        assert outcome.exit == code
        assert said in outcome.stderr + outcome.stdout
        assert "hint" in outcome.stderr + outcome.stdout
        for pin_text in (PIN, WRONG_PIN):
            assert pin_text not in outcome.stderr + outcome.stdout


def test_a_pin_that_is_typed(desk: Desk, tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ask(prompt: str, stream: object) -> str:
        asked.append(prompt)
        return PIN

    monkeypatch.setattr("getpass.getpass", ask)
    monkeypatch.setattr("umi_cli.output.streams.is_terminal", lambda stream: True)
    uri = tokens.uri("root").partition("&")[0]
    assert desk.umi("key", "show", uri).exit == 0
    assert desk.umi("key", "show", tokens.uri("nosuch")).exit == 22
    assert desk.umi("key", "show", tokens.uri("token=nosuch", pin="prompt")).exit == 22
    assert asked == ["PIN of the token: "]  # not where there is no token


# Gone midway


@pytest.fixture
def failing(tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the module whose token is gone when it is to sign."""
    monkeypatch.setenv("TOKEN_MODULE", module())
    monkeypatch.setenv("TOKEN_FAULT", "sign:32")
    (tmp_path / "made").mkdir()
    return faulty(tmp_path)


def test_nothing_is_issued_half(desk: Desk, tokens: Tokens, failing: str, tmp_path: Path) -> None:
    made = tmp_path / "made"
    root, office = tokens.uri("root", path=failing), tokens.uri("office", path=failing)
    (made / "policy.toml").write_text(POLICY)
    (made / "r.jsonl").touch(mode=0o600)
    there = sorted(os.listdir(made))
    by = f"--issuer-cert root.cvc --policy {made}/policy.toml --role service"
    lines = (
        f"cert new {made}/new.cvc --subject {ROOT} --key {root}",
        f"cert request {made}/new.req --subject {OFFICE} --issuer {ROOT} --key {office}",
        f"cert issue maker.req {made}/new.cvc {by} --key {root}",
        f"image sign app.umi --out {made}/new.umi --cert maker.cvc --key {office}",
        f"sign valve open --target {METER} --out {made}/new.umi --cert chain.cvc --key {office}",
    )
    for line in lines:
        outcome = desk.umi(*line.split(), "--json")
        error = outcome.document["error"]
        assert (outcome.exit, error["code"]) == (22, "key-unusable"), line
        assert "the token 'umi' is gone, or has ended the session" in error["message"]
        assert sorted(os.listdir(made)) == there
        assert PIN not in outcome.stdout
    assert Register.decode((made / "r.jsonl").read_bytes()).count == 0


def test_a_session_begins_with_a_token_that_is_there(
    desk: Desk, tokens: Tokens, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_FAULT", "derive:32")
    own = ["--cert", "chain.cvc", "--anchor", "root.cvc"]
    key = ["--key", tokens.uri("office", path=failing)]
    outcome = desk.umi("-p", desk.meter, *own, *key, "write", "valve", "open")
    assert outcome.exit == 22
    assert "the token 'umi' is gone, or has ended the session" in outcome.stderr


def test_a_locked_pin(
    desk: Desk, tokens: Tokens, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_FAULT", "login:a4")
    outcome = desk.umi("key", "show", tokens.uri("root", path=failing))
    assert outcome.exit == 22
    assert "is locked" in outcome.stderr
    assert "SO PIN" in outcome.stderr


def test_nothing_of_tokens_is_imported_for_key_files(desk: Desk) -> None:
    code = "import sys; from umi_cli.cli.main import run; run(sys.argv[1:]); "
    code += "import json; print(json.dumps([m for m in sys.modules if 'pkcs11' in m]))"
    done = subprocess.run(
        [UMI[0], "-c", code, "key", "show", desk.file("root.pem"), "-o", "csv"],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []
