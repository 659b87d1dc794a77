"""A register: what was entered is found again, what was changed is named, what a crash cut goes on.

Every byte of one is changed, and every length of one is cut; nothing of it goes unseen but what a
chain of hashes cannot see, and that the kept head sees.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.certificates.pki import DEVICE, NOW, ROOT
from umi_cli.certificates.register import NO_LINE, Entry, Register, RegisterError, SerialUsedError
from umi_cli.errors import InputError
from umi_cli.types import UmiId

E = Entry(
    time=datetime(2026, 11, 22, 10, tzinfo=UTC),
    issuer=UmiId(0xA0),
    subject=UmiId(4),
    serial=b"\x07",
    role="service",
    fingerprint=bytes(range(32)),
    operator="anna",
)


def entry(number: int) -> Entry:
    return replace(E, serial=bytes([number, 0xAB]))


def of(count: int) -> bytes:
    """Return the bytes of a register with so many entries."""
    register, data = Register(), b""
    for number in range(count):
        data += register.extend(entry(number))
    return data


THREE = of(3)
LINES = THREE.splitlines(keepends=True)


def test_an_empty_register() -> None:
    register = Register.decode(b"")
    assert (register.count, register.head, register.torn) == (0, NO_LINE, 0)


def test_the_bytes_of_a_line() -> None:
    assert LINES[0].decode() == (
        '{"fingerprint":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",'
        f'"issuer":"00000000000000A0","n":1,"operator":"anna","p":"{"0" * 64}",'
        '"role":"service","serial":"00ab","subject":"0000000000000004",'
        '"time":"2026-11-22T10:00:00Z"}\n'
    )


def test_each_line_has_the_hash_of_the_one_before() -> None:
    previous = NO_LINE
    for number, line in enumerate(LINES, 1):
        assert (json.loads(line)["n"], json.loads(line)["p"]) == (number, previous)
        previous = hashlib.sha256(line).hexdigest()
    assert Register.decode(THREE).head == previous


def test_what_was_entered_is_found() -> None:
    register = Register.decode(THREE)
    assert register.serials == {entry(number).serial: number + 1 for number in range(3)}
    with pytest.raises(SerialUsedError, match="01ab was given before, as entry 2") as caught:
        register.extend(entry(1))
    assert caught.value.exit_code == 51
    assert THREE + register.extend(entry(3)) == of(4)


def test_the_entry_of_a_certificate() -> None:
    made = Entry.of(DEVICE, time=NOW, operator="anna")
    assert (made.subject, made.serial) == (DEVICE.body.subject, DEVICE.body.serial)
    assert made.fingerprint == DEVICE.fingerprint
    assert made.role == "service"
    assert Entry.of(ROOT, time=NOW, operator="anna").role == "authority"


@pytest.mark.parametrize("name", ["", " anna", "anna ", "a}b", "a\nb", 'a"b', "x" * 65, "a\\b"])
def test_who_is_no_operator(name: str) -> None:
    with pytest.raises(InputError, match="no operator's name"):
        replace(E, operator=name)


@pytest.mark.parametrize("name", ["a", "Anna Müller", "anna@desk-3", "x" * 64])
def test_who_is_an_operator(name: str) -> None:
    line = Register().extend(replace(E, operator=name))
    assert Register.decode(line).count == 1


# What was changed


def changed(change: Callable[[list[bytes]], object]) -> bytes:
    lines = list(LINES)
    change(lines)
    return b"".join(lines)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (changed(lambda lines: lines.pop(1)), "line 2 counts 3, not 2"),
        (changed(lambda lines: lines.pop(0)), "line 1 counts 2, not 1"),
        (changed(lambda lines: lines.reverse()), "line 1 counts 3, not 1"),
        (changed(lambda lines: lines.insert(1, lines[0])), "line 2 counts 1, not 2"),
        (THREE.replace(b"00ab", b"10ab"), "line 2 does not follow"),
        (THREE.replace(b'"n":2', b'"n": 2'), "line 2 is not in its form"),
        (THREE.replace(b'"n":2', b'"n":2,"torn":0'), "line 2 is not in its form"),
        (THREE.replace(b'"n":1', b'"n":true'), "line 1 is not in its form"),
        (THREE.replace(b"02ab", b"01ab"), "line 3 gives the serial 01ab once more"),
        (LINES[0] + b"hello\n" + LINES[1], "line 2 is no line"),
        (LINES[0] + b"\n" + LINES[1], "line 2 is no line"),
        (LINES[0] + b"hello\n\n" + LINES[1], "line 2 is no line"),
        (LINES[0] + LINES[1].replace(b"}", b""), None),
        (THREE.replace(b"service", b"king"), "line 1 is no line"),
        (THREE.replace(b'"service"', b"[]"), "line 1 is no line"),
        (THREE.replace(b'"anna"', b'"an}na"'), "line 1 is no line"),
        (THREE.replace(b'"anna"', b"7"), "line 1 is no line"),
        (THREE.replace(b'"00000000000000A0"', b"160"), "line 1 is no line"),
        (THREE.replace(b'"00000000000000A0"', b'"160"'), "line 1 is not in its form"),
        (THREE.replace(b"2026-11-22", b"2026-13-22"), "line 1 is no line"),
        (THREE.replace(b"anna", b"\xff"), "line 1 is no line"),
        (b"{}\n", "line 1 is no line"),
        (b"}\n", "line 1 is no line"),
        (b"\n", "line 1 is no line"),
        (b"{'", "line 1 is no line"),
        (THREE + b'{"fingerprint":7', "line 4 is no line"),
        (LINES[0] + b'{"f\n' + LINES[1], "line 2 is no line"),
        (b'[{"n":1}]}\n', "line 1 is no line"),
        (b'{"a":' * 100_000 + b"}\n", "line 1 is no line"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_first_line_that_does_not_fit_is_named(data: bytes, said: str | None) -> None:
    if said is None:  # as if a crash had cut it
        assert Register.decode(data).torn
        return
    with pytest.raises(RegisterError, match=said) as caught:
        Register.decode(data)
    assert caught.value.exit_code == 52


def test_a_line_that_is_not_a_table() -> None:
    with pytest.raises(RegisterError, match="line 1 is no line"):
        Register.decode(b'"fingerprint }\n')


@given(st.integers(0, len(THREE) - 1), st.integers(1, 255))
def test_no_change_of_a_byte_goes_unseen(offset: int, flip: int) -> None:
    data = bytearray(THREE)
    data[offset] ^= flip
    then = Register.decode(THREE)
    with pytest.raises(RegisterError):
        Register.decode(bytes(data)).check_head(then.count, then.head)


# What was cut


@given(st.integers(1, 3), st.data())
def test_a_cut_is_recognised_and_the_next_entry_goes_on(count: int, data: st.DataObject) -> None:
    whole = of(count)
    last = whole.rindex(b"{")
    torn = whole[: data.draw(st.integers(last + 1, len(whole) - 2))]
    register = Register.decode(torn)
    assert register.count == count - 1
    assert register.torn == len(torn) - last + 1
    more = register.extend(entry(9))
    assert more.startswith(b"\n{")
    assert json.loads(more)["torn"] == len(torn) - last + 1
    after = torn + more
    assert Register.decode(after).count == count
    assert Register.decode(after + register.extend(entry(10))).count == count + 1
    with pytest.raises(RegisterError):
        Register.decode(after.replace(torn[last:], torn[last:] + b"x"))


def test_a_line_that_lacks_its_end_alone_is_a_line() -> None:
    register = Register.decode(THREE[:-1])
    assert (register.count, register.torn) == (3, 0)
    assert THREE[:-1] + register.extend(entry(3)) == of(4)


@given(st.data())
def test_cut_again_while_it_goes_on(data: st.DataObject) -> None:
    first = THREE[: -data.draw(st.integers(2, len(LINES[2]) - 1))]
    more = Register.decode(first).extend(entry(9))
    second = first + more[: data.draw(st.integers(1, len(more) - 2))]
    register = Register.decode(second)
    assert register.count == 2
    third = second + register.extend(entry(9))
    assert Register.decode(third).count == 3
    with pytest.raises(RegisterError):
        Register.decode(third.replace(b'"torn":', b'"torn":1'))


def test_a_piece_before_the_first_line() -> None:
    register = Register.decode(b'{"finger')
    data = b'{"finger' + register.extend(entry(1))
    assert Register.decode(data).count == 1
    assert json.loads(data.splitlines()[1])["p"] == hashlib.sha256(b'{"finger\n').hexdigest()


def test_entries_cut_off_at_the_end_are_missed_by_who_kept_the_head() -> None:
    then, cut = Register.decode(THREE), Register.decode(b"".join(LINES[:2]))
    with pytest.raises(RegisterError, match="entry 3 was there, and the register ends at 2"):
        cut.check_head(then.count, then.head)
    cut.extend(entry(7))
    with pytest.raises(RegisterError, match="entry 3 is not what it was"):
        cut.check_head(then.count, then.head)
    then.check_head(2, Register.decode(b"".join(LINES[:2])).head)
    then.check_head(0, NO_LINE)


@given(st.binary(min_size=17, max_size=200))
def test_garbage_is_named(data: bytes) -> None:
    with pytest.raises(RegisterError):
        Register.decode(data)
