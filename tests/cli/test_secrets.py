"""No secret leaks: whatever touches a key is run, well and badly, and everything it says or leaves
behind is searched for the secrets, in every form that one could take."""

import base64
import contextlib
import fcntl
import io
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import umi_cli
from tests.cli.conftest import TIME_LIMIT_S, UMI, environment, start_umi
from tests.cli.desk import METER, OFFICE, ROOT, Desk, laid
from tests.load_vectors import octets
from tests.softhsm import PIN, WRONG_PIN, Tokens, key, needed, seen, tokens_in
from umi_cli import crypto
from umi_cli.application.security_commands import S1AuthReply, S1AuthRequest
from umi_cli.cli import key as key_command
from umi_cli.cli.main import run
from umi_cli.crypto import AesKey, PrivateKey
from umi_cli.device.meter import Meter
from umi_cli.device.protection import Unprotected
from umi_cli.errors import RefusedError
from umi_cli.output.hexdump import hexdump
from umi_cli.security.keys import decode_key, encode_key
from umi_cli.types import Role, UmiId
from umi_cli.virtual.lockout import MAX_FAILURES

PASSPHRASE = "zQ7vX2pLw9Kd-4RtB0th3rS8"  # noqa: S105 - of a key made here
WRONG_PASSPHRASE = "mN3cY6hJk1Gf_8UaE5iOpD2x"  # noqa: S105 - likewise
LITERAL = bytes.fromhex("9b41d7c02e8f563a1c74e9b0d3a2f685")
FIELD = "ei4-read-manufacturer-id-response"
IMAGE_LABEL = (
    "--model m --version 1.0.0 --target-min 00237EFE00000000 --target-max 00237EFE0000FFFF"
)
UPDATE_LABEL = IMAGE_LABEL.replace("model m --version 1", "model EISGMv0 --version 2")
FORMS = {"table": ["-vvv"], "json": ["-vvv", "--json"], "events": ["-vvv", "--events"]}
BLOCK_BYTES = 8  # hexdump shows that much of any 16 bytes in one row, wherever the row ends
BASE64_CHARACTERS = 12
HOLDS_SECRETS = (".pem", ".key", "state.json", "locked.json")
MAX_OUTPUT_BYTES = 40_000_000  # more than that is a fault of its own


# The search


def scalar_of(key: PrivateKey) -> bytes:
    """Return the 32 bytes of a private key, which stand at one place in its PKCS#8."""
    scalar = key.to_pkcs8()[36:68]
    assert PrivateKey.from_scalar(scalar).public_point == key.public_point
    return scalar


def secret_of(pem: bytes, passphrase: str | None = None) -> bytes:
    key = decode_key(pem, passphrase.encode() if passphrase else None)
    return key.raw if isinstance(key, AesKey) else scalar_of(key)


def base64_of(secret: bytes) -> Iterator[bytes]:
    """Return how a secret begins and ends in base64, wherever it stands in what is encoded."""
    for before in range(3):
        text = base64.b64encode(bytes(before) + secret)[(before * 4 + 2) // 3 :]
        text = text.rstrip(b"=")[:-1]
        for piece in (text[:BASE64_CHARACTERS], text[-BASE64_CHARACTERS:]):
            yield piece
            yield piece.translate(bytes.maketrans(b"+/", b"-_"))


def packed(data: bytes) -> bytes:
    """Return text without what stands between digits: blanks, colons, commas, 0x."""
    return re.sub(rb"[\s:,|]|0x|\\x", b"", data)


def unwrapped(data: bytes) -> bytes:
    return re.sub(rb"\s", b"", data)


def unquoted(data: bytes) -> bytes:
    """Return text whose quotes are not escaped: a `repr` chooses them by what stands in it."""
    return data.replace(b"\\'", b"'")


def packed_low(data: bytes) -> bytes:
    return packed(data).lower()


@dataclass(frozen=True, slots=True)
class Needle:
    """A form of a part of a secret."""

    text: bytes
    kind: str
    prepare: Callable[[bytes], bytes] = bytes
    """What is done to the data before it is searched."""


@cache
def needles(secret: bytes) -> tuple[Needle, ...]:
    """Return every form of a secret that is searched for."""
    return tuple(_needles(secret))


def _needles(secret: bytes) -> Iterator[Needle]:
    starts = [*range(0, len(secret) - BLOCK_BYTES + 1, BLOCK_BYTES), len(secret) - BLOCK_BYTES]
    for start in starts:
        block = secret[start : start + BLOCK_BYTES]
        yield Needle(block, "raw")
        yield Needle(unquoted(repr(block)[2:-1].encode()), "repr", unquoted)
        yield Needle(json.dumps(block.decode("latin-1"))[1:-1].encode(), "JSON")
        yield Needle("".join(map(str, block)).encode(), "list of numbers", packed)
        for each in (block, block[::-1]):
            yield Needle(each.hex().encode(), "hex", packed_low)
    for each in (secret, secret[::-1]):
        yield Needle(str(int.from_bytes(each, "big")).encode(), "decimal", packed)
    for piece in base64_of(secret):
        yield Needle(piece, "base64", unwrapped)


@dataclass(slots=True)
class Secrets:
    """What must not be seen anywhere."""

    known: dict[str, bytes] = field(default_factory=dict)

    def leaks(self, data: bytes) -> list[str]:
        """Return which secrets stand in the data, and how."""
        assert len(data) < MAX_OUTPUT_BYTES
        prepared: dict[object, bytes] = {
            prepare: prepare(data) for prepare in (bytes, packed, packed_low, unwrapped, unquoted)
        }
        found = []
        for name, secret in self.known.items():
            for needle in needles(secret):
                if needle.text in prepared[needle.prepare]:
                    found.append(f"{name} as {needle.kind}")
        return found

    def search(self, output: bytes, directory: Path) -> list[str]:
        """Return the leaks in what was printed and in every file that was left behind."""
        found = self.leaks(output)
        for path in sorted(directory.rglob("*")):
            found += [f"{leak} in the name {path.name}" for leak in self.leaks(bytes(path))]
            if path.is_file() and not path.name.endswith(HOLDS_SECRETS):
                found += [f"{leak} in {path.name}" for leak in self.leaks(path.read_bytes())]
        return found


# The desk


@dataclass(frozen=True, slots=True)
class Office:
    """A desk, what is secret on it, and the words that a line of `umi` may use."""

    desk: Desk
    secrets: Secrets
    words: dict[str, str]

    def line(self, text: str) -> list[str]:
        return [word.format(**self.words) for word in text.split()]


def private(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o600)


def bad_keys(path: Path) -> None:
    """Write files of keys that have something wrong with them, and secrets in them."""
    pem = (path / "office.pem").read_bytes()
    head, *lines, foot = pem.splitlines(keepends=True)
    der = base64.b64decode(b"".join(lines))
    private(path / "damaged.pem", pem.replace(b"PRIVATE KEY-----\nM", b"PRIVATE KEY-----\n!M", 1))
    private(path / "cut.pem", head + b"".join(lines)[:-7] + b"\n" + foot)
    twisted = der[:-1] + bytes([der[-1] ^ 1])
    private(path / "twisted.pem", head + base64.encodebytes(twisted) + foot)
    other = der[:-64] + PrivateKey.generate().public_point[1:]
    private(path / "foreign.pem", head + base64.encodebytes(other) + foot)
    private(path / "renamed.pem", pem.replace(b"PRIVATE KEY", b"EC PRIVATE KEY"))
    private(path / "aes.pem", pem.replace(b"PRIVATE KEY", b"UMI AES-128 KEY"))
    private(path / "bare.key", der[36:68])
    private(path / "hex.key", der[36:68].hex().encode())
    private(path / "list.key", str(list(der[36:68])).encode())
    private(path / "open.pem", pem)
    (path / "open.pem").chmod(0o644)
    locked = (path / "locked.pem").read_bytes()
    private(path / "spoilt.pem", locked[:-60] + b"AAAA" + locked[-56:])


def bad_states(path: Path) -> None:
    """Write state files of meters that have something wrong with them, and keys in them."""
    text = (path / "state.json").read_text()
    key = json.loads(text)["vault"]["key"]
    changes = {
        "cut": text[: text.index(key) + 200],
        "odd": text.replace(key, key[:-1]),
        "nohex": text.replace(key, "x" + key),
        "short": text.replace(key, key[:140]),
        "list": text.replace(f'"{key}"', json.dumps([key])),
        "name": text.replace('"key"', f'"{key}"'),
        "chain": text.replace('"chain": "', f'"chain": "{key}').replace(
            '"chain":"', f'"chain":"{key}'
        ),
    }
    for name, changed in changes.items():
        assert changed != text, name
        private(path / f"{name}-state.json", changed.encode())


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """Lay out a desk with all the keys and passphrases that this module looks for."""
    path = tmp_path_factory.mktemp("desk")
    desk = laid(path)
    desk.do("key new other.pem")
    desk.do("key new other.key --type aes128")
    desk.do("cert new other-root.cvc --key other.pem --subject 00237EFE000000A9")
    desk.do(f"cert request maker.req --key office.pem --subject {OFFICE} --issuer {ROOT}")
    by = "--key root.pem --issuer-cert root.cvc"
    desk.do(f"cert issue maker.req maker.cvc {by} --role manufacturer")
    for name in ("locked.pem", "locked.key"):
        plain = (
            path / name.replace("locked", "office" if ".pem" in name else "service")
        ).read_bytes()
        private(path / name, encode_key(decode_key(plain), PASSPHRASE.encode(), rounds=1000))
    private(path / "pass.key", PASSPHRASE.encode() + b"\n")
    private(path / "wrong-pass.key", WRONG_PASSPHRASE.encode())
    new_key, session_key = crypto.AesKey.generate(), octets(FIELD, "session_key")
    private(path / "new.key", new_key.raw.hex().encode())
    private(path / "short-new.key", new_key.raw[:-1].hex().encode())
    private(path / "raw-new.key", b"\xff" + new_key.raw)
    private(path / "session.key", session_key)
    private(path / "session-hex.key", session_key.hex(":").encode())
    private(path / "short-session.key", session_key[:-1])
    bad_keys(path)
    identity = "&".join(
        f"{name}={path}/{file}"
        for name, file in {"key": "meter.pem", "cert": "meter.cvc", "anchor": "root.cvc"}.items()
    )
    identity += f"&role-keys=service:{path}/service.key"
    own = ["--key", "office.pem", "--cert", "chain.cvc", "--anchor", "root.cvc"]
    assert desk.umi("-p", f"sim:{path}/state.json?{identity}", *own, "auth").exit == 0
    bad_states(path)
    names = [*(f"{name}.pem" for name in ("root", "sub", "office", "meter", "other"))]
    known = {name: secret_of((path / name).read_bytes()) for name in [*names, "service.key"]}
    known |= {
        "other.key": secret_of((path / "other.key").read_bytes()),
        "passphrase": PASSPHRASE.encode(),
        "wrong passphrase": WRONG_PASSPHRASE.encode(),
        "new role key": new_key.raw,
        "session key of the capture": session_key,
        "literal": LITERAL,
    }
    (path / "firmware.bin").write_bytes(b"firmware" * 20)
    desk.do(f"image build firmware.bin app.umi {IMAGE_LABEL}")
    desk.do("image sign app.umi --out signed.umi --key office.pem --cert maker.cvc")
    desk.do("image encrypt signed.umi sealed.umi --to meter.cvc --anchor root.cvc")
    desk.do("image encrypt signed.umi other.umi --transport-key other.key --transport-key-id 7")
    desk.do(f"image build firmware.bin plain.umi {UPDATE_LABEL}")
    desk.do("image sign plain.umi --out update.umi --key office.pem --cert maker.cvc")
    desk.do("image sign plain.umi --out mac.umi --scheme 1 --role manufacturer --key service.key")
    desk.do("image encrypt update.umi update-sealed.umi --to meter.cvc --anchor root.cvc")
    desk.do(
        "image encrypt update.umi update-other.umi --transport-key other.key --transport-key-id 7"
    )
    words = {
        "d": str(path),
        "own": f"{path}/office.pem",
        "chain": f"{path}/chain.cvc",
        "root": f"{path}/root.cvc",
        "fresh": f"sim:?{identity}",
        "meter": METER,
        "frame": octets(FIELD, "frame").hex(),
        "forged": (octets(FIELD, "frame")[:-4] + bytes(4)).hex(),
    }
    desk.do(
        f"sign valve open --target {METER} --out {path}/valve.umi --key office.pem --cert chain.cvc"
    )
    return Office(desk, Secrets(known), words)


def at_work(office: Office, directory: Path) -> None:
    """Make a directory to run in: a meter's state, and places for settings and temporaries."""
    for name in ("config", "temporary"):
        (directory / name).mkdir(parents=True)
    for path in office.desk.path.glob("*state.json"):
        shutil.copy(path, directory)


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run printed, on both streams, and how it ended."""

    exit: int
    stdout: bytes
    stderr: bytes

    @property
    def output(self) -> bytes:
        return self.stdout + b"\n" + self.stderr


@contextlib.contextmanager
def stdin_of(data: bytes) -> Iterator[None]:
    """Have bytes on stdin, for those who read the stream and those who read descriptor 0."""
    kept, stream = os.dup(0), sys.stdin
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        file.seek(0)
        os.dup2(file.fileno(), 0)
    try:
        with open(0, encoding="utf-8", closefd=False) as sys.stdin:
            yield
    finally:
        sys.stdin = stream
        os.dup2(kept, 0)
        os.close(kept)


@pytest.fixture
def umi_in(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Path, Sequence[str], bytes], Ran]:
    """Return what runs `umi` in this process, in a directory; every stream takes bytes too."""
    monkeypatch.setenv("RIGHT_PASSPHRASE", PASSPHRASE)
    monkeypatch.setenv("WRONG_PASSPHRASE", WRONG_PASSPHRASE)
    monkeypatch.setenv("HEX_KEY", office.secrets.known["service.key"].hex())
    monkeypatch.setenv("NEW_KEY", office.secrets.known["new role key"].hex())

    def umi_in(directory: Path, words: Sequence[str], stdin: bytes = b"") -> Ran:
        at_work(office, directory)
        monkeypatch.chdir(directory)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(directory / "config"))
        monkeypatch.setenv("XDG_STATE_HOME", str(directory / "kept"))
        monkeypatch.setenv("TMPDIR", str(directory / "temporary"))
        monkeypatch.setattr(tempfile, "tempdir", None)
        out, err = io.TextIOWrapper(io.BytesIO()), io.TextIOWrapper(io.BytesIO())
        with (
            stdin_of(stdin),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = run(words)
        for stream in (out, err):
            stream.flush()
        texts = [stream.buffer.getvalue() for stream in (out, err)]
        return Ran(code, *texts)

    return umi_in


@pytest.fixture
def agreed(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Collect what sessions agree on: the shared secret of two keys, and the session's key."""
    found: dict[str, bytes] = {}
    derive = crypto.session_key

    def session_key(z: bytes, salt_a: bytes, salt_b: bytes) -> AesKey:
        key = derive(z, salt_a, salt_b)
        found[f"shared secret {len(found)}"] = z
        found[f"session key {len(found)}"] = key.raw
        return key

    monkeypatch.setattr(crypto, "session_key", session_key)
    return found


# What touches keys, and the ways it goes

OPEN = "--key {own} --cert {chain} --anchor {root}"
SCHEME_1 = "--scheme 1 --role service --key {d}/service.key"
MAKER = "--key {own} --cert {d}/maker.cvc --anchor {root}"
BY_ROOT = "--key {d}/root.pem --issuer-cert {root} --role service"
UNLOCK = "--passphrase {d}/pass.key"
WRONGLY = "--passphrase {d}/wrong-pass.key"
SIM_HERE = "sim --serial line"
SIGN = "image sign {d}/app.umi --out new.umi --cert {d}/maker.cvc --key"
MAC = "image sign {d}/app.umi --out new.umi --scheme 1 --role manufacturer --key"
SEAL = "image encrypt {d}/signed.umi new.umi --transport-key-id 7 --transport-key"
CHECK = "--cert {d}/maker.cvc --anchor {root} --decrypt-key"
IMAGE_RUNS: Sequence[tuple[str, int]] = (
    (f"{SIGN} {{own}}", 0),
    (f"{SIGN} -", 0),
    (f"{SIGN} {{own}} --out nosuch/new.umi", 2),
    (f"{SIGN} {{own}} --out {{own}}", 2),
    (f"{SIGN} {{d}}/locked.pem {UNLOCK}", 0),
    (f"{SIGN} {{d}}/locked.pem {WRONGLY}", 22),
    *((f"{SIGN} {{d}}/{name}", 22) for name in ("other.pem", "twisted.pem", "open.pem")),
    *((f"{SIGN} {{d}}/{name}", 22) for name in ("service.key", "hex.key", "bare.key")),
    (f"{MAC} {{d}}/service.key", 0),
    (f"{MAC} {{d}}/locked.key {UNLOCK}", 0),
    (f"{MAC} {{d}}/locked.key {WRONGLY}", 22),
    *((f"{MAC} {{d}}/{name}", 22) for name in ("office.pem", "hex.key", "session.key")),
    ("image sign {own} --out new.umi --cert {d}/maker.cvc --key {own}", 40),
    ("image sign {d}/app.umi --tbs new.tbs --cert {d}/maker.cvc --key {own}", 0),
    ("image sign {d}/app.umi --tbs new.tbs --cert {own}", 22),
    ("image sign {d}/app.umi --attach {own} --out new.umi --cert {d}/maker.cvc", 40),
    ("image sign {d}/app.umi --attach {d}/bare.key --out new.umi --cert {d}/maker.cvc", 40),
    (f"{SEAL} {{d}}/other.key", 0),
    (f"{SEAL} {{d}}/locked.key {UNLOCK}", 0),
    (f"{SEAL} {{d}}/locked.key {WRONGLY}", 22),
    (f"{SEAL} {{own}}", 22),
    (f"{SEAL} env:HEX_KEY", 22),
    (f"{SEAL} {{d}}/session.key", 22),
    ("image encrypt {d}/signed.umi new.umi --to {d}/meter.cvc", 0),
    ("image encrypt {d}/signed.umi new.umi --to {own}", 22),
    ("image encrypt {own} new.umi --to {d}/meter.cvc", 40),
    (f"image verify {{d}}/sealed.umi {CHECK} {{d}}/meter.pem", 0),
    (f"image verify {{d}}/sealed.umi {CHECK} {{own}}", 40),
    (f"image verify {{d}}/sealed.umi {CHECK} {{d}}/other.key", 22),
    (f"image verify {{d}}/sealed.umi {CHECK} {{d}}/bare.key", 22),
    (f"image verify {{d}}/other.umi {CHECK} {{d}}/other.key", 0),
    (f"image verify {{d}}/other.umi {CHECK} {{d}}/service.key", 40),
    (f"image verify {{d}}/other.umi {CHECK} {{d}}/locked.key {WRONGLY}", 22),
    ("image verify {d}/signed.umi --scheme 1 --role manufacturer --key {d}/service.key", 40),
    ("image show {own}", 40),
    ("image show {d}/bare.key", 40),
)
UPLOAD = f"-p {{fresh}}&transport-keys=7:{{d}}/other.key {MAKER} image upload"
BY_MAKER = "--signer {d}/maker.cvc"
UPLOAD_RUNS: Sequence[tuple[str, int]] = (
    (f"{UPLOAD} {{d}}/update.umi {BY_MAKER}", 0),
    (f"{UPLOAD} {{d}}/update.umi {BY_MAKER} --dry-run", 2),  # it would have to be told who we are
    (f"{UPLOAD} {{d}}/update-sealed.umi", 0),
    (f"{UPLOAD} {{d}}/update-sealed.umi {BY_MAKER} --decrypt-key {{d}}/meter.pem", 0),
    (f"{UPLOAD} {{d}}/update-sealed.umi {BY_MAKER} --decrypt-key {{own}}", 40),
    (f"{UPLOAD} {{d}}/update-sealed.umi {BY_MAKER} --decrypt-key {{d}}/other.key", 22),
    (f"{UPLOAD} {{d}}/update-sealed.umi {BY_MAKER} --decrypt-key {{d}}/bare.key", 22),
    (f"{UPLOAD} {{d}}/update-other.umi", 0),
    (f"{UPLOAD} {{d}}/update-other.umi {BY_MAKER} --decrypt-key {{d}}/other.key", 0),
    (f"{UPLOAD} {{d}}/update-other.umi {BY_MAKER} --decrypt-key {{d}}/service.key", 40),
    (f"{UPLOAD} {{d}}/update-other.umi {BY_MAKER} --decrypt-key {{d}}/locked.key {WRONGLY}", 22),
    (f"-p {{fresh}} {MAKER} image upload {{d}}/update-other.umi", 30),
    (f"{UPLOAD} {{d}}/mac.umi --signer-key {{d}}/service.key", 40),  # the meter has no such key
    (f"{UPLOAD} {{d}}/mac.umi --signer-key {{d}}/other.key", 40),
    (f"{UPLOAD} {{d}}/mac.umi --signer-key {{own}}", 22),
    (f"{UPLOAD} {{d}}/mac.umi --signer-key {{d}}/hex.key", 22),
    (f"{UPLOAD} {{d}}/update.umi --signer {{own}}", 22),
    (f"{UPLOAD} {{d}}/update.umi --signer {{d}}/service.key", 22),
    (f"{UPLOAD} {{own}} {BY_MAKER}", 40),
    (f"{UPLOAD} {{d}}/other.umi {BY_MAKER} --decrypt-key {{d}}/other.key", 41),
    (f"-p {{fresh}} {OPEN} image upload {{d}}/update.umi {BY_MAKER}", 40),
)

DESK_RUNS: Sequence[tuple[str, int]] = (
    ("key new new.pem", 0),
    ("key new new.key --type aes128", 0),
    (f"key new locked-new.pem {UNLOCK}", 0),
    ("key new locked-new.key --type aes128 --passphrase env:RIGHT_PASSPHRASE", 0),
    ("key new {own}", 22),
    (f"key new {{own}} {UNLOCK}", 22),
    ("key new nosuch/new.pem", 22),
    ("key new -", 2),
    ("key new new.pem --passphrase env:NOSUCH", 22),
    ("key new new.pem --passphrase {d}", 22),
    ("key new new.pem --passphrase prompt", 2),
    ("key show {own}", 0),
    ("key show {d}/service.key", 0),
    ("key show -", 0),
    ("key show --key {own}", 0),
    (f"key show {{d}}/locked.pem {UNLOCK}", 0),
    (f"key show {{d}}/locked.key {UNLOCK}", 0),
    ("key show {d}/locked.pem --passphrase env:RIGHT_PASSPHRASE", 0),
    (f"key show {{d}}/locked.pem {WRONGLY}", 22),
    (f"key show {{d}}/locked.key {WRONGLY}", 22),
    ("key show {d}/locked.key --passphrase env:WRONG_PASSPHRASE", 22),
    (f"key show {{d}}/spoilt.pem {UNLOCK}", 22),
    ("key show {d}/locked.pem", 2),
    *((f"key show {{d}}/{name}.pem", 22) for name in ("damaged", "cut", "twisted", "foreign")),
    *((f"key show {{d}}/{name}.pem", 22) for name in ("renamed", "aes", "open")),
    *((f"key show {{d}}/{name}.key", 22) for name in ("bare", "hex", "list", "pass", "session")),
    ("key show env:HEX_KEY", 22),
    ("key show {d}", 22),
    ("cert new new.cvc --key {d}/root.pem --subject 1", 0),
    ("cert new {root} --key {d}/root.pem --subject 1", 2),
    ("cert new new.cvc --key {d}/service.key --subject 1", 22),
    (f"cert new new.cvc --key {{d}}/locked.pem --subject 1 {UNLOCK}", 0),
    (f"cert new new.cvc --key {{d}}/locked.pem --subject 1 {WRONGLY}", 22),
    ("cert new new.cvc --key {d}/twisted.pem --subject 1", 22),
    ("cert new new.cvc --key {d}/hex.key --subject 1", 22),
    ("cert new nosuch/new.cvc --key {own} --subject 1", 2),
    ("cert request new.req --key {own} --subject 1 --issuer 2", 0),
    ("cert request new.req --key {d}/damaged.pem --subject 1 --issuer 2", 22),
    ("cert request new.req --key {d}/open.pem --subject 1 --issuer 2", 22),
    (f"cert issue {{d}}/maker.req new.cvc {BY_ROOT}", 0),
    ("cert issue {d}/maker.req new.cvc --key {own} --issuer-cert {root} --role service", 24),
    (f"cert issue {{own}} new.cvc {BY_ROOT}", 22),
    (f"cert issue {{d}}/service.key new.cvc {BY_ROOT}", 22),
    ("cert issue {d}/maker.req new.cvc --key {own} --issuer-cert {own} --role service", 22),
    ("cert verify {chain} --anchor {root}", 0),
    ("cert verify {chain} --anchor {d}/other-root.cvc", 24),
    ("cert verify {own} --anchor {root}", 22),
    ("cert verify {chain} --anchor {own}", 22),
    ("cert show {d}/bare.key", 22),
    ("decode {frame} --session-key {d}/session.key", 0),
    ("decode {frame} --session-key {d}/session-hex.key", 0),
    ("decode {forged} --session-key {d}/session.key", 33),
    ("decode {frame} --session-key {d}/other.key", 22),
    ("decode {frame} --session-key {d}/short-session.key", 22),
    ("decode {frame} --session-key {d}/hex.key", 22),
    ("decode {frame} --session-key env:HEX_KEY", 33),
    ("decode {frame} --session-key env:NOSUCH", 22),
    ("decode {frame} --session-key prompt", 2),
    ("decode {own}", 33),
    ("decode {d}/service.key", 33),
    (f"sign valve open --target {{meter}} --out new.umi {OPEN}", 0),
    (f"sign valve open --target {{meter}} --out - {OPEN}", 0),
    (f"sign valve open --target {{meter}} --out - {SCHEME_1}", 0),
    (f"sign valve open --target {{meter}} --out {{own}} {OPEN}", 2),
    (f"sign valve open --target {{meter}} --out - {OPEN} --key {{d}}/locked.pem {WRONGLY}", 22),
    (f"sign valve open --target {{meter}} --out - {OPEN} --key {{d}}/other.pem", 22),
    (f"sign scheme-1-keys[5] {{d}}/new.key --target {{meter}} --out - {OPEN}", 2),
    (f"sign scheme-1-keys[5] {{d}}/new.key --target {{meter}} --out new.umi {SCHEME_1}", 2),
    (f"{SIM_HERE} --meter-key {{d}}/service.key", 22),
    (f"{SIM_HERE} --meter-key {{d}}/twisted.pem", 22),
    (f"{SIM_HERE} --meter-key {{d}}/hex.key", 22),
    (f"{SIM_HERE} --meter-key {{d}}/locked.pem", 22),
    (f"{SIM_HERE} --meter-key {{own}} --meter-cert {{d}}/meter.cvc", 22),
    (f"{SIM_HERE} --meter-key {{own}} --meter-cert {{own}}", 22),
    (f"{SIM_HERE} --meter-role-keys service:{{own}}", 22),
    (f"{SIM_HERE} --meter-role-keys nosuch:{{d}}/service.key", 2),
    (f"{SIM_HERE} --meter-role-keys service:{{d}}/hex.key", 22),
    ("sim --tcp 127.0.0.1 --state state.json", 2),
    (f"{SIM_HERE} --state {{own}}", 2),
)

LINE_COMMANDS = {
    "auth": "auth",
    "info": "info",
    "read": "read umi-id gsm-status",
    "read a secret": "read umi-id scheme-1-keys",
    "write": "write load-limit 7 --verify",
    "write a secret": "write scheme-1-keys[5] {d}/new.key",
    "send": "send {d}/valve.umi",
    "image upload": "image upload {d}/update-sealed.umi",
}
SCHEMES = {"scheme 1": SCHEME_1, "scheme 2": OPEN}
SHORT = "--timeout 0.05 --retries 1"
WAYS: dict[str, str] = {
    "well": "-p sim:state.json",
    "to a stranger": "-p {fresh}",
    "with another key": "-p sim:state.json --key {d}/other{kind}",
    "with a key of another type": "-p sim:state.json --key {d}/{wrong_kind}",
    "with a key that is open to others": "-p sim:state.json --key {d}/open.pem",
    "with a bare key": "-p sim:state.json --key {d}/hex.key",
    "with a key from stdin": "-p sim:state.json --key -",
    "unlocked": f"-p sim:state.json --key {{d}}/locked{{kind}} {UNLOCK}",
    "with a wrong passphrase": f"-p sim:state.json --key {{d}}/locked{{kind}} {WRONGLY}",
    "in a role that is not ours": "-p sim:state.json --role user",
    "to whom nobody trusts": "-p sim:state.json --anchor {d}/other-root.cvc",
    "pinned": "-p sim:state.json --pin",
    "as a dry run": "-p sim:state.json --dry-run",
    "to nobody": f"-p sim:state.json?fault=drop:1 {SHORT}",
    "cut off": f"-p sim:state.json?fault=hangup:0.3&seed=4 {SHORT}",
    "damaged": f"-p sim:state.json?fault=flip:0.25&seed=1 {SHORT}",
    "damaged more": f"-p sim:state.json?fault=flip:0.4,noise:0.2&seed=2 {SHORT}",
    "cut short": f"-p sim:state.json?fault=truncate:0.3&seed=3 {SHORT}",
}
SECRET_WRITES: Sequence[tuple[str, int]] = (
    (f"-p {{fresh}} {MAKER} write scheme-1-keys[5] {{d}}/new.key", 0),
    (f"-p {{fresh}} {MAKER} write scheme-1-keys[5] env:NEW_KEY", 0),
    (f"-p {{fresh}} {MAKER} write scheme-1-keys[5] {{d}}/new.key --verify", 23),
    (f"-p {{fresh}} {MAKER} write scheme-1-keys[5] {{d}}/new.key --dry-run", 2),
    (f"-p {{fresh}} {MAKER} write scheme-1-keys {{d}}/new.key", 2),
    (f"-p {{fresh}} {MAKER} write scheme-1-keys[5] {{d}}/short-new.key", 2),
    (f"-p {{fresh}} {MAKER} write scheme-1-keys[5] {{d}}/raw-new.key", 22),
    (f"-p {{fresh}} {MAKER} write scheme-1-keys[5] {{d}}/pass.key", 2),
    (f"-p {{fresh}} {MAKER} write scheme-1-keys[5] {{d}}/service.key", 2),
    (f"-p {{fresh}} {MAKER} write scheme-1-keys[5] prompt", 2),
    (f"-p {{fresh}}&fault=drop:1 {SHORT} {MAKER} write scheme-1-keys[5] {{d}}/new.key", 14),
    ("-p sim:?as=manufacturer write scheme-1-keys[5] {d}/new.key", 0),
    ("-p sim:?as=manufacturer write scheme-1-keys[5] -", 2),
    ("-p sim:?as=manufacturer write scheme-1-keys[99] {d}/new.key", 31),
    *((f"-p sim:{name}-state.json info", 2) for name in ("cut", "odd", "nohex", "list")),
    *((f"-p sim:{name}-state.json info", 2) for name in ("name", "short", "chain")),
)
BY_POLICY = "--issuer-cert {root} --role service --policy policy.toml"
TOKEN_RUNS: Sequence[tuple[str, int]] = (
    ("key show {token_root}", 0),
    ("cert new new.cvc --key {token_root} --subject 1", 0),
    ("cert request new.req --key {token} --subject 1 --issuer 2", 0),
    (f"cert issue {{d}}/maker.req new.cvc {BY_POLICY} --key {{token_root}}", 0),
    (f"cert issue {{d}}/maker.req new.cvc {BY_POLICY} --key {{token}}", 24),
    (f"cert issue {{d}}/maker.req nosuch/new.cvc {BY_POLICY} --key {{token_root}}", 2),
    (f"{SIGN} {{token}}", 0),
    (f"{SIGN} {{token_root}}", 22),
    (f"sign valve open --target {{meter}} --out new.umi {OPEN} --key {{token}}", 0),
    (f"-p sim:state.json {OPEN} --key {{token}} auth", 0),
    (f"-p sim:state.json {OPEN} --key {{token_root}} auth", 22),
    (f"-p {{fresh}} {MAKER} --key {{token}} write scheme-1-keys[5] {{d}}/new.key", 0),
    ("key show {token_wrong}", 22),
    ("cert new new.cvc --key {token_wrong} --subject 1", 22),
    ("key show {token_module}&pin-source=env:TOKEN_PIN", 0),
    ("key show {token_module}&pin-source=env:WRONG_PASSPHRASE", 22),
    ("key show {token_module}&pin-source=-", 22),
    ("key show {token_module}&pin-source={own}", 22),
    ("key show {token_module}&pin-source=prompt", 2),
    ("key show {token_module}", 2),
    ("key show {token_none}", 22),
    ("key show pkcs11:token=umi?module-path=/nonexistent.so&pin-source={d}/hsm/pin", 22),
    ("key show pkcs11:token=umi?module-path={d}/hsm/pin&pin-source={d}/hsm/pin", 22),
)
KEY_INTO = f"-p {{fresh}} {MAKER} device key service"
DEVICE_RUNS: Sequence[tuple[str, int]] = (
    (f"{KEY_INTO} {{d}}/other.key --yes", 0),
    (f"{KEY_INTO} {{d}}/locked.key --yes {UNLOCK}", 0),
    (f"{KEY_INTO} {{d}}/locked.key --yes {WRONGLY}", 22),
    (f"{KEY_INTO} {{d}}/other.key", 2),
    (f"{KEY_INTO} {{d}}/other.key --dry-run", 2),
    (f"{KEY_INTO} {{own}} --yes", 22),
    (f"{KEY_INTO} - --yes", 22),
    (f"{KEY_INTO} env:HEX_KEY --yes", 22),
    *((f"{KEY_INTO} {{d}}/{name}.key --yes", 22) for name in ("hex", "bare", "list", "new")),
    (f"-p {{fresh}} {OPEN} device key service {{d}}/other.key --yes", 23),
    (f"-p {{fresh}} {SCHEME_1} device key service {{d}}/other.key --yes", 2),
    ("-p {fresh} device key service {d}/other.key --yes", 2),
    (f"-p {{fresh}}&fault=drop:1 {SHORT} {MAKER} device key service {{d}}/other.key --yes", 14),
    ("-p {fresh} device keypair", 0),
    ("-p {fresh} device csr --out new.req", 0),
    ("-p {fresh} device csr --out {own}", 2),
    ("-p {fresh} device certificate", 0),
    ("-p {fresh} device trust {own}", 22),
    ("-p {fresh} device install {own} --anchor {root}", 22),
    ("-p {fresh} device install {d}/meter.cvc --anchor {root}", 0),
    (f"-p {{fresh}} {MAKER} device relinquish --yes", 0),
    (f"-p {{fresh}} {MAKER} device revoke {{chain}} --yes", 23),
)
FIXED = [*DESK_RUNS, *IMAGE_RUNS, *UPLOAD_RUNS, *SECRET_WRITES, *DEVICE_RUNS]


def line_run(command: str, scheme: str, way: str) -> str:
    """Return the line of a command under a scheme that goes a way."""
    more = WAYS[way].replace("{kind}", ".key" if scheme == "scheme 1" else ".pem")
    more = more.replace("{wrong_kind}", "office.pem" if scheme == "scheme 1" else "service.key")
    known = SCHEMES[scheme]
    if "--anchor" in more:
        known = known.replace(" --anchor {root}", "")  # one more would be trusted as well
    return f"{known} {more} {LINE_COMMANDS[command]}"


def remember_new_keys(directory: Path, secrets: Secrets) -> Secrets:
    """Return the secrets with those of keys that a run has made."""
    made = {
        path.name: secret_of(path.read_bytes(), PASSPHRASE if "locked" in path.name else None)
        for path in directory.iterdir()
        if path.name.endswith((".pem", ".key"))
    }
    return replace(secrets, known=secrets.known | made)


UmiIn = Callable[..., Ran]


@pytest.mark.parametrize("number", range(len(FIXED)), ids=lambda number: FIXED[number][0])
def test_at_the_desk(office: Office, umi_in: UmiIn, tmp_path: Path, number: int) -> None:
    text, code = FIXED[number]
    stdin = (office.desk.path / "office.pem").read_bytes()
    for form, options in FORMS.items():
        ran = umi_in(tmp_path / form, [*office.line(text), *options], stdin)
        assert ran.exit == code, ran.stderr.decode()
        assert (b"Traceback" in ran.stderr) == (code != 0)  # so the causes are searched, too
        secrets = remember_new_keys(tmp_path / form, office.secrets)
        assert secrets.search(ran.output, tmp_path / form) == []


@pytest.fixture(scope="module")
def token_office(office: Office) -> Office:
    """Return the office with two of its keys in a token as well, and the PINs among the secrets."""
    needed()
    path = office.desk.path
    tokens = tokens_in(path / "hsm")
    files = {"root": "root.pem", "office": "office.pem"}
    keys = {name: decode_key((path / file).read_bytes()) for name, file in files.items()}
    tokens.add("umi", *(key(name, each) for name, each in keys.items()))  # type: ignore[arg-type]
    words = {
        "token": tokens.uri("office"),
        "token_root": tokens.uri("root"),
        "token_none": tokens.uri("nosuch"),
        "token_wrong": tokens.uri("root", pin=f"{path}/hsm/wrong-pin"),
        "token_module": tokens.uri("root").partition("&")[0],
    }
    pins = {"PIN": PIN.encode(), "wrong PIN": WRONG_PIN.encode()}
    return Office(office.desk, Secrets(office.secrets.known | pins), office.words | words)


@pytest.mark.parametrize("number", range(len(TOKEN_RUNS)), ids=lambda n: TOKEN_RUNS[n][0])
def test_with_a_key_in_a_token(
    token_office: Office,
    umi_in: UmiIn,
    agreed: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    text, code = TOKEN_RUNS[number]
    monkeypatch.setenv("TOKEN_PIN", PIN)
    for form, options in FORMS.items():
        place = tmp_path / form
        place.mkdir()
        policy = 'register = "r.jsonl"\nroles = ["service"]\n[lifetime]\nmax-days = 9\n'
        (place / "policy.toml").write_text(policy)
        with seen(Tokens(token_office.desk.path / "hsm")):
            ran = umi_in(place, [*token_office.line(text), *options], WRONG_PIN.encode())
        assert ran.exit == code, ran.stderr.decode()
        assert (b"Traceback" in ran.stderr) == (code != 0)
        secrets = replace(token_office.secrets, known=token_office.secrets.known | agreed)
        assert secrets.search(ran.output, place) == []


@pytest.mark.parametrize("form", FORMS)
def test_the_transport_key_of_a_package(
    office: Office, umi_in: UmiIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Who encrypts to a device derives a key, and so does who decrypts: nobody else may have it."""
    derived: dict[str, bytes] = {}
    derive = crypto._transport_key

    def transport_key(c0: bytes, z: bytes) -> AesKey:
        key = derive(c0, z)
        derived[f"shared secret {len(derived)}"] = z
        derived[f"transport key {len(derived)}"] = key.raw
        return key

    monkeypatch.setattr(crypto, "_transport_key", transport_key)
    for number, (text, code) in enumerate(
        (
            ("image encrypt {d}/signed.umi new.umi --to {d}/meter.cvc --anchor {root}", 0),
            (f"image verify {{d}}/sealed.umi {CHECK} {{d}}/meter.pem", 0),
            (f"image verify {{d}}/sealed.umi {CHECK} {{own}}", 40),
        )
    ):
        place = tmp_path / f"{form}{number}"
        ran = umi_in(place, [*office.line(text), *FORMS[form]])
        assert ran.exit == code, ran.stderr.decode()
        secrets = replace(office.secrets, known=office.secrets.known | derived)
        assert secrets.search(ran.output, place) == []
    assert len(derived) == 6


@pytest.mark.sampled
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("command", LINE_COMMANDS)
def test_on_the_line(
    office: Office,
    umi_in: UmiIn,
    agreed: dict[str, bytes],
    tmp_path: Path,
    command: str,
    scheme: str,
    way: str,
) -> None:
    stdin = "office.pem" if scheme == "scheme 2" else "service.key"
    words = office.line(line_run(command, scheme, way))
    form = list(FORMS)[(len(command) + len(way)) % len(FORMS)]  # each of them often enough
    ran = umi_in(tmp_path / form, [*words, *FORMS[form]], (office.desk.path / stdin).read_bytes())
    assert ran.exit != 1, ran.stderr.decode()
    if way == "well":
        refused = {"read a secret": 23, "write a secret": 23, "image upload": 40}
        assert ran.exit == refused.get(command, 0), ran.stderr.decode()
        assert agreed or scheme == "scheme 1" or command == "send"
    secrets = replace(office.secrets, known=office.secrets.known | agreed)
    assert secrets.search(ran.output, tmp_path / form) == []


def test_the_ways_go_as_they_say(office: Office, umi_in: UmiIn, tmp_path: Path) -> None:
    """Under scheme 2 `auth` ends in each way as it should, so what is searched is what we mean."""
    expected = {
        "well": 0,
        "with another key": 22,
        "with a key of another type": 22,
        "with a key that is open to others": 22,
        "with a bare key": 22,
        "with a key from stdin": 0,
        "unlocked": 0,
        "with a wrong passphrase": 22,
        "in a role that is not ours": 22,
        "to whom nobody trusts": 24,
        "to nobody": 14,
    }
    stdin = (office.desk.path / "office.pem").read_bytes()
    for way, code in expected.items():
        words = office.line(line_run("auth", "scheme 2", way))
        assert umi_in(tmp_path / way.replace(" ", "-"), words, stdin).exit == code, way


def test_a_locked_meter(office: Office, umi_in: UmiIn, tmp_path: Path) -> None:
    kept = f"sim:{tmp_path}/locked.json"
    shutil.copy(office.desk.path / "state.json", tmp_path / "locked.json")
    for _ in range(MAX_FAILURES):
        with umi_cli.connect(kept, umi_id=UmiId(7)) as meter:
            session = meter.session
            session.request_in_clear(S1AuthRequest(role=Role.SERVICE, nonce_a=bytes(range(16))))
            with pytest.raises(RefusedError):
                session.request_under(Unprotected(), S1AuthReply(tag_a=bytes(16)))
    for form, options in FORMS.items():
        ran = umi_in(tmp_path / form, [*office.line(f"-p {kept} {SCHEME_1} auth"), *options])
        assert ran.exit == 21
        assert office.secrets.search(ran.output, tmp_path / form) == []


# Secrets of every type, in a datasheet of the user's own

SECRET_TYPES = ("u32", "u64", "ascii[4]", "bytes[8]", "datetime", "ddhhmmss", "umi-id", "role-set")
SECRET_VALUES = {
    "text": PASSPHRASE,
    "a number": str(int.from_bytes(LITERAL, "big")),
    "hex": LITERAL.hex(),
    "wrong hex": f"hex:{LITERAL.hex()}x",
    "JSON": json.dumps({PASSPHRASE: LITERAL.hex()}),
    "not ASCII": PASSPHRASE + "ü",
}


@pytest.mark.sampled
@pytest.mark.parametrize("value", SECRET_VALUES)
@pytest.mark.parametrize("kind", [*SECRET_TYPES, "enum:u8", "flags:u8", "structure"])
def test_a_secret_that_does_not_fit(
    office: Office,
    umi_in: UmiIn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    value: str,
) -> None:
    named = {"enum:u8": 'values = { 0 = "a" }', "flags:u8": 'bits = { 0 = "a" }'}
    lines = ['schema = "umi-datasheet/1"', 'name = "own"', 'title = "Own"', 'banks = ["umi.1.1"]']
    lines += ["[[object]]", 'code = "umi.1.1.9.9"', 'name = "pin"', 'title = "PIN"']
    lines += ["secret = true", 'write = ["all"]']
    if kind == "structure":
        lines += ['kind = "structure"', "[[object.member]]", 'name = "digits"', 'type = "u32"']
    else:
        lines += ['kind = "value"', f'type = "{kind}"', named.get(kind, "")]
    (tmp_path / "own.toml").write_text("\n".join(lines))
    monkeypatch.setenv("VALUE", SECRET_VALUES[value])
    words = ["-p", "sim", "--datasheet", str(tmp_path / "own.toml"), "write", "pin", "env:VALUE"]
    form = list(FORMS)[len(kind + value) % len(FORMS)]
    ran = umi_in(tmp_path / form, [*words, *FORMS[form]])
    assert ran.exit == 2, ran.stderr.decode()
    assert office.secrets.search(ran.output, tmp_path / form) == []


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_that_reads_back_differently(
    office: Office, umi_in: UmiIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Somebody may read the keys, and somebody else has changed them: neither is shown."""
    write = Meter._write_raw

    def changed(meter: Meter, part: Any, raw: bytes) -> None:
        write(meter, part, bytes([raw[0] ^ 1]) + raw[1:])

    monkeypatch.setattr(Meter, "_write_raw", changed)
    own = ["-p", "sim:own-state.json?as=manufacturer"]
    directory = tmp_path / form
    at_work(office, directory)
    monkeypatch.chdir(directory)
    assert run([*own, "access", "set", "scheme-1-keys", "--read", "all", "-y"]) == 0
    words = office.line("write scheme-1-keys[5] {d}/new.key --verify")
    shutil.move(directory / "own-state.json", office.desk.path / f"{form}-state.json")
    ran = umi_in(
        tmp_path / "run", ["-p", f"sim:{form}-state.json?as=manufacturer", *words, *FORMS[form]]
    )
    assert ran.exit == 32, ran.stderr.decode()
    assert office.secrets.search(ran.output, tmp_path / "run") == []
    for command in ("read scheme-1-keys", "read scheme-1-keys -o raw", "read scheme-1-keys -o csv"):
        kept = f"sim:{tmp_path}/run/{form}-state.json?as=manufacturer"
        place = tmp_path / command.replace(" ", "")
        ran = umi_in(place, ["-p", kept, *command.split(), "-vvv"])
        assert ran.exit == 0
        assert office.secrets.search(ran.output, place) == []


# A secret on the command line

LITERAL_HEX, LITERAL_BASE64 = LITERAL.hex(), base64.b64encode(LITERAL).decode()
PLACES = (
    "key show {secret}",
    "key show {own} --key {secret} --passphrase {secret} extra",
    "key new new.pem --passphrase {secret}",
    "key show {d}/locked.pem --passphrase {secret}",
    "key show --key {secret}",
    "cert new new.cvc --subject 1 --key {secret}",
    "cert request new.req --subject 1 --issuer 2 --key {secret}",
    "cert issue {d}/maker.req new.cvc --issuer-cert {root} --role service --key {secret}",
    "-p sim auth --cert {chain} --key {secret}",
    "-p sim info --scheme 1 --role service --key {secret}",
    "-p sim read umi-id --scheme 1 --role service --key {secret}",
    "-p sim write scheme-1-keys[5] {secret}",
    "-p sim device key service {secret} --yes",
    "-p {fresh} device key service {secret} --key {own} --cert {d}/maker.cvc --anchor {root} --yes",
    "-p {fresh} device key {secret} {d}/service.key --key {own} --cert {d}/maker.cvc --yes",
    "-p sim write scheme-1-keys[5] hex:{secret}",
    '-p sim write scheme-1-keys ["{secret}"]',
    "sign valve open --target 1 --out - --cert {chain} --key {secret}",
    "sign scheme-1-keys[5] {secret} --target 1 --out - --cert {chain} --key {own}",
    "decode 00 --session-key {secret}",
    "image sign {d}/app.umi --out new.umi --cert {d}/maker.cvc --key {secret}",
    "image sign {d}/app.umi --out new.umi --scheme 1 --role manufacturer --key {secret}",
    "image encrypt {d}/signed.umi new.umi --transport-key-id 7 --transport-key {secret}",
    "image verify {d}/sealed.umi --cert {chain} --anchor {root} --decrypt-key {secret}",
    "-p sim image upload {d}/mac.umi --signer-key {secret}",
    "-p sim image upload {d}/sealed.umi --signer {chain} --decrypt-key {secret}",
    "sim --tcp 127.0.0.1:0 --meter-key {secret}",
    "sim --tcp 127.0.0.1:0 --meter-role-keys service:{secret}",
    "sim --tcp 127.0.0.1:0 --meter-role-keys {secret}",
    "sim --tcp 127.0.0.1:0 --meter-transport-keys 7:{secret}",
    "sim --tcp 127.0.0.1:0 --meter-transport-keys {secret}",
)


@pytest.mark.sampled
@pytest.mark.parametrize("secret", [LITERAL_HEX, LITERAL_HEX.upper(), LITERAL_BASE64])
@pytest.mark.parametrize("place", PLACES)
def test_a_secret_on_the_command_line(
    office: Office, umi_in: UmiIn, tmp_path: Path, place: str, secret: str
) -> None:
    words = [word.format(**office.words, secret=secret) for word in place.split()]
    for form, options in FORMS.items():
        ran = umi_in(tmp_path / form, [*words, *options])
        assert ran.exit in (2, 22), ran.stderr.decode()
        assert office.secrets.search(ran.output, tmp_path / form) == []


# Processes: what others see of them, and how they are ended


@contextlib.contextmanager
def running(words: Sequence[str], directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Run `umi` in a process of its own, with its settings and temporaries in a directory."""
    env = {"XDG_CONFIG_HOME": f"{directory}/config", "TMPDIR": f"{directory}/temporary"}
    process = start_umi(*words, env=env)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=TIME_LIMIT_S)


def seen_by_others(pid: int) -> bytes:
    """Return what every user of the host may know of a process."""
    return b"\n".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "comm"))


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("order", [signal.SIGINT, signal.SIGTERM])
def test_a_meter_that_is_served(
    office: Office, umi_in: UmiIn, tmp_path: Path, form: str, order: signal.Signals
) -> None:
    at_work(office, tmp_path)
    words = office.line(
        "sim --tcp 127.0.0.1:0 --meter-key {d}/meter.pem --meter-cert {d}/meter.cvc"
        " --meter-anchor {root} --meter-role-keys service:{d}/service.key"
    )
    words += ["--state", str(tmp_path / "state.json"), *FORMS[form]]
    with running(words, tmp_path) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        [address] = json.loads(first)["addresses"]
        argv = seen_by_others(process.pid)
        output = b""
        for number, scheme in enumerate((SCHEME_1, OPEN, OPEN + " --key {d}/other.pem")):
            line = office.line(f"-p {address} {scheme} write valve open -vvv")
            ran = umi_in(tmp_path / f"reader{number}", line)
            assert ran.exit == (22 if "other" in scheme else 0)
            output += ran.output
        busy = umi_in(tmp_path / "busy", ["-p", f"sim:{tmp_path}/state.json", "info", "-vvv"])
        assert busy.exit == 11
        process.send_signal(order)
        out, err = process.communicate(timeout=TIME_LIMIT_S)
    assert process.returncode == (130 if order is signal.SIGINT else 143)
    assert b"--meter-key" in argv
    output += busy.output + argv + (first + out + err).encode()
    assert office.secrets.search(output, tmp_path) == []


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_interrupted_on_the_line(office: Office, tmp_path: Path, scheme: str, form: str) -> None:
    at_work(office, tmp_path)
    mute = socket.create_server(("127.0.0.1", 0))
    address = f"tcp:127.0.0.1:{mute.getsockname()[1]}"
    words = office.line(f"-p {address} --timeout {TIME_LIMIT_S} {SCHEMES[scheme]} auth")
    with mute, running([*words, *FORMS[form]], tmp_path) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert " out " in first  # it waits for an answer now
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIME_LIMIT_S)
    assert process.returncode == 130
    assert "KeyboardInterrupt" in err
    assert office.secrets.search((first + out + err).encode(), tmp_path) == []


def typed(words: Sequence[str], directory: Path, *answers: str) -> tuple[int, bytes]:
    """Run `umi` at a terminal of its own, type answers to its questions, return what is seen."""
    near, far = pty.openpty()

    def take_terminal() -> None:
        fcntl.ioctl(far, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    env = {"XDG_CONFIG_HOME": f"{directory}/config", "TMPDIR": f"{directory}/temporary"}
    process = subprocess.Popen(
        [*UMI, *words],
        env=environment(env),
        stdin=far,
        stdout=far,
        stderr=far,
        start_new_session=True,
        preexec_fn=take_terminal,
    )
    os.close(far)
    seen, waiting = b"", list(answers)
    with contextlib.suppress(OSError):  # Linux ends a pseudo-terminal with EIO
        while True:
            assert select.select([near], [], [], TIME_LIMIT_S)[0], "nothing came"
            seen += os.read(near, 65_536)
            if waiting and seen.endswith(b": "):
                os.write(near, waiting.pop(0).encode())
    os.close(near)
    return process.wait(timeout=TIME_LIMIT_S), seen


@pytest.mark.parametrize(
    ("text", "answers", "code"),
    [
        ("key show {d}/locked.pem", [f"{PASSPHRASE}\n"], 0),
        ("key show {d}/locked.pem", [f"{WRONG_PASSPHRASE}\n"], 22),
        ("key show {d}/locked.pem", [f"{PASSPHRASE}\x03"], 130),
        ("key new new.pem --passphrase prompt", [f"{PASSPHRASE}\n", f"{WRONG_PASSPHRASE}\n"], 22),
        (f"-p sim:state.json {OPEN} --key {{d}}/locked.pem auth", [f"{PASSPHRASE}\n"], 0),
        ("-p sim write scheme-1-keys[5] prompt", [f"{LITERAL_HEX}\n"], 23),
        ("-p sim write scheme-1-keys[5] prompt", [f"{PASSPHRASE}\n"], 2),
        ("-p sim write scheme-1-keys[5] prompt --no-input", [], 2),
        ("-p sim write scheme-1-keys[5] prompt --json", [], 2),
        ("key show {d}/locked.pem --no-input", [], 2),
        ("decode {frame} --session-key prompt --no-input", [], 2),
        (f"sign scheme-1-keys[5] prompt --target {{meter}} --out - {OPEN}", [], 2),
    ],
)
def test_typed_at_a_terminal(
    office: Office,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    answers: list[str],
    code: int,
) -> None:
    at_work(office, tmp_path)
    monkeypatch.chdir(tmp_path)
    ended, seen = typed([*office.line(text), "-vvv"], tmp_path, *answers)
    assert ended == code, seen.decode()
    assert seen.startswith((b"Passphrase", b"Value")) == bool(answers)
    assert office.secrets.search(seen, tmp_path) == []


# The search itself finds what it is to find

PLANTS: dict[str, Callable[[bytes], str]] = {
    "hex": lambda secret: secret.hex(),
    "HEX": lambda secret: secret.hex().upper(),
    "hex with colons": lambda secret: secret.hex(":"),
    "hex, little-endian": lambda secret: secret[::-1].hex(),
    "hexdump": lambda secret: hexdump(secret),
    "hexdump, shifted": lambda secret: hexdump(b"umi" + secret + b"!"),
    "hexdump, shifted more": lambda secret: hexdump(bytes(11) + secret),
    "base64": lambda secret: base64.b64encode(secret).decode(),
    "base64, shifted": lambda secret: base64.b64encode(b"k" + secret + b"k").decode(),
    "base64, shifted more": lambda secret: base64.b64encode(b"umi: " + secret + b"!!").decode(),
    "base64 for URLs": lambda secret: base64.urlsafe_b64encode(secret).decode(),
    "base64 in lines": lambda secret: base64.encodebytes(bytes(50) + secret).decode(),
    "decimal": lambda secret: str(int.from_bytes(secret, "big")),
    "decimal, little-endian": lambda secret: f"{int.from_bytes(secret, 'little'):,}",
    "repr": lambda secret: repr(secret),
    "repr among others": lambda secret: repr([b"'", secret + b'"']),
    "list": lambda secret: str(list(secret)),
    "raw": lambda secret: secret.decode("latin-1"),
    "JSON": lambda secret: json.dumps({"key": secret.decode("latin-1")}),
    "half": lambda secret: secret[len(secret) // 2 :].hex(),
}


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("name", ["office.pem", "service.key", "passphrase"])
def test_a_planted_leak_is_found(
    office: Office,
    umi_in: UmiIn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    plant: str,
) -> None:
    secret = office.secrets.known[name]

    def leaking(key: Any, **more: Any) -> dict[str, Any]:
        shown = PLANTS[plant](secret)
        sys.stderr.buffer.write(shown.encode("latin-1"))
        return {"type": "p256"}

    monkeypatch.setattr(key_command, "record_of", leaking)
    ran = umi_in(tmp_path / "run", office.line("key show {own} -vvv"))
    assert ran.exit == 0
    leaks = office.secrets.search(ran.output, tmp_path / "run")
    assert any(leak.startswith(f"{name} as ") for leak in leaks)
    assert office.secrets.search(b"type p256", tmp_path / "run") == []


def test_a_planted_leak_in_an_error_is_found(
    office: Office, umi_in: UmiIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong deep down shows in the causes that `-vv` prints."""

    def leaking(key: Any, **more: Any) -> dict[str, Any]:
        try:
            raise ValueError(scalar_of(key))
        except ValueError as error:
            raise RuntimeError("no") from error

    monkeypatch.setattr(key_command, "record_of", leaking)
    ran = umi_in(tmp_path / "run", office.line("key show {own} -vvv"))
    assert ran.exit == 1
    assert office.secrets.search(ran.output, tmp_path / "run") != []


def test_a_file_that_was_left_behind_is_found(office: Office, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    secret = office.secrets.known["office.pem"]
    (tmp_path / "config" / "log").write_bytes(b"x" * 1000 + secret + b"x")
    (tmp_path / secret.hex()).touch()
    found = office.secrets.search(b"", tmp_path)
    assert any(leak.endswith("in log") for leak in found)
    assert any("in the name" in leak for leak in found)
    assert not any("other" in leak for leak in found)
