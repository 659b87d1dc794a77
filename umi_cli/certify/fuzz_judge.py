"""What a device must not do in answer to a case, whatever the case is.

- What has no right CRC is not answered; what has one is answered once at most.
- Every answer is a frame; every response is a packet, with the IDs swapped and the transaction
  number of its command, and the payload of its type.
- A packet that cannot be read, is signed by nobody, or was spoilt after it was sealed, is not
  answered with OK; nothing is answered in the clear with OK inside a session.
- No certificate that nobody issued is taken, and no image that nobody signed.
"""

from collections.abc import Iterable, Sequence

from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import ImageEnd
from umi_cli.application.packet import ENVELOPE_BYTES, Envelope, Message
from umi_cli.application.payload import COMMANDS
from umi_cli.application.security_commands import S2AddCertificate
from umi_cli.certify.bench import describe, describe_result
from umi_cli.certify.fuzz_bases import Subject
from umi_cli.certify.fuzz_send import FrameExchange, Heard, PacketExchange
from umi_cli.certify.fuzz_verdict import FuzzFailure, Trouble, why_message_refused, why_refused
from umi_cli.errors import MalformedError
from umi_cli.link.frame import Frame, FrameType

_TRANSACTION = slice(22, 24)
_IN_MESSAGE = slice(1, 3)


def judge(
    subject: Subject, heard: Heard, late: Sequence[Frame], before: Sequence[bytes] = ()
) -> None:
    """Look at what came back to a case.

    Args:
        subject: the device.
        heard: what came back.
        late: frames that came afterwards, and belong to nothing else.
        before: packets whose answers may be repeated, for they came right before the case.

    Raises:
        FuzzFailure: something must not have.
    """
    judge_frames(subject, heard.frames, late, before)
    for exchange in heard.packets:
        if exchange.answer is not None:
            if heard.is_sealed:
                _judge_sealed(subject, exchange, exchange.answer)
            else:
                _judge_clear(subject, [exchange.sent], exchange.answer)


def judge_frames(
    subject: Subject,
    exchanges: Sequence[FrameExchange],
    late: Sequence[Frame],
    before: Sequence[bytes] = (),
) -> None:
    """Look at the frames that came back; arguments and errors are those of `judge`."""
    found, answered = 0, 0
    packets = list(before)
    for exchange in exchanges:
        found += exchange.seen.frames
        answered += len(exchange.answers)
        packets += exchange.seen.packets
        _judge_count(found, answered, exchange.answers)
        _judge_responses(subject, packets, exchange.answers)
    if exchanges:
        _judge_count(found, answered + len(late), late)
        _judge_responses(subject, packets, late)


def _judge_count(found: int, answered: int, answers: Sequence[Frame]) -> None:
    if answered > found:
        last = f", the last with {describe(answers[-1])}" if answers else ""
        raise FuzzFailure(
            Trouble.OBEYED,
            f"sends {answered} answers to {found} frames with a right CRC{last}",
        )


def _judge_responses(subject: Subject, packets: list[bytes], answers: Iterable[Frame]) -> None:
    for answer in answers:
        # To a commander of another address a device may repeat what it told it in an earlier case.
        is_ours = answer.destination == subject.addresses.own
        # An empty one is what a commander gets that asks for more than there is (protocol 2.4).
        if answer.frame_type == FrameType.SIMPLE_RESPONSE and answer.payload and is_ours:
            _judge_clear(subject, packets, answer.payload)


def _judge_clear(subject: Subject, packets: Sequence[bytes], answer: bytes) -> None:
    """Look at a response in the clear to one of some packets."""
    envelope, message = _decoded(answer)
    if message.argument != ResultCode.OK:
        return
    number = answer[_TRANSACTION]
    failure = FuzzFailure(
        Trouble.MALFORMED,
        f"answers {describe_result(message)} under transaction number {message.transaction},"
        " and no command that may be taken had it",
    )
    for packet in packets:
        if packet[_TRANSACTION] == number:
            try:
                _judge_answer(subject, packet, envelope, message)
            except FuzzFailure as error:  # it may be the answer to another one of that number
                failure = error
            else:
                return
    raise failure


def _judge_answer(subject: Subject, sent: bytes, envelope: Envelope, message: Message) -> None:
    """Look at a response with OK to a packet in the clear."""
    if reason := why_refused(sent):
        _refuse(message, reason)
    head = Envelope.decode(sent)
    if (head.source, head.destination) != (envelope.destination, envelope.source):
        raise FuzzFailure(
            Trouble.MALFORMED,
            f"answers {describe_result(message)} from {envelope.source} to {envelope.destination},"
            " which are not the command's UMI IDs swapped",
        )
    _judge_reply(subject, sent[ENVELOPE_BYTES:], message)


def _judge_sealed(subject: Subject, exchange: PacketExchange, answer: bytes) -> None:
    """Look at a response inside a session."""
    if exchange.opened is None:
        message = _decoded(answer)[1]
        if message.argument == ResultCode.OK:
            _refuse(message, "the session allows no answer in the clear")
        return
    message = _decoded_message(exchange.opened)
    if message.argument != ResultCode.OK:
        return
    if exchange.is_patched:
        _refuse(message, "it was changed after it was sealed, so its tag is wrong")
    if reason := why_message_refused(exchange.sent):
        _refuse(message, reason)
    if exchange.opened[_IN_MESSAGE] != exchange.sent[_IN_MESSAGE]:
        raise FuzzFailure(
            Trouble.MALFORMED,
            f"answers under transaction number {message.transaction}, which the command had not",
        )
    _judge_reply(subject, exchange.sent, message)


def _refuse(message: Message, reason: str) -> None:
    raise FuzzFailure(
        Trouble.OBEYED,
        f"answers {describe_result(message)} to a packet that must be refused: {reason}",
    )


def _decoded(packet: bytes) -> tuple[Envelope, Message]:
    try:
        return Envelope.decode(packet), Message.decode(packet[ENVELOPE_BYTES:])
    except MalformedError as error:
        failure = f"answers with what is no packet: {error}"
        raise FuzzFailure(Trouble.MALFORMED, failure) from error


def _decoded_message(data: bytes) -> Message:
    try:
        return Message.decode(data)
    except MalformedError as error:
        failure = f"seals what is no message: {error}"
        raise FuzzFailure(Trouble.MALFORMED, failure) from error


def _judge_reply(subject: Subject, sent: bytes, message: Message) -> None:
    """Look at a response with OK to a command that may have one."""
    asked = Message.decode(sent)
    kind = COMMANDS.get(asked.packet_type)
    if kind is None or message.packet_type == PacketType.WAIT:
        return
    # GET_OBJECT_ACCESS has two numbers for its response (protocol 3.2).
    is_quirk = message.packet_type == kind.TYPE == PacketType.GET_OBJECT_ACCESS
    if message.packet_type != kind.REPLY.TYPE and not is_quirk:
        raise FuzzFailure(
            Trouble.MALFORMED, f"answers {kind.TYPE.name} with {describe_result(message)}"
        )
    try:
        kind.REPLY.decode(message.payload)
        command = kind.decode(asked.payload)
    except MalformedError as error:
        failure = f"answers {kind.TYPE.name} with a payload that is none: {error}"
        raise FuzzFailure(Trouble.MALFORMED, failure) from error
    if isinstance(command, ImageEnd) and command.is_valid:
        _refuse(message, "nobody that it can know has signed this image")
    if isinstance(command, S2AddCertificate) and not (
        subject.trusts_nobody or command.certificate in subject.chain
    ):
        _refuse(message, "nobody has issued this certificate")
