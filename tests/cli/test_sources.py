"""Bytes and secrets: where they may come from, and what is refused."""

import getpass
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from umi_cli.cli.params import BYTES, ROLE, ROLE_SET, UMI_ID, confirm
from umi_cli.cli.sources import parse_hex, read_bytes, read_secret, read_text
from umi_cli.errors import InputError, KeyUnusableError, UmiError
from umi_cli.types import Role, RoleSet, UmiId

FRAME = bytes.fromhex("01040000fe5b")


class Stdin(io.TextIOWrapper):
    """A stdin that holds these bytes."""

    def __init__(self, content: bytes, *, is_terminal: bool = False) -> None:
        super().__init__(io.BytesIO(content), encoding="utf-8")
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


def give(monkeypatch: pytest.MonkeyPatch, content: bytes, *, is_terminal: bool = False) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(content, is_terminal=is_terminal))


@pytest.mark.parametrize(
    "text",
    [
        "01040000fe5b",
        "01 04 00 00 FE 5B",
        "01:04:00:00:fe:5b",
        "0x01,0x04,0x00,0x00,0xfe,0x5b",
        "0x01040000\nfe5b\n",
        "hex:01040000fe5b",
    ],
)
def test_hex_in_any_dress(text: str) -> None:
    assert read_bytes(text) == FRAME


@pytest.mark.parametrize("text", ["", "0", "xyz", "01 0", "hex", "frame.bin"])
def test_no_hex(text: str) -> None:
    assert parse_hex(text) is None
    with pytest.raises(InputError):
        read_bytes(text)


@pytest.mark.parametrize("content", [FRAME, b"01 04 00 00\nfe 5b\n", b"0x01040000fe5b"])
def test_bytes_of_a_file_or_stdin(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "frame"
    path.write_bytes(content)
    give(monkeypatch, content)
    assert read_bytes(str(path)) == FRAME
    assert read_bytes(f"file:{path}") == FRAME
    assert read_bytes("-") == FRAME


def test_file_that_holds_text_is_bytes(tmp_path: Path) -> None:
    path = tmp_path / "certificate"
    path.write_bytes(b"plain ascii, no hex")
    assert read_bytes(str(path)) == b"plain ascii, no hex"


def test_hex_beats_a_file_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cafe").write_bytes(b"\xff")
    monkeypatch.chdir(tmp_path)
    assert read_bytes("cafe") == b"\xca\xfe"
    assert read_bytes("./cafe") == b"\xff"


@pytest.mark.parametrize("source", ["/nonexistent/frame", "file:/nonexistent/frame", "/", "hex:xy"])
def test_unreadable_bytes(source: str) -> None:
    with pytest.raises(InputError):
        read_bytes(source)


def test_text_of_stdin_loses_one_newline(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, b"two lines\n\n")
    assert read_text("-") == "two lines\n"
    assert read_text("plain") == "plain"


def test_text_of_stdin_must_be_text(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, b"\xff")
    with pytest.raises(InputError, match="no UTF-8"):
        read_text("-")


def test_secret_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("0011\n")
    path.chmod(0o600)
    assert read_secret(str(path), "the key") == "0011"
    assert read_secret(f"file:{path}", "the key") == "0011"


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_secret_that_others_can_read(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("0011\n")
    path.chmod(0o640)
    with pytest.raises(KeyUnusableError, match="open to other users"):
        read_secret(str(path), "the key")


def test_secret_of_variable_and_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "0033")
    reader, writer = os.pipe()
    os.write(writer, b"0044\n")
    os.close(writer)
    assert read_secret("env:KEY", "the key") == "0033"
    assert read_secret(f"fd:{reader}", "the key") == "0044"
    os.close(reader)


@pytest.mark.parametrize("source", ["0011aabb", "fd:x", "pkcs11:token=x", "hex:00", "prompt"])
def test_refused_sources_are_not_repeated(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, b"")
    with pytest.raises(InputError) as caught:
        read_secret(source, "the key")
    assert "0011" not in str(caught.value)
    assert caught.value.hint


def test_secret_of_stdin() -> None:
    code = "from umi_cli.cli.sources import read_secret; print(read_secret('-', 'the key'))"
    process = subprocess.run(
        [sys.executable, "-c", code], input="0022\n", capture_output=True, text=True, check=True
    )
    assert process.stdout == "0022\n"


def test_secret_that_is_no_text_shows_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environb, b"KEY", b"\xff\xfe")
    with pytest.raises(KeyUnusableError) as caught:
        read_secret("env:KEY", "the key")
    assert caught.value.__cause__ is None


def test_nobody_is_asked_where_nobody_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, b"", is_terminal=True)
    with pytest.raises(InputError, match="nobody is here to type the passphrase"):
        read_secret("prompt", "the passphrase", no_input=True)


@pytest.mark.parametrize("answer", ["0055", None])
def test_a_person_at_the_terminal_is_asked(
    answer: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(prompt: str, stream: object) -> str:
        assert prompt == "Passphrase: "
        if answer is None:
            raise EOFError
        return answer

    give(monkeypatch, b"", is_terminal=True)
    monkeypatch.setattr(getpass, "getpass", ask)
    if answer is None:
        with pytest.raises(InputError, match="not given"):
            read_secret("prompt", "the passphrase")
    else:
        assert read_secret("prompt", "the passphrase") == answer


@pytest.mark.parametrize("source", ["env:NOSUCH", "file:/nonexistent", "fd:987"])
def test_missing_sources(source: str) -> None:
    with pytest.raises(KeyUnusableError):
        read_secret(source, "the key")


def test_confirm_takes_yes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    confirm("erase it", yes=True, no_input=True)
    give(monkeypatch, b"yes\n", is_terminal=True)
    confirm("erase it", yes=False, no_input=False)


@pytest.mark.parametrize("answer", [b"n\n", b"\n", b""])
def test_confirm_is_refused(
    answer: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(monkeypatch, answer, is_terminal=True)
    with pytest.raises(InputError, match="nothing was changed"):
        confirm("erase it", yes=False, no_input=False)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "This will erase it." in captured.err


@pytest.mark.parametrize(("no_input", "is_terminal"), [(True, True), (False, False)])
def test_confirm_with_nobody_there(
    no_input: bool, is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, b"yes\n", is_terminal=is_terminal)
    with pytest.raises(InputError) as caught:
        confirm("erase it", yes=False, no_input=no_input)
    assert caught.value.hint == "answer with --yes"


def test_types_of_arguments() -> None:
    assert UMI_ID.convert("00237EFE00000004", None, None) == UmiId(0x00237EFE00000004)
    assert ROLE.convert("5", None, None) is Role.SERVICE
    assert ROLE_SET.convert("service,4", None, None) == RoleSet.of(Role.USER, Role.SERVICE)
    assert BYTES.convert("00ff", None, None) == b"\x00\xff"
    for value in (UmiId(1), Role.USER, RoleSet(1), b"x"):
        [kind] = [
            kind
            for kind, sample in ((UMI_ID, UmiId), (ROLE, Role), (ROLE_SET, RoleSet), (BYTES, bytes))
            if isinstance(value, sample)
        ]
        assert kind.convert(value, None, None) is value
    with pytest.raises(UmiError):
        ROLE.convert("king", None, None)
