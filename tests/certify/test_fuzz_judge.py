"""What a device must not do in answer to a case, rule by rule, and on meters that break them."""

from dataclasses import replace
from typing import Any

import pytest

from tests.certify.fuzz_world import FuzzWorld
from tests.certify.test_fuzz_make import ADDRESSES, GUEST, message
from umi_cli.application.codes import PacketType
from umi_cli.application.commands import ImageEnd, NoOperation, ReadObject
from umi_cli.application.packet import Envelope, Message
from umi_cli.application.payload import Command
from umi_cli.application.security_commands import S2AddCertificate
from umi_cli.certify.fuzz_bases import packet_of
from umi_cli.certify.fuzz_case import FuzzLayer
from umi_cli.certify.fuzz_judge import judge
from umi_cli.certify.fuzz_model import Seen
from umi_cli.certify.fuzz_send import FrameExchange, Heard, PacketExchange
from umi_cli.certify.fuzz_verdict import FuzzFailure, Trouble, why_refused
from umi_cli.link.frame import Frame, FrameType
from umi_cli.types import UmiCode, UmiId

CODE = UmiCode(7)
COMMAND = message(ReadObject(code=CODE))
PACKET = packet_of(GUEST, COMMAND)
VALUE = CODE.encode() + bytes(4)


def answer(
    asked: Message = COMMAND, *, kind: int = PacketType.READ_OBJECT_RESPONSE, **fields: Any
) -> bytes:
    """Return a response with OK to a packet of ours."""
    head = Envelope.decode(PACKET)
    back = Envelope(source=head.destination, destination=head.source)
    sound: dict[str, Any] = {"packet_type": kind, "argument": 0, "payload": VALUE}
    return back.encode() + replace(asked, **{**sound, **fields}).encode()


def frame(payload: bytes, *, to: int = ADDRESSES.own) -> Frame:
    return Frame(
        sequence=3,
        frame_type=FrameType.SIMPLE_RESPONSE,
        destination=to,
        source=ADDRESSES.peer,
        payload=payload,
    )


def on_frames(*answers: Frame, frames: int = 1, packets: tuple[bytes, ...] = (PACKET,)) -> Heard:
    seen = Seen(frames=frames, answers=frames, packets=packets, is_clean=True)
    return Heard(frames=(FrameExchange(seen=seen, answers=answers),))


def on_packet(sent: bytes, came: bytes | None) -> Heard:
    return Heard(packets=(PacketExchange(sent=sent, answer=came),))


def trouble(heard: Heard, late: tuple[Frame, ...] = (), before: tuple[bytes, ...] = ()) -> str:
    """Return what is wrong with what came back; nothing if it is right."""
    try:
        judge(GUEST, heard, late, before)
    except FuzzFailure as failure:
        return failure.trouble.value
    return ""


def test_a_sound_answer_is_right() -> None:
    assert trouble(on_packet(PACKET, answer())) == ""
    assert trouble(on_packet(PACKET, None)) == ""
    assert trouble(on_frames(frame(answer()))) == ""
    assert trouble(on_frames(frame(b""))) == ""
    refusal = answer(kind=PacketType.ERROR, argument=3, payload=b"", transaction=9)
    assert trouble(on_packet(PACKET, refusal)) == ""


def test_more_answers_than_frames_are_seen() -> None:
    assert trouble(on_frames(frames=0)) == ""
    assert trouble(on_frames(frame(answer()), frames=0)) == "obeyed"
    assert trouble(on_frames(frame(b""), frame(b""))) == "obeyed"
    assert trouble(on_frames(frame(b"")), late=(frame(b""),)) == "obeyed"


def test_an_answer_to_what_came_before_may_be_repeated() -> None:
    assert trouble(on_frames(frame(answer()), packets=())) == "malformed"
    assert trouble(on_frames(frame(answer()), packets=()), before=(PACKET,)) == ""
    assert trouble(on_frames(frame(answer(), to=9), packets=())) == ""


@pytest.mark.parametrize(
    "came",
    [
        b"",
        bytes(20),
        answer(transaction=COMMAND.transaction ^ 1),
        answer(kind=PacketType.NO_OPERATION_RESPONSE),
        answer(payload=VALUE + b"\0"),
        answer().replace(GUEST.own_id.encode(), UmiId(5).encode()),
    ],
)
def test_what_is_no_answer_to_the_command_is_seen(came: bytes) -> None:
    assert trouble(on_packet(PACKET, came)) == "malformed"


@pytest.mark.parametrize(
    "sent",
    [
        PACKET[:-1],
        b"\x02" + PACKET[1:],
        PACKET[:1] + b"\x02" + PACKET[2:],
        packet_of(GUEST, replace(COMMAND, payload=b"")),
        packet_of(GUEST, replace(COMMAND, packet_type=PacketType.READ_OBJECT_RESPONSE)),
        packet_of(GUEST, replace(COMMAND, signature_scheme=1, signature=b"\x01\x02")),
    ],
)
def test_what_must_be_refused_is_not_answered_with_ok(sent: bytes) -> None:
    assert why_refused(sent)
    assert trouble(on_packet(sent, answer())) == "obeyed"
    assert trouble(on_packet(sent, answer(argument=3))) == ""


@pytest.mark.parametrize("sent", [PACKET, PACKET[:3] + b"\x07" + PACKET[4:]])
def test_what_devices_may_see_differently_is_no_reason(sent: bytes) -> None:
    assert why_refused(sent) == ""


def test_a_device_that_trusts_nobody_may_take_any_first_root() -> None:
    asked = message(S2AddCertificate(certificate=b"\x7f\x21\x00"))
    taken = answer(asked, kind=S2AddCertificate.REPLY.TYPE, payload=b"")
    heard = on_packet(packet_of(GUEST, asked), taken)
    judge(replace(GUEST, trusts_nobody=True), heard, ())


@pytest.mark.parametrize(
    "command", [ImageEnd(is_valid=1), S2AddCertificate(certificate=b"\x7f\x21\x00")]
)
def test_nobody_s_image_and_certificate_are_not_taken(command: Command[Any]) -> None:
    asked = message(command)
    kind = command.REPLY.TYPE
    assert trouble(on_packet(packet_of(GUEST, asked), answer(asked, kind=kind, payload=b""))) == (
        "obeyed"
    )
    abort = message(ImageEnd(is_valid=0))
    done = answer(abort, kind=PacketType.IMAGE_END_RESPONSE, payload=b"")
    assert trouble(on_packet(packet_of(GUEST, abort), done)) == ""


def sealed(sent: Message, came: Message | None, **fields: Any) -> Heard:
    opened = None if came is None else came.encode()
    exchange = PacketExchange(sent=sent.encode(), answer=answer(), opened=opened)
    return Heard(packets=(replace(exchange, **fields),), is_sealed=True)


def test_inside_a_session_only_what_was_sealed_and_whole_is_obeyed() -> None:
    came = replace(COMMAND, packet_type=PacketType.READ_OBJECT_RESPONSE, payload=VALUE)
    broken = replace(COMMAND, payload=b"")
    assert trouble(sealed(COMMAND, came)) == ""
    assert trouble(sealed(COMMAND, came, is_patched=True)) == "obeyed"
    assert trouble(sealed(broken, came)) == "obeyed"
    assert trouble(sealed(COMMAND, replace(came, transaction=1))) == "malformed"
    assert trouble(sealed(COMMAND, None)) == "obeyed"
    assert trouble(sealed(COMMAND, None, answer=answer(argument=17))) == ""
    assert trouble(sealed(COMMAND, came, opened=b"\0")) == "malformed"


@pytest.mark.parametrize(
    ("defect", "layer", "expected"),
    [
        ("crc-unchecked", FuzzLayer.LINK, Trouble.OBEYED),
        ("version-unchecked", FuzzLayer.LINK, Trouble.MALFORMED),
        ("crash-on-length", FuzzLayer.LINK, Trouble.SILENT),
        ("restart-on-record", FuzzLayer.PACKET, Trouble.SILENT),
    ],
)
def test_a_meter_that_breaks_a_rule_is_found(
    defect: str, layer: FuzzLayer, expected: Trouble
) -> None:
    outcome = FuzzWorld(defect, has_power=True).run(
        layers=(layer,), cases=400, stop_after=1, minimises=False
    )
    assert outcome.failures[0].trouble.is_like(expected)
    assert outcome.failures[0].failed_again == 2


@pytest.mark.parametrize(
    ("defect", "layer", "words"),
    [
        ("additional-data-unchecked", FuzzLayer.PACKET, "tag is wrong"),
        ("bad-decrypt-ok", FuzzLayer.PACKET, "no answer in the clear"),
        ("issuer-unchecked", FuzzLayer.CERTIFICATE, "nobody has issued this certificate"),
        ("any-image-taken", FuzzLayer.IMAGE, "nobody that it can know has signed this image"),
    ],
)
def test_a_meter_that_believes_too_much_is_found(defect: str, layer: FuzzLayer, words: str) -> None:
    outcome = FuzzWorld(defect, has_keys=True).run(
        layers=(layer,), cases=400, stop_after=1, minimises=False, changes=True
    )
    assert outcome.failures[0].trouble is Trouble.OBEYED
    assert words in outcome.failures[0].message


def test_a_no_operation_is_told_by_its_name() -> None:
    with pytest.raises(FuzzFailure, match="NO_OPERATION_RESPONSE OK"):
        judge(
            GUEST,
            on_packet(
                packet_of(GUEST, message(NoOperation(), payload=b"x")),
                answer(message(NoOperation()), kind=PacketType.NO_OPERATION_RESPONSE, payload=b""),
            ),
            (),
        )
