"""Scenarios with a response that is longer than a frame (protocol 2.4)."""

from umi_cli.certify.bench import describe
from umi_cli.certify.case import Level, expect
from umi_cli.certify.long_packets import fragment_in, in_words
from umi_cli.certify.reader_case import End, Task, reader_case
from umi_cli.certify.reader_judging import expect_no_false_success, expect_same_frame_again
from umi_cli.certify.reader_record import Conversation, Passage
from umi_cli.link.fragment import Fragment, FragmentType
from umi_cli.link.frame import FrameType

_TAKEN = (FragmentType.NEXT, FragmentType.ACK)


@reader_case(
    "RDR-020",
    "each fragment of a long response is taken with NEXT, and the last one with ACK",
    level=Level.LINK,
    clause="2.4",
    mark="C",
    trick="long-response",
    task=Task.LONG,
    sends="a response in FIRST, MIDDLE ... and LAST",
    expects="FRAGMENT_RESPONSE under the sequence of each: NEXT, and ACK for LAST",
    advice="Repeat the sequence of the fragment that is taken; its four bytes carry no data.",
)
def _taken(talk: Conversation) -> None:
    seen = None
    for each in talk.answered(after=talk.strike.order):
        if each.frame.frame_type == FrameType.FRAGMENT and each.frame != seen:
            seen = each.frame
            _check_taken(talk, each)


def _check_taken(talk: Conversation, fragment: Passage) -> None:
    """Go on if a fragment of the meter's was taken as it has to be."""
    what = describe(fragment.frame)
    after = [each for each in talk.sent(after=fragment.order) if each.line == fragment.line]
    expect(bool(after), f"{what} was not taken: nothing came after it")
    answer, sent = after[0].frame, fragment.frame
    is_answer = answer.frame_type == FrameType.FRAGMENT_RESPONSE
    expect(is_answer, f"{what} was answered with {describe(answer)}")
    expect(
        (answer.sequence, answer.destination, answer.source)
        == (sent.sequence, sent.source, sent.destination),
        f"{what} was taken with {describe(answer)}: sequence and addresses are not the fragment's",
    )
    is_last = fragment_in(sent).fragment_type is FragmentType.LAST
    due = Fragment(fragment_type=FragmentType.ACK if is_last else FragmentType.NEXT)
    found = fragment_in(answer)
    expect(found == due, f"{what} was taken with {in_words(found)} where {in_words(due)} is due")


@reader_case(
    "RDR-021",
    "a fragment that was lost is asked for again",
    level=Level.LINK,
    clause="2.4",
    mark="C",
    trick="fragment-lost",
    task=Task.LONG,
    sends="nothing for the first NEXT; the second fragment when it comes again",
    expects="the same FRAGMENT_RESPONSE again",
    advice="The commander alone has timers: repeat what called for the fragment.",
)
def _lost(talk: Conversation) -> None:
    expect_same_frame_again(talk)


@reader_case(
    "RDR-022",
    "a fragment that arrives twice is joined once",
    level=Level.LINK,
    clause="2.4",
    mark="C",
    trick="fragment-doubled",
    task=Task.LONG,
    sends="the second fragment of a response twice",
    expects="the response put together, and its LAST taken",
    advice="A fragment under a sequence that was taken already is a repeat: drop it.",
)
def _doubled(talk: Conversation) -> None:
    last = _last_of_struck(talk)
    is_taken = last is not None and _is_taken(talk, last)
    expect(is_taken, "the response was not taken to its end: its LAST has no ACK")


def _last_of_struck(talk: Conversation) -> Passage | None:
    """Return the last fragment of the response that the trick spoilt; None if it did not come."""
    order = talk.strike.order
    for each in (each for each in talk.frames if each.order > order):
        kind = each.frame.frame_type
        if each.way == "in" and kind != FrameType.FRAGMENT_RESPONSE:
            return None  # the reader has begun anew
        is_fragment = each.way == "out" and kind == FrameType.FRAGMENT
        if is_fragment and fragment_in(each.frame).fragment_type is FragmentType.LAST:
            return each
    return None


def _is_taken(talk: Conversation, last: Passage) -> bool:
    """Tell whether the reader's next frame takes a fragment."""
    after = talk.sent(after=last.order)
    if not after or after[0].frame.frame_type != FrameType.FRAGMENT_RESPONSE:
        return False
    is_its = after[0].frame.sequence == last.frame.sequence
    return is_its and fragment_in(after[0].frame).fragment_type in _TAKEN


def _check_length(talk: Conversation) -> None:
    """Go on if the response whose length is wrong was not taken to its end."""
    last = _last_of_struck(talk)
    expect(
        last is None or not _is_taken(talk, last),
        "the reader took LAST, though the bytes are not as many as FIRST announced",
    )
    expect_no_false_success(talk)


@reader_case(
    "RDR-023",
    "a response that is shorter than FIRST announced is refused",
    level=Level.LINK,
    clause="2.4",
    mark="C",
    trick="fragments-fewer",
    task=Task.LONG,
    end=End.EITHER,
    sends="a response in fragments, 20 bytes shorter than FIRST says",
    expects="LAST is not taken: a fragment ERROR 2, or a RESYNC",
    advice="Count what has come, and compare it with the length of FIRST when LAST is there.",
)
def _fewer(talk: Conversation) -> None:
    _check_length(talk)


@reader_case(
    "RDR-024",
    "a response that is longer than FIRST announced is refused",
    level=Level.LINK,
    clause="2.4",
    mark="C",
    trick="fragments-more",
    task=Task.LONG,
    end=End.EITHER,
    sends="a response in fragments, 20 bytes longer than FIRST says",
    expects="the fragment that is too much is not taken: a fragment ERROR 2, or a RESYNC",
    advice="The length of FIRST bounds the memory of a response: write nothing past it.",
)
def _more(talk: Conversation) -> None:
    _check_length(talk)


@reader_case(
    "RDR-025",
    "a fragment error ends the response",
    level=Level.LINK,
    clause="2.4",
    mark="C",
    trick="fragments-ended",
    task=Task.LONG,
    end=End.EITHER,
    sends="fragment ERROR 3, terminated, in place of the second fragment",
    expects="no further NEXT or ACK; another command, or nothing",
    advice="What has come so far is no response: drop it, and ask again.",
)
def _ended(talk: Conversation) -> None:
    after = talk.sent(after=talk.strike.order)
    is_asking = bool(after) and after[0].frame.frame_type == FrameType.FRAGMENT_RESPONSE
    expect(
        not is_asking or fragment_in(after[0].frame).fragment_type not in _TAKEN,
        f"after the error the reader went on with {describe(after[0].frame) if after else ''}",
    )
    expect_no_false_success(talk)
