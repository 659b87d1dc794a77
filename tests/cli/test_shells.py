"""Completion in real shells: what a person types, what TAB makes of it, what `umi` is run with."""

from collections.abc import Iterator

import pytest

from tests.cli.typist import Shell

pytest.importorskip("pty")
SHELLS = ["bash", "zsh", "fish"]


@pytest.fixture(scope="module", params=SHELLS)
def started(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shell]:
    home = tmp_path_factory.mktemp(request.param)
    (home / "meter.json").write_text("{}", encoding="utf-8")
    (home / "own key.pem").write_text("", encoding="utf-8")
    shell = Shell(request.param, home)
    yield shell
    shell.close()


@pytest.fixture
def shell(started: Shell) -> Shell:
    started.clear()
    return started


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("umi rea\t", ["read"]),
        ("umi provision stat\t", ["provision", "status"]),
        ("umi read --dry\t", ["read", "--dry-run"]),
        ("umi -p sim read manu\t", ["-p", "sim", "read", "manufacturer-id"]),
        ("umi read manufacturer-id/ser\t", ["read", "manufacturer-id/serial"]),
        ("umi read 'manufacturer-id/ser\t", ["read", "manufacturer-id/serial"]),
        ("umi read 'profile-table[0:3]/rea\t", ["read", "profile-table[0:3]/reading"]),
        ("umi read manu\t/ser\t", ["read", "manufacturer-id/serial"]),
        ("umi read counte\t-v", ["read", "counter", "-v"]),
        ("umi -p tcp-\t4059", ["-p", "tcp-listen:4059"]),
        ("umi -p sim:me\tinfo", ["-p", "sim:meter.json", "info"]),
        ("umi --port=sim:me\tinfo", ["--port=sim:meter.json", "info"]),
        ("umi --key own\tinfo", ["--key", "own key.pem", "info"]),
        ("umi --key file:own\tinfo", ["--key", "file:own key.pem", "info"]),
        ("umi --key=own\tinfo", ["--key=own key.pem", "info"]),
        ("umi --role manuf\tinfo", ["--role", "manufacturer", "info"]),
        ("UMI_PORT=sim umi read manu\t", ["read", "manufacturer-id"]),
        ("true; umi -p sim:me\t", ["-p", "sim:meter.json"]),
    ],
)
def test_tab_inserts_what_is_meant(shell: Shell, typed: str, words: list[str]) -> None:
    assert shell.words_after(typed) == words


def test_tab_lists_the_ports(shell: Shell) -> None:
    shell.type("umi -p \t\t")
    for port in ("sim:", "auto", "opto:", "serial:", "spi:", "tcp:", "tcp-listen:"):
        shell.see(port)


def test_tab_lists_the_commands(shell: Shell) -> None:
    shell.type("umi re\t\t")
    shell.see("read ")
