"""`umi key`: keys that OpenSSL reads, files that nobody else reads, and no secret in any output."""

import base64
import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Outcome, run_umi
from tests.cli.desk import Desk
from umi_cli.crypto import AesKey, PrivateKey
from umi_cli.security.keys import decode_key

PASSPHRASE = "correct horse battery"  # noqa: S105 - of keys made here


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def passphrase(desk: Desk) -> str:
    """Return the path of a file with a passphrase."""
    path = desk.path / "passphrase.txt"
    path.write_text(PASSPHRASE + "\n")
    path.chmod(0o600)
    return str(path)


def pem_of(desk: Desk, name: str) -> bytes:
    return (desk.path / name).read_bytes()


def assert_no_secret(outcome: Outcome, pem: bytes, *more: str) -> None:
    """Look for a key's secret bytes, in hex and in base64, and for other secrets."""
    text = re.sub(r"[\s:]", "", outcome.stdout + outcome.stderr)
    lines = [line for line in pem.decode().splitlines() if not line.startswith("-")]
    for secret in (*lines, *more):
        assert secret not in text
    data = base64.b64decode("".join(lines)).hex()
    # inside PKCS#8 the scalar's 32 bytes stand behind 0201010420
    scalar = data.partition("0201010420")[2][:64] if "0201010420" in data else data
    assert scalar not in text.lower()


def test_a_new_key_is_what_openssl_reads(desk: Desk) -> None:
    record = desk.umi("key", "new", "own.pem", "--json").document["data"]
    text = subprocess.run(
        ["openssl", "pkey", "-in", desk.file("own.pem"), "-pubout", "-outform", "DER"],
        capture_output=True,
        check=True,
    ).stdout
    assert text.hex().endswith(record["public_point"])
    assert record["type"] == "p256"
    assert record["encrypted"] is False
    assert len(record["fingerprint"]) == 64
    assert set(record) == {"file", "type", "encrypted", "public_point", "fingerprint"}


@pytest.mark.parametrize("kind", ["p256", "aes128"])
def test_a_new_file_is_its_owners_alone(desk: Desk, kind: str) -> None:
    old = os.umask(0)
    try:
        desk.do(f"key new own.pem --type {kind}")
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat(desk.file("own.pem")).st_mode) == 0o600


def test_show_tells_what_others_know_it_by(desk: Desk) -> None:
    made = desk.umi("key", "new", "own.pem", "--json").document["data"]
    shown = desk.umi("key", "show", "own.pem", "--json").document["data"]
    assert shown == {name: made[name] for name in ("type", "public_point", "fingerprint")}
    assert desk.umi("key", "show", "--key", "own.pem", "--json").document["data"] == shown
    assert run_umi("key", "show", "-", "--json", input=pem_of(desk, "own.pem").decode()).exit == 0


def test_an_aes_key_is_known_by_its_check_value(desk: Desk) -> None:
    made = desk.umi("key", "new", "own.key", "--type", "aes128", "--json").document["data"]
    shown = desk.umi("key", "show", "own.key", "--json").document["data"]
    assert shown == {"type": "aes128", "check_value": made["check_value"]}
    assert re.fullmatch("[0-9a-f]{6}", shown["check_value"])
    assert isinstance(decode_key(pem_of(desk, "own.key")), AesKey)


@pytest.mark.parametrize("kind", ["p256", "aes128"])
def test_an_encrypted_key(desk: Desk, passphrase: str, kind: str) -> None:
    made = desk.umi(
        "key", "new", "own.pem", "--type", kind, "--passphrase", passphrase, "--json"
    ).document["data"]
    assert made["encrypted"] is True
    assert b"ENCRYPTED" in pem_of(desk, "own.pem")
    shown = desk.umi("key", "show", "own.pem", "--passphrase", passphrase, "--json")
    assert shown.document["data"]["type"] == kind
    decode_key(pem_of(desk, "own.pem"), PASSPHRASE.encode())


def test_openssl_reads_an_encrypted_key(desk: Desk, passphrase: str) -> None:
    desk.do(f"key new own.pem --passphrase {passphrase}")
    command = ["openssl", "pkey", "-in", desk.file("own.pem"), "-passin", f"file:{passphrase}"]
    assert subprocess.run([*command, "-noout"], capture_output=True, check=False).returncode == 0


def test_a_wrong_passphrase(desk: Desk, passphrase: str, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.do(f"key new own.pem --passphrase {passphrase}")
    monkeypatch.setenv("WRONG", "wrong horse battery")
    outcome = desk.umi("key", "show", "own.pem", "--passphrase", "env:WRONG", "-vv")
    assert outcome.exit == 22
    assert "wrong horse" not in outcome.stderr
    assert "\nhint: " in outcome.stderr


def test_a_passphrase_that_nobody_gives(desk: Desk, passphrase: str) -> None:
    desk.do(f"key new own.pem --passphrase {passphrase}")
    error = desk.umi("key", "show", "own.pem", "--json").document["error"]
    assert (error["exit"], error["code"]) == (2, "usage")
    assert "--passphrase SOURCE" in error["hint"]


def test_a_typed_passphrase_is_typed_twice(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [PASSPHRASE, PASSPHRASE, PASSPHRASE, "another", PASSPHRASE]
    monkeypatch.setattr("getpass.getpass", lambda prompt, stream: answers.pop(0))
    monkeypatch.setattr("umi_cli.output.streams.is_terminal", lambda stream: True)
    desk.do("key new own.pem --passphrase prompt")
    refused = desk.umi("key", "new", "other.pem", "--passphrase", "prompt")
    assert refused.exit == 22
    assert not (desk.path / "other.pem").exists()
    desk.do("key show own.pem")  # asks, for it is encrypted
    assert answers == []


def test_a_short_passphrase_is_warned_of(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORT", "secret")
    outcome = desk.umi("key", "new", "own.pem", "--passphrase", "env:SHORT")
    assert outcome.exit == 0
    assert "soon guessed" in outcome.stderr


def test_a_key_is_never_overwritten(desk: Desk) -> None:
    desk.do("key new own.pem")
    before = pem_of(desk, "own.pem")
    outcome = desk.umi("key", "new", "own.pem", "--yes")
    assert outcome.exit == 22
    assert "never overwritten" in outcome.stderr
    assert pem_of(desk, "own.pem") == before


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["new", "-"], 2, "not written to stdout"),
        (["new", "/nonexistent/own.pem"], 22, "cannot write"),
        (["new", "own.pem", "--type", "rsa"], 2, "rsa"),
        (["new", "own.pem", "--passphrase", "hunter22"], 2, "cannot stand on the command line"),
        (["new", "own.pem", "--passphrase", "./hunter22"], 22, "names no file that exists"),
        (["show"], 2, "no key is named"),
        (["show", "nosuch.pem"], 22, "names no file that exists"),
        (["show", "file:/nonexistent.pem"], 22, "cannot read"),
        (["show", "env:NOSUCH"], 22, "no environment variable"),
        (["show", "00112233445566778899aabbccddeeff"], 2, "cannot stand on the command line"),
        (["show", "pkcs11:token=x"], 2, "PKCS#11"),
        (["show", "text.txt"], 22, "this is no key"),
        (["show", "open.pem"], 22, "open to other users"),
        (["show", "rsa.pem"], 22, "is no key that umi reads"),
        (["show", "cut.pem"], 22, "damaged"),
    ],
    ids=str,
)
def test_refusals_have_a_next_step(desk: Desk, args: list[str], code: int, said: str) -> None:
    contents = {"text.txt": "hello\n", "cut.pem": "", "rsa.pem": "", "open.pem": ""}
    contents["rsa.pem"] = "-----BEGIN RSA PRIVATE KEY-----\nMAAA\n-----END RSA PRIVATE KEY-----\n"
    contents["cut.pem"] = "-----BEGIN PRIVATE KEY-----\nMAAA\n-----END PRIVATE KEY-----\n"
    for name, content in contents.items():
        (desk.path / name).write_text(content)
        (desk.path / name).chmod(0o644 if name == "open.pem" else 0o600)
    outcome = desk.umi("key", *args)
    assert outcome.exit == code
    assert outcome.stdout == ""
    assert said in outcome.stderr
    assert "\nhint: " in outcome.stderr
    assert "hunter22" not in outcome.stderr
    assert "00112233" not in outcome.stderr


@pytest.mark.parametrize("form", [["-vv"], ["-vv", "--json"], ["-vv", "--events"], ["-o", "csv"]])
@pytest.mark.parametrize("kind", ["p256", "aes128"])
def test_no_secret_in_any_output(desk: Desk, passphrase: str, kind: str, form: list[str]) -> None:
    new = ["key", "new", "own.pem", "--type", kind, *form]
    outcomes = [desk.umi(*new), desk.umi(*new), desk.umi("key", "show", "own.pem", *form)]
    locked = ["--passphrase", passphrase, *form]
    outcomes += [
        desk.umi("key", "new", "locked.pem", "--type", kind, *locked),
        desk.umi("key", "show", "locked.pem", *locked),
        desk.umi("key", "show", "locked.pem", *form),
        desk.umi("cert", "new", "root.cvc", "--key", "own.pem", "--subject", "1", *form),
        desk.umi("cert", "request", "a.req", "--key", "own.pem", "--issuer", "1", *form),
    ]
    assert {outcome.exit for outcome in outcomes} >= {0, 22}
    locked_key = decode_key(pem_of(desk, "locked.pem"), PASSPHRASE.encode())
    secret = locked_key.raw if isinstance(locked_key, AesKey) else locked_key.to_pkcs8()[36:68]
    if isinstance(locked_key, PrivateKey):
        assert PrivateKey.from_scalar(secret).public_point == locked_key.public_point
    for outcome in outcomes:
        assert_no_secret(outcome, pem_of(desk, "own.pem"), secret.hex())
        assert "horse" not in outcome.stdout + outcome.stderr
