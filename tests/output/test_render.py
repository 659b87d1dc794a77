"""Tables, CSV, raw lines, JSON; streams that do not fail."""

import csv
import io
import json
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.errors import InputError
from umi_cli.output import streams
from umi_cli.output.hexdump import hexdump
from umi_cli.output.render import (
    BLOCK_ROWS,
    Table,
    View,
    cell,
    csv_lines,
    json_line,
    table_lines,
    to_plain,
    view_lines,
)
from umi_cli.types import Role, RoleSet, UmiCode, UmiId


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (b"\x0a\xff", "0aff"),
        (UmiId(0x00237EFE00000001), "00237EFE00000001"),
        (UmiCode(0x01010000), "umi.1.1.0.0"),
        (RoleSet.of(Role.USER), {"number": 16, "names": ["user"]}),
        (1 << 53, 1 << 53),
        ((1 << 53) + 1, "9007199254740993"),
        (-(1 << 60), "-1152921504606846976"),
        (Role.SERVICE, 5),
        (True, True),
        (None, None),
        (Decimal("0.10"), "0.10"),
        (
            datetime(2026, 11, 22, 11, 0, tzinfo=timezone(timedelta(hours=1))),
            "2026-11-22T10:00:00Z",
        ),
        ({"a": (1, b"\1")}, {"a": [1, "01"]}),
        (object, "<class 'object'>"),
    ],
)
def test_to_plain(value: object, plain: object) -> None:
    assert to_plain(value) == plain
    assert json.loads(json_line(value)) == plain


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (True, "yes"),
        (False, "no"),
        ([1, 2], "1, 2"),
        ({"a": 1, "b": None}, "a 1, b -"),
        (RoleSet.everyone(), "all"),
        (b"\x01", "01"),
        ("text", "text"),
    ],
)
def test_cell(value: object, text: str) -> None:
    assert cell(value) == text


def test_json_is_one_ascii_line() -> None:
    line = json_line({"unit": "m³", "text": "a\nb"})
    assert line.isascii()
    assert line.count("\n") == 1


def test_json_has_no_nan() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        json_line({"value": float("nan")})


TABLE = Table(columns=("name", "count"), rows=[("a", 1), ("long name", 20), ("0025", 3)])


def test_table_aligns_numbers_right_and_keeps_texts() -> None:
    assert "".join(table_lines(TABLE)).splitlines() == [
        "name       count",
        "---------  -----",
        "a              1",
        "long name     20",
        "0025           3",
    ]


def test_table_of_pairs_has_no_header() -> None:
    table = Table.pairs({"model": "EI4", "serial": "0025"}, title="who")
    assert "".join(table_lines(table)) == "who\nmodel   EI4\nserial  0025\n"
    assert next(csv_lines(table)) == "name,value\n"


def test_empty_table_is_its_header() -> None:
    table = Table(columns=("name", "count"), rows=[])
    assert "".join(table_lines(table)) == "name  count\n----  -----\n"
    assert "".join(csv_lines(table)) == "name,count\n"


def test_long_table_streams_in_one_width() -> None:
    taken = 0

    def rows() -> Iterator[tuple[int, str]]:
        nonlocal taken
        for taken in range(1, 3 * BLOCK_ROWS + 1):
            yield taken, "x"

    lines = table_lines(Table(columns=("element", "value"), rows=rows()))
    next(lines)
    assert taken == BLOCK_ROWS
    rest = list(lines)
    assert len(rest) == 3 * BLOCK_ROWS + 1
    assert {len(line) for line in rest[1:]} == {len("element  x\n")}


@given(st.lists(st.tuples(st.text(max_size=8), st.none() | st.integers() | st.text(max_size=8))))
def test_csv_reads_back(rows: list[tuple[str, object]]) -> None:
    text = "".join(csv_lines(Table(columns=("a", "b"), rows=rows)))
    header, *found = csv.reader(io.StringIO(text, newline=""))
    assert header == ["a", "b"]
    assert found == [["" if item is None else cell(item) for item in row] for row in rows]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"code": UmiCode(1), "roles": None}, "code   umi.0.0.0.1\nroles  -\n"),
        ([{"a": 1, "b": "x"}, {"a": 22, "b": "y"}], " a  b\n--  -\n 1  x\n22  y\n"),
        ("done", "done\n"),
        ([], "\n"),
    ],
)
def test_plain_view_of_data(data: object, text: str) -> None:
    assert "".join(view_lines(View.of(data), "table")) == text


def test_blocks_stand_apart() -> None:
    view = View(blocks=(Table.pairs({"a": 1}), "and so on\n"))
    assert "".join(view_lines(view, "table")) == "a  1\n\nand so on\n"
    assert "".join(view_lines(view, "csv")) == "name,value\na,1\n"


def test_raw_is_a_line_for_each_part() -> None:
    assert "".join(view_lines(View(blocks=(), raw=[b"\1\xab", b""]), "raw")) == "01ab\n\n"


@pytest.mark.parametrize("form", ["raw", "csv"])
def test_missing_forms_are_said(form: str) -> None:
    with pytest.raises(InputError):
        list(view_lines(View(blocks=("text", TABLE, TABLE)), form))  # type: ignore[arg-type]


def test_hexdump() -> None:
    assert hexdump(bytes(range(0x30, 0x42)), start=0x100, indent="  ") == (
        "  00000100  30 31 32 33 34 35 36 37  38 39 3a 3b 3c 3d 3e 3f  |0123456789:;<=>?|\n"
        "  00000110  40 41                                             |@A|"
    )
    assert hexdump(b"") == ""
    assert hexdump(b"\x00\x7f\xffa").endswith("|...a|")


class Gone(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_stdout_that_is_gone_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Gone())
    with pytest.raises(streams.OutputClosedError) as caught:
        streams.write("x")
    assert caught.value.is_broken_pipe
    streams.abandon()


def test_only_a_missing_stdout_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    streams.prepare()
    with pytest.raises(streams.OutputClosedError, match="standard output is closed"):
        streams.write("x", flush=True)
    streams.say("x")
    streams.abandon()


def test_stderr_that_is_gone_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Gone())
    streams.say("x")


def test_unencodable_text_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="cp1252"))
    streams.prepare()
    streams.write("m³ \u2713 \udcff", flush=True)
    assert raw.getvalue() == b"m\xb3 ? ?"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("variables", "is_coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"NO_COLOR": ""}, True)],
)
def test_colour_on_a_terminal_alone(
    variables: dict[str, str], is_coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (streams.paint("x", "red", Terminal()) != "x") == is_coloured
    assert streams.paint("x", "red", io.StringIO()) == "x"
