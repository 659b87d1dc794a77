"""Real tokens for the tests: SoftHSM in a directory of its own, with keys that are known."""

import glob
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

from umi_cli.crypto import PrivateKey

PIN = "tok3n-P1N-q7Xw2LdZ"
WRONG_PIN = "wr0ng-P1N-b5Ty9RfK"
SO_PIN = "s0-P1N-m4Ne6UcH"
MUST_RUN = "HSM_TESTS_MUST_RUN"
"""In the environment: these tests fail where they cannot run."""

_PLACES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/*/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
_WRITER = """
import json, os, sys
from pkcs11 import Attribute as A, KeyType, ObjectClass, lib
module, label, keys = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
with lib(module).get_token(token_label=label).open(rw=True, user_pin=os.environ["PIN"]) as session:
    for key in keys:
        if key["curve"] == "rsa":
            session.generate_keypair(KeyType.RSA, 1024, label=key["label"], store=True)
            continue
        common = {A.KEY_TYPE: KeyType.EC, A.TOKEN: True, A.LABEL: key["label"]}
        common |= {A.EC_PARAMS: bytes.fromhex(key["curve"]), A.ID: bytes.fromhex(key["id"])}
        session.create_object(common | {
            A.CLASS: ObjectClass.PRIVATE_KEY, A.PRIVATE: True, A.SENSITIVE: True,
            A.EXTRACTABLE: False, A.VALUE: bytes.fromhex(key["scalar"]),
            A.SIGN: key["signs"], A.DERIVE: key["derives"],
        })
        if key["point"]:
            session.create_object(common | {
                A.CLASS: ObjectClass.PUBLIC_KEY, A.EC_POINT: bytes.fromhex(key["point"]),
                A.LABEL: key["public_label"], A.ID: bytes.fromhex(key["public_id"]),
            })
"""
P256 = "06082a8648ce3d030107"


@cache
def module() -> str:
    """Return SoftHSM's module; nothing if there is none."""
    found = [path for place in _PLACES for path in glob.glob(place)]
    return found[0] if found and shutil.which("softhsm2-util") else ""


def why_not() -> str:
    """Say what is missing here: the reason of a skipped test, or nothing."""
    if not module():
        return "SoftHSM is not installed (Debian: softhsm2)"
    if importlib.util.find_spec("pkcs11") is None:
        return "python-pkcs11 is not installed (the extra hsm)"
    return ""


def needed() -> None:
    """Skip a test that cannot run here, or fail it where it must."""
    reason = why_not()
    if reason:
        _cannot_run(reason)


def _cannot_run(reason: str) -> NoReturn:
    if os.environ.get(MUST_RUN):
        pytest.fail(reason)
    pytest.skip(reason)


def key(label: str, private: PrivateKey | None = None, **changes: object) -> dict[str, object]:
    """Return a key as it is written into a token."""
    private = private or PrivateKey.generate()
    number = label.encode().hex()
    whole: dict[str, object] = {
        "label": label,
        "id": number,
        "curve": P256,
        "scalar": private.to_pkcs8()[36:68].hex(),
        "point": "0441" + private.public_point.hex(),
        "public_label": label,
        "public_id": number,
        "signs": True,
        "derives": True,
    }
    return whole | changes


@dataclass(frozen=True, slots=True)
class Tokens:
    """SoftHSM's tokens in a directory."""

    path: Path

    @property
    def environment(self) -> Mapping[str, str]:
        """Return what a process needs to see them."""
        return {"SOFTHSM2_CONF": str(self.path / "softhsm2.conf")}

    def add(self, label: str, *keys: dict[str, object]) -> None:
        """Make a token with these keys."""
        words = ["--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", SO_PIN]
        self._run("softhsm2-util", *words)
        if keys:
            words = [sys.executable, "-c", _WRITER, module(), label, json.dumps(keys)]
            self._run(*words)

    def uri(self, name: str, *, pin: str = "", path: str = "") -> str:
        """Return the URI of a key; its path is `token=umi;object=NAME` unless it has an `=`."""
        name = name if "=" in name else f"token=umi;object={name}"
        source = pin or f"file:{self.path}/pin"
        return f"pkcs11:{name}?module-path={path or module()}&pin-source={source}"

    def _run(self, *words: str) -> None:
        env = {**os.environ, **self.environment, "PIN": PIN}
        subprocess.run(words, env=env, check=True, capture_output=True)


def tokens_in(path: Path) -> Tokens:
    """Make a place for tokens, and the files with right and wrong PINs."""
    (path / "tokens").mkdir(parents=True)
    lines = (f"directories.tokendir = {path}/tokens", "objectstore.backend = file")
    (path / "softhsm2.conf").write_text("\n".join((*lines, "log.level = ERROR\n")))
    for name, text in (("pin", f"{PIN}\n"), ("wrong-pin", WRONG_PIN), ("no-text", "\udcff\udcfe")):
        (path / name).touch(mode=0o600)
        (path / name).write_text(text, errors="surrogateescape")
    return Tokens(path)


@contextmanager
def seen(tokens: Tokens) -> Iterator[None]:
    """Let this process see the tokens, and no modules be loaded before or after."""
    kept = {name: os.environ.get(name) for name in tokens.environment}
    os.environ.update(tokens.environment)
    unload()
    try:
        yield
    finally:
        unload()
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


def unload() -> None:
    """Unload all modules; their sessions end."""
    import pkcs11

    for path in list(pkcs11._loaded):
        pkcs11.unload(path)


def faulty(directory: Path) -> str:
    """Compile the module that fails where it is told to; skip the test without a compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        _cannot_run("no C compiler (gcc) was found")
    made = directory / "faulty_token.so"
    source = Path(__file__).with_name("faulty_token.c")
    flags = ("-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-o")
    subprocess.run([compiler, *flags, str(made), str(source), "-ldl"], check=True)
    return str(made)
