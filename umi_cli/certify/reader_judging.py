"""What judges of readers have in common: who repeated what, who waited, who believed what."""

from umi_cli.application.codes import PacketType
from umi_cli.application.commands import ReadObject
from umi_cli.certify.bench import describe
from umi_cli.certify.case import expect, fail
from umi_cli.certify.reader_record import Asked, Conversation, Passage
from umi_cli.link.frame import FrameType
from umi_cli.types import UmiCode

LEAST_PAUSE_S = 0.05  # choice: who comes back sooner to who is busy has not waited at all
UMI_ID_OBJECT = UmiCode(0)
_BY_THE_WAY = (
    PacketType.NO_OPERATION,
    PacketType.COMPLETE,
    PacketType.S1_AUTH_REQUEST,
    PacketType.S1_AUTH_REPLY,
    PacketType.S1_AUTH_LOGOUT,
    PacketType.S2_START_SESSION,
    PacketType.S2_END_SESSION,
    PacketType.S2_GET_CERTIFICATE,
    PacketType.S2_ADD_CERTIFICATE,
)
"""What a reader asks for that begins anew or takes its leave, rather than for its user."""


def expect_same_frame_again(talk: Conversation) -> None:
    """Go on if the frame that the trick answered came again, to the letter, before any other."""
    struck = talk.struck
    after = talk.sent(after=talk.strike.order)
    what = f"{describe(struck.frame)}, whose answer could not be taken,"
    expect(bool(after), f"{what} was not repeated: nothing came after it")
    expect(
        after[0].frame == struck.frame,
        f"{what} was not repeated: {describe(after[0].frame)} came in its place"
        + (", with other bytes" if describe(after[0].frame) == describe(struck.frame) else ""),
    )


def repeats_of(talk: Conversation, struck: Passage) -> int:
    """Return how often a frame came again before any other frame of the reader's."""
    repeats = 0
    for each in talk.sent(after=struck.order):
        if each.frame != struck.frame:
            break
        repeats += 1
    return repeats


def expect_waits(talk: Conversation, command: Passage, *, may_repeat: bool) -> None:
    """Go on if the reader did nothing else until its command was answered.

    Args:
        command: the reader's frame.
        may_repeat: its frame may come again.
    """
    answers = [
        each
        for each in talk.answered(after=command.order)
        if each.is_response and each.frame.sequence == command.frame.sequence
    ]
    due = answers[0].order if answers else None
    what = f"before {describe(command.frame)} was answered"
    for each in talk.sent(after=command.order, before=float("inf") if due is None else due):
        is_repeat = each.frame == command.frame
        expect(
            is_repeat and may_repeat,
            f"{what}, the reader {'sent it again' if is_repeat else 'went on'}: "
            f"{describe(each.frame)} came {each.at_s - command.at_s:.3f} s after it",
        )
    hung_up = [order for order in talk.hang_ups if order > command.order]
    expect(not hung_up or (due is not None and due < hung_up[0]), f"{what}, the reader hung up")
    expect(due is not None, f"{what}, the conversation ended")


def expect_not_believed(talk: Conversation) -> None:
    """Go on if the reader asked again for what was answered wrongly, or gave up."""
    struck = talk.struck_command
    for each in talk.asked_after(talk.strike.order):
        if each.is_same_as(struck):
            break
        if is_meant(each):
            fail(f"{struck.title} was not asked for again: the reader went on with {each.title}")
    expect_no_false_success(talk)


def expect_no_false_success(talk: Conversation) -> None:
    """Go on unless the reader ended well with what the trick had answered."""
    struck = talk.struck_command
    is_again = any(each.is_same_as(struck) for each in talk.asked_after(talk.strike.order))
    if talk.exit == 0 and not is_again:
        fail(f"{struck.title} was not asked for again, and the reader's command ended with 0")


def is_meant(asked: Asked) -> bool:
    """Tell whether a command is for the reader's user, and not by the way."""
    command = asked.command
    if isinstance(command, ReadObject) and command.code == UMI_ID_OBJECT:
        return False
    return asked.packet_type not in _BY_THE_WAY


def is_command(passage: Passage) -> bool:
    """Tell whether a frame of the reader's carries a command, or a part of one."""
    return passage.frame.frame_type in (FrameType.SIMPLE, FrameType.FRAGMENT)
