"""The sources of secrets; and what looks like a secret is never repeated."""

import os
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli import files
from umi_cli.errors import KeyUnusableError
from umi_cli.security.sources import SecretSource, SourceKind

WHAT = "passphrase of the key"


def descriptor_with(data: bytes) -> int:
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    return reader


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "pin"
    files.write_atomically(path, b"s3cret\n", mode=0o600)
    return path


def test_a_file(secret_file: Path) -> None:
    for text in (f"{secret_file}", f"file:{secret_file}"):
        source = SecretSource.parse(text)
        assert source.kind is SourceKind.FILE
        assert source.read(WHAT) == b"s3cret\n"
        assert source.read_text(WHAT) == b"s3cret"


def test_a_file_in_the_home_directory(secret_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(secret_file.parent))
    assert SecretSource.parse("~/pin").read_text(WHAT) == b"s3cret"


def test_a_file_that_others_can_read_is_refused(secret_file: Path) -> None:
    secret_file.chmod(0o644)
    with pytest.raises(KeyUnusableError, match="open to other users"):
        SecretSource.parse(str(secret_file)).read(WHAT)


def test_a_descriptor() -> None:
    reader = descriptor_with(b"s3cret\r\n")
    assert SecretSource.parse(f"fd:{reader}").read_text(WHAT) == b"s3cret"
    os.fstat(reader)  # still open: it is not ours
    os.close(reader)
    with pytest.raises(KeyUnusableError, match="Bad file descriptor"):
        SecretSource.parse(f"fd:{reader}").read(WHAT)


def test_stdin() -> None:
    assert SecretSource.parse("-") == SecretSource.parse("fd:0")


def test_a_descriptor_without_end_is_refused() -> None:
    with open("/dev/zero", "rb") as endless, pytest.raises(KeyUnusableError, match="too much"):
        SecretSource.parse(f"fd:{endless.fileno()}").read(WHAT)


def test_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    source = SecretSource.parse("env:UMI_TEST_PIN")
    assert source.read(WHAT, environ={"UMI_TEST_PIN": "s3cret"}) == b"s3cret"
    monkeypatch.setenv("UMI_TEST_PIN", "other")
    assert source.read(WHAT) == b"other"
    with pytest.raises(KeyUnusableError, match="no environment variable UMI_TEST_PIN"):
        source.read(WHAT, environ={})


def test_a_prompt() -> None:
    asked: list[str] = []

    def ask(what: str) -> str:
        asked.append(what)
        return "s3cret"

    assert SecretSource.parse("prompt").read(WHAT, ask=ask) == b"s3cret"
    assert asked == [WHAT]
    with pytest.raises(KeyUnusableError, match="nobody may be asked"):
        SecretSource.parse("prompt").read(WHAT)


@pytest.mark.parametrize("value", ["", "\n", "\r\n"])
def test_an_empty_secret_is_refused(value: str) -> None:
    with pytest.raises(KeyUnusableError, match="is empty"):
        SecretSource.parse("env:PIN").read_text(WHAT, environ={"PIN": value})


def test_a_token_is_no_source_of_a_secret() -> None:
    with pytest.raises(KeyUnusableError, match="gives no secret away") as caught:
        SecretSource.parse("pkcs11:token=umi?pin-value=1234")
    assert "1234" not in str(caught.value)


@pytest.mark.parametrize("text", ["fd:x", "fd:-1", "fd:123456", "env:1A", "env:a b"])
def test_explicit_sources_have_a_form(text: str) -> None:
    with pytest.raises(KeyUnusableError, match="wants the n"):
        SecretSource.parse(text)


LITERALS = [
    "",
    "2b7e151628aed2a6abf7158809cf4f3c",
    "2B7E151628AED2A6ABF7158809CF4F3C",
    "0x2b7e151628aed2a6",
    "2b:7e:15:16:28:ae",
    "2b 7e 15 16 28 ae",
    "123456",
    "hex:2b7e",
    "pass:hunter2",
    "-----BEGIN PRIVATE KEY-----\nMIGH\n",
]


@pytest.mark.parametrize("text", LITERALS)
def test_a_literal_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(KeyUnusableError, match="cannot stand on the command line") as caught:
        SecretSource.parse(text)
    assert caught.value.exit_code == 22
    assert not text or text not in str(caught.value) + caught.value.hint


@given(st.text(min_size=9, max_size=300, alphabet=st.characters(exclude_characters="\0/~")))
def test_what_is_no_file_is_not_repeated(text: str) -> None:
    # Hypothesis tries words of the sources too: what is called so must not be there.
    with TemporaryDirectory() as empty, chdir(empty), pytest.raises(KeyUnusableError) as caught:
        SecretSource.parse(text).read(WHAT, environ={})
    message = str(caught.value) + caught.value.hint
    assert text not in message or text.startswith(("env:", "file:", "fd:"))


def test_sources_show_nothing() -> None:
    assert "hunter2" not in repr(SecretSource.parse("hunter2"))
