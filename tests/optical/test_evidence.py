"""Each way to fail has its own sentence, its own hint, and the exit code of its kind (A9)."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.errors import NoAnswerError, SignOnError, UmiError
from umi_cli.optical.characters import with_parity
from umi_cli.optical.evidence import Evidence, diagnose, is_nak, is_readout
from umi_cli.optical.messages import Identification, request

METER = Identification(manufacturer="ELS", rate="5", ident="EI4")
DLMS = Identification(manufacturer="ELS", rate="5", ident="EI4", escapes="2")
READOUT = with_parity(b"\x02F.F(00)\r\n!\r\n\x03")
HDLC = b"\x7e\xa0\x07\x03\x21\x93\x0f\x01\x7e"
IDENTIFICATION = with_parity(b"/ELS5EI4\r\n")
WRONG_PARITY = bytes(code ^ 0x80 for code in with_parity(b"/ELS5EI4\r\n"))
OPEN_SESSION = bytes.fromhex("98 66 80 18 e6 78 1e")


def heard(data: bytes, *, has_echo: bool = False) -> UmiError:
    return diagnose(Evidence(heard=data), has_echo=has_echo)


def answered(data: bytes, meter: Identification = METER) -> UmiError:
    evidence = Evidence(
        identification=meter, answered=data, select="V/Y = 0/6", delays_ms=[50, 0, 100, 250]
    )
    return diagnose(evidence, has_echo=False)


REQUEST = with_parity(request("12345"))
NULS = Evidence(identification=METER, answered=bytes(4), select="V/Y = 0/6", delays_ms=[50, 0])
LIFTED = Evidence(identification=METER, select="V/Y = 0/6", delays_ms=[50], unanswered=3)

FINDINGS = {
    "another address": (
        diagnose(Evidence(asked="12345"), has_echo=False),
        NoAnswerError,
        14,
        "nothing came back to '12345'",
        "is '12345' its address",
    ),
    "another address, with an echo": (
        diagnose(Evidence(asked="12345"), has_echo=True),
        NoAnswerError,
        14,
        "the meter is silent to '12345'",
        "is '12345' its address",
    ),
    "echo that was denied": (
        diagnose(Evidence(heard=REQUEST + IDENTIFICATION, asked="12345"), has_echo=False),
        SignOnError,
        16,
        "our own request came back",
        "echo=off",
    ),
    "lifted": (
        diagnose(LIFTED, has_echo=False),
        SignOnError,
        16,
        "silent from the option select V/Y = 0/6 on, to 3 more requests",
        "was the head lifted",
    ),
    "slow": (
        diagnose(NULS, has_echo=False),
        SignOnError,
        16,
        "V/Y = 0/6 was much slower",
        "baud=300",
    ),
    "nothing": (heard(b""), NoAnswerError, 14, "not even an echo", "right way up"),
    "echo": (heard(b"", has_echo=True), NoAnswerError, 14, "the meter is silent", "echo=on"),
    "dark": (heard(bytes(4)), SignOnError, 16, "constant level", "turn the head round"),
    "hdlc": (heard(HDLC), SignOnError, 16, "sends HDLC frames", "no UMI meter"),
    "parity": (
        heard(WRONG_PARITY),
        SignOnError,
        16,
        "parity is wrong everywhere, in 100% of 10 characters",
        "parity=hard",
    ),
    "readout": (heard(READOUT), SignOnError, 16, "readout unasked", "give its own characters"),
    "garbage": (
        heard(OPEN_SESSION),
        SignOnError,
        16,
        r"garbage came at 300 baud \(98 66 80 18 e6 78 1e\)",
        "wait 60 s",
    ),
    "no switch": (
        answered(b""),
        SignOnError,
        16,
        r"ELS EI4 .* silent after the option select V/Y = 0/6 .*50, 0, 100, 250 ms",
        "switch-delay=150",
    ),
    "no rate": (
        diagnose(Evidence(identification=replace(METER, rate="E")), has_echo=False),
        SignOnError,
        16,
        "ELS EI4 offers the rate 'E', which mode C of EN 62056-21 does not have",
        "baud=300",
    ),
    "fell back": (
        answered(READOUT),
        SignOnError,
        16,
        "ELS EI4 answered the option select with an ASCII readout",
        "give its own characters",
    ),
    "nak": (answered(b"\x95"), SignOnError, 16, "refused .* V/Y = 0/6 with NAK", "own characters"),
    "hdlc only": (answered(b"", DLMS), SignOnError, 16, "offers HDLC .* V/Y = 0/6", "no UMI meter"),
    "noise": (answered(b"\x11\x22"), SignOnError, 16, r"no UMI frame \(2 bytes\)", "noisy"),
}


@pytest.mark.parametrize("name", FINDINGS)
def test_each_finding_has_its_sentence_its_hint_and_its_exit_code(name: str) -> None:
    error, kind, exit_code, sentence, hint = FINDINGS[name]
    assert type(error) is kind
    assert error.exit_code == exit_code
    assert re.search(sentence, str(error))
    assert hint in error.hint


def test_no_two_findings_are_told_alike() -> None:
    assert len({str(error) for error, *_ in FINDINGS.values()}) == len(FINDINGS)


def test_a_constant_level_is_told_from_four_characters_on() -> None:
    """A line that never rests high is read as NUL; one that does, as nothing."""
    assert "constant level" not in str(heard(bytes(3)))
    assert "constant level" in str(heard(bytes(4)))
    assert "constant level" not in str(heard(bytes(4) + b"\x11"))
    assert "constant level" not in str(heard(4 * b"\xff"))


def test_wrong_parity_is_told_where_an_identification_can_be_read() -> None:
    """Everywhere it is from nine in ten on: noise spoils half of it."""
    for bad in range(1, 11):
        damaged = WRONG_PARITY[:bad] + with_parity(WRONG_PARITY)[bad:]
        where = "wrong everywhere, in" if bad >= 9 else "wrong in"
        assert f"{where} {bad}0% of 10 characters" in str(heard(damaged))
    assert "garbage" in str(heard(WRONG_PARITY[:-1]))
    assert "wrong in" in str(heard(b"\x01\n" + WRONG_PARITY[:3] + b"\n" + WRONG_PARITY + b"\n"))


def test_one_flag_makes_no_hdlc() -> None:
    """Two of them enclose a frame."""
    assert "garbage" in str(heard(b"~abc"))
    assert "HDLC" in str(heard(b"~a~"))
    assert "no UMI frame" in str(answered(HDLC[:-1], DLMS))
    assert "HDLC" in str(answered(HDLC))


def test_a_meter_that_offers_hdlc_is_not_judged_by_it_alone() -> None:
    assert "no UMI frame" in str(answered(b"\x11", DLMS))
    assert "readout" in str(answered(READOUT, DLMS))
    assert "NAK" in str(answered(b"\x95", DLMS))


def test_long_garbage_is_shown_by_its_beginning() -> None:
    assert str(heard(OPEN_SESSION * 2)).endswith("(98 66 80 18 e6 78 1e 98 66 80 18 e6 78 1e)")
    assert str(heard(OPEN_SESSION * 3)).endswith("1e 98 66 …)")
    assert str(heard((OPEN_SESSION * 3)[:16])).endswith("1e 98 66)")


def test_what_came_counts_more_than_an_echo() -> None:
    assert "garbage" in str(heard(OPEN_SESSION, has_echo=True))


def test_a_readout_is_stx_and_six_readable_characters() -> None:
    assert is_readout(READOUT)
    assert is_readout(READOUT[:7])
    assert is_readout(b"\x11\x82" + b"\x82\xff" + READOUT)
    for other in (
        b"",
        b"\x82",
        READOUT[:6],
        READOUT[1:],
        b"\x02" + READOUT[1:],  # STX without its parity
        with_parity(b"\x02F.F\x00(0"),
        b"\x82" + b"F.F(00",  # some of them without theirs
    ):
        assert not is_readout(other)


def test_nak_is_all_that_came() -> None:
    """To the option select, and perhaps to each RESYNC and break behind it."""
    assert is_nak(b"\x95")
    assert is_nak(b"\x15")
    assert is_nak(b"\x95\x95\x95")
    for other in (b"", b"\x95\x00", b"\x94", b"\x95\x00\x95"):
        assert not is_nak(other)


meters = st.builds(
    Identification,
    manufacturer=st.just("ELS"),
    rate=st.sampled_from("05Ex"),
    ident=st.sampled_from(["", "EI4"]),
    escapes=st.sampled_from(["", "2"]),
)
bytes_of_a_line = st.binary(max_size=40) | st.sampled_from([READOUT, HDLC, b"\x95", bytes(9)])
all_evidence = st.builds(
    Evidence,
    identification=st.none() | meters,
    heard=bytes_of_a_line,
    answered=bytes_of_a_line,
    select=st.sampled_from(["", "V/Y = 0/6"]),
    delays_ms=st.lists(st.integers(0, 400), max_size=4),
)


@given(all_evidence, st.booleans())
def test_whatever_was_heard_is_told_with_a_next_step(evidence: Evidence, has_echo: bool) -> None:
    error = diagnose(evidence, has_echo=has_echo)
    assert isinstance(error, NoAnswerError | SignOnError)
    assert isinstance(error, NoAnswerError) == (
        evidence.identification is None and not evidence.heard
    )
    assert str(error).isprintable()
    assert error.hint
