"""Why did nobody answer? What was heard while signing on, and the sentence that explains it.

Protocol 8; EN 62056-21. Each finding has its own sentence, and says what to do next.
"""

from contextlib import suppress
from dataclasses import dataclass, field

from umi_cli.errors import MalformedError, NoAnswerError, SignOnError, UmiError
from umi_cli.optical.characters import count_bad_parity, with_parity, without_parity
from umi_cli.optical.messages import NAK, Identification, request

MIN_CHARACTERS = 4  # fewer prove nothing about a line
EVERYWHERE = 0.9  # the share of bad parity that noise does not reach: it spoils half
_STX = 0x02
_HDLC_FLAG = b"\x7e"
_READOUT_CHARACTERS = 6  # that many printable ones behind STX are no chance

_HEAD = (
    "check that the head sits on the port, the right way up (mostly cable down); press the meter's"
    " key, for its port may open for one minute only; a battery meter wants wakeup=std"
)
_SESSION_OPEN = "wait 60 s, or lift the head, so that the meter ends the session; then try again"


@dataclass(slots=True, kw_only=True)
class Evidence:
    """What was heard, over all attempts."""

    identification: Identification | None = None
    """The last one."""
    heard: bytes = b""
    """What else came at 300 baud before any option select, with parity in bit 7."""
    answered: bytes = b""
    """What came after an option select, at whatever rate."""
    select: str = ""
    """The last option select, `V/Y = 0/6`."""
    delays_ms: list[int] = field(default_factory=list)
    """The switch delays that were tried; none if no option select was sent."""
    asked: str = ""
    """The device address that the request named; any device if empty."""
    unanswered: int = 0
    """How many requests were not answered any more after an identification."""


def diagnose(evidence: Evidence, *, has_echo: bool) -> UmiError:
    """Return what a failed sign-on is told as.

    Args:
        evidence: what was heard.
        has_echo: the head sent back what it was given.
    """
    if evidence.identification is None:
        return _unidentified(evidence.heard, evidence.asked, has_echo=has_echo)
    return _unswitched(evidence, evidence.identification)


def _unidentified(heard: bytes, asked: str, *, has_echo: bool) -> UmiError:
    whom = f" to {asked!r}" if asked else ""
    head = f"is {asked!r} its address? device= may be left out; {_HEAD}" if asked else _HEAD
    if not heard and has_echo:
        return NoAnswerError(
            f"the head works, for it echoes, and the meter is silent{whom}: nothing but our own"
            " echo came",
            hint=f"{head}; give echo=on if the head always echoes",
        )
    if not heard:
        return NoAnswerError(f"nothing came back{whom} at all, not even an echo", hint=head)
    if with_parity(request(asked)) in heard:  # which no meter sends
        return SignOnError(
            "our own request came back: the head echoes",
            hint="leave echo=off out of the address",
        )
    if not any(heard) and len(heard) >= MIN_CHARACTERS:  # the line never rests high
        return SignOnError(
            "only a constant level came: the head is upside down, or its adapter inverts the line",
            hint="turn the head round (mostly cable down), and keep bright light off it",
        )
    if heard.count(_HDLC_FLAG) >= 2:
        return _hdlc("the meter sends HDLC frames")
    if _holds_identification(heard):
        return _wrong_parity(heard)
    if is_readout(heard):
        return _readout("the meter sends an ASCII readout unasked")
    return SignOnError(
        f"garbage came at 300 baud ({heard[:16].hex(' ')}{' …' if len(heard) > 16 else ''})",
        hint=f"a session may still be open at another rate: {_SESSION_OPEN}; else turn the head"
        " round (mostly cable down)",
    )


def _wrong_parity(heard: bytes) -> UmiError:
    bad = count_bad_parity(heard) / len(heard)
    where = "everywhere, " if bad >= EVERYWHERE else ""
    return SignOnError(
        f"an identification came, and its parity is wrong {where}in {bad:.0%} of {len(heard)}"
        " characters",
        hint="an adapter that changes bit 7 wants parity=hard; else the line is noisy, or the meter"
        " signs on otherwise than at 300 baud 7E1",
    )


def _unswitched(evidence: Evidence, meter: Identification) -> UmiError:
    answered = evidence.answered
    if not evidence.delays_ms:
        return SignOnError(
            f"{meter} offers the rate {meter.rate!r}, which mode C of EN 62056-21 does not have",
            hint="stay at 300 baud: opto:DEVICE?baud=300",
        )
    if is_readout(answered):
        return _readout(f"{meter} answered the option select with an ASCII readout")
    if is_nak(answered):
        return SignOnError(
            f"{meter} refused the option select {evidence.select} with NAK",
            hint="give the meter's own characters, such as opto:DEVICE?v=0&y=7",
        )
    if not answered and evidence.unanswered:
        return SignOnError(
            f"{meter} identified itself, and was silent from the option select {evidence.select} on"
            f", to {evidence.unanswered} more requests as well",
            hint=f"was the head lifted? {_HEAD}; or {_SESSION_OPEN}",
        )
    if answered.count(_HDLC_FLAG) >= 2 or (meter.offers_hdlc and not answered):
        return _hdlc(f"{meter} offers HDLC and did not take {evidence.select}")
    delays = ", ".join(map(str, evidence.delays_ms))
    if answered and not any(answered):
        return SignOnError(
            f"{meter} identified itself, and what came after the option select {evidence.select}"
            f" was much slower than the rate that it had offered: it did not switch",
            hint="it may refuse the characters, which baud=300 would show: it stays at 300 baud;"
            " or give the meter's own, such as opto:DEVICE?v=0&y=7",
        )
    if not answered:
        return SignOnError(
            f"{meter} identified itself, and was silent after the option select {evidence.select}"
            f" (switch delays of {delays} ms were tried)",
            hint="the change of rate was missed: try switch-delay=150, or baud=300 to stay at"
            " 300 baud; or the meter wants another Y: y=7",
        )
    return SignOnError(
        f"{meter} identified itself, and what it sent after the option select {evidence.select}"
        f" holds no UMI frame ({len(answered)} bytes)",
        hint="the line is noisy, or the change of rate was missed: try switch-delay=150, or"
        " baud=300",
    )


def _readout(what: str) -> SignOnError:
    return SignOnError(
        f"{what}: it does not know the characters that switch to UMI",
        hint="this may be no UMI meter; if it is, give its own characters: opto:DEVICE?v=0&y=7",
    )


def _hdlc(what: str) -> SignOnError:
    return SignOnError(
        f"{what}: it speaks HDLC (DLMS), not UMI",
        hint="this is no UMI meter, or its UMI wants other characters: opto:DEVICE?v=0&y=7",
    )


def _holds_identification(heard: bytes) -> bool:
    """Tell whether an identification stands in what was heard, whatever its parity."""
    for line in without_parity(heard).splitlines(keepends=True):
        with suppress(MalformedError):
            Identification.decode(line)
            return True
    return False


def is_readout(data: bytes) -> bool:
    """Tell whether STX and readable characters with even parity stand in what was heard."""
    at = data.find(_STX | 0x80)
    while at >= 0:
        behind = data[at + 1 : at + 1 + _READOUT_CHARACTERS]
        text = without_parity(behind)
        is_text = text.isascii() and text.decode("ascii").isprintable()
        if len(behind) == _READOUT_CHARACTERS and is_text and not count_bad_parity(behind):
            return True
        at = data.find(_STX | 0x80, at + 1)
    return False


def is_nak(data: bytes) -> bool:
    """Tell whether NAK is all that came; a meter may say it to each RESYNC as well."""
    return bool(data) and not without_parity(data).strip(NAK)
