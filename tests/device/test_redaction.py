"""No byte of a secret's value is left in a frame, however the packet is cut, repeated or nested."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.application import commands as c
from umi_cli.application.packet import ENVELOPE_BYTES, Envelope, Message
from umi_cli.application.payload import Payload
from umi_cli.device.redaction import MAX_HIDDEN_FRAMES, Redactor
from umi_cli.link.fragment import Fragment, FragmentType, split
from umi_cli.link.frame import Frame, FrameType
from umi_cli.types import ObjectPart, UmiCode, UmiId

KEYS = UmiCode.parse("umi.255.0.0.16")
COUNTER = UmiCode.parse("umi.255.0.0.65")
SECRET = bytes(range(0xC0, 0xD0))
PAYLOAD = ENVELOPE_BYTES + 11
PROOF = bytes(range(0x30, 0x40))
RECORD = b"\x01\x12" + PROOF


def redactor() -> Redactor:
    return Redactor(lambda code: code == KEYS)


def packet(record: Payload, signature: bytes = b"\x00\x02", scheme: int = 0) -> bytes:
    envelope = Envelope(source=UmiId(4), destination=UmiId(1), encryption_scheme=scheme)
    message = Message(
        transaction=7,
        created_s=676_999_688,
        packet_type=record.TYPE,
        payload=record.encode(),
        signature_scheme=signature[0],
        signature=signature,
    )
    return envelope.encode() + message.encode()


def frames(whole: bytes) -> list[bytes]:
    pieces = split(whole)
    kind = FrameType.FRAGMENT if len(pieces) > 1 else FrameType.SIMPLE
    return [
        Frame(sequence=n % 15 + 1, frame_type=kind, destination=0, source=5, payload=piece).encode()
        for n, piece in enumerate(pieces)
    ]


def shown(redactor: Redactor, data: Iterable[bytes]) -> list[bytes]:
    """Return what is shown of frames; each is as long as it was, and has a right CRC."""
    found = []
    for each in data:
        redacted = redactor.redact(each, Frame.decode(each)).data
        assert len(redacted) == len(each)
        assert Frame.decode(redacted).frame_type == Frame.decode(each).frame_type
        found.append(redacted)
    return found


def joined(data: Iterable[bytes]) -> bytes:
    """Return the packet in frames, put together."""
    parts = [Frame.decode(each) for each in data]
    is_whole = parts[0].frame_type == FrameType.SIMPLE
    return b"".join(part.payload[0 if is_whole else 4 :] for part in parts)


PART = ObjectPart(KEYS, 5, 5)
SECRETS = {
    "write": c.WriteObject(code=KEYS, value=SECRET),
    "write part": c.WriteObjectPart(part=PART, value=SECRET),
    "read": c.ReadObjectReply(code=KEYS, value=SECRET),
    "read part": c.ReadObjectPartReply(part=PART, value=SECRET),
    "tunnel": c.TunnelUmi(packet=packet(c.WriteObject(code=KEYS, value=SECRET))),
    "tunnel back": c.TunnelUmiReply(packet=packet(c.ReadObjectReply(code=KEYS, value=SECRET))),
    "bytes in a tunnel": c.TunnelData(data=SECRET),
    "tunnel in a tunnel": c.TunnelUmi(
        packet=packet(c.TunnelUmi(packet=packet(c.WriteObject(code=KEYS, value=SECRET))))
    ),
}
HARMLESS = {
    "write": c.WriteObject(code=COUNTER, value=SECRET),
    "read part": c.ReadObjectPartReply(part=ObjectPart(COUNTER), value=SECRET),
    "question": c.ReadObject(code=KEYS),
    "question for a part": c.ReadObjectPart(part=PART),
    "image": c.ImageData(number=0, data=KEYS.encode() + SECRET),
    "tunnel": c.TunnelUmi(packet=packet(c.WriteObject(code=COUNTER, value=SECRET))),
    "empty tunnel": c.TunnelUmi(packet=b""),
}


@pytest.mark.parametrize("record", SECRETS.values(), ids=SECRETS)
def test_a_secret_becomes_zeros(record: Payload) -> None:
    hider = redactor()
    whole = packet(record, RECORD)
    hidden = joined(shown(hider, frames(whole)))
    start = whole.index(SECRET)
    assert hidden[start : start + len(SECRET)] == bytes(len(SECRET))
    assert hidden[:PAYLOAD] == whole[:PAYLOAD]
    assert hidden[-len(RECORD) :] == RECORD[:2] + bytes(len(PROOF)), "a proof would tell a guess"
    assert Message.decode(hidden[ENVELOPE_BYTES:]).packet_type == record.TYPE
    assert hider.has_met_secrets


@pytest.mark.parametrize("record", HARMLESS.values(), ids=HARMLESS)
def test_what_is_no_secret_stays(record: Payload) -> None:
    hider = redactor()
    data = frames(packet(record, RECORD))
    assert shown(hider, data) == data
    assert hider.has_met_secrets == (
        "Read" in type(record).__name__ and record.encode()[:4] == KEYS.encode()
    )


def test_what_is_encrypted_stays() -> None:
    data = frames(packet(c.WriteObject(code=KEYS, value=SECRET), scheme=2))
    assert shown(redactor(), data) == data


def test_a_secret_of_zeros_counts_as_one() -> None:
    (data,) = frames(packet(c.WriteObject(code=KEYS, value=bytes(16))))
    assert redactor().redact(data, Frame.decode(data)).hidden_bytes == 16


def test_the_head_of_the_part_of_a_message_is_enough() -> None:
    """A damaged packet whose lengths lead nowhere hides its end all the same."""
    whole = packet(c.WriteObject(code=KEYS, value=SECRET))
    cut = whole[: PAYLOAD + 8 + 10]
    for end in range(len(cut) + 1):
        (hidden,) = shown(redactor(), frames(cut[:end])) if end else (b"",)
        assert SECRET[:2] not in hidden


@given(
    st.binary(min_size=300, max_size=2000).filter(any),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=12),
)
def test_fragments_hide_a_secret_in_any_order_of_repeats(
    value: bytes, is_part: bool, repeats: list[tuple[int, int]]
) -> None:
    record: Payload = c.WriteObject(code=KEYS, value=value)
    if is_part:
        record = c.WriteObjectPart(part=PART, value=value)
    whole = packet(record, RECORD)
    sent = frames(whole)
    on_the_way = list(sent)
    for which, later in repeats:  # a late copy of a frame that was there before
        at = which % len(sent)
        place = min(on_the_way.index(sent[at]) + 1 + later, len(on_the_way))
        on_the_way.insert(place, sent[at])
    hider = redactor()
    seen = dict(zip(on_the_way, shown(hider, on_the_way), strict=True))
    hidden = joined(seen[each] for each in sent)
    start = whole.index(value)
    assert hidden[:start] == whole[:start]
    assert hidden[start : start + len(value)] == bytes(len(value))
    assert hidden[-len(RECORD) :] == RECORD[:2] + bytes(len(PROOF))
    other = bytes(byte ^ 0x55 for byte in value)
    harmless = frames(packet(c.WriteObject(code=COUNTER, value=other)))
    assert shown(hider, harmless) == harmless
    assert shown(hider, sent[1:]) == [seen[each] for each in sent[1:]], "late, behind another FIRST"


def fragment(kind: FragmentType, chunk: bytes, data: int = 0, sequence: int = 1) -> bytes:
    payload = Fragment(fragment_type=kind, data=data, chunk=chunk).encode()
    return Frame(
        sequence=sequence,
        frame_type=FrameType.FRAGMENT,
        destination=0,
        source=5,
        payload=payload,
    ).encode()


@given(st.integers(0, 60), st.integers(1, 20))
def test_fragments_of_any_length(first: int, step: int) -> None:
    whole = packet(c.WriteObject(code=KEYS, value=SECRET), RECORD)
    chunks = [whole[:first]] + [whole[at : at + step] for at in range(first, len(whole), step)]
    data = [fragment(FragmentType.FIRST, chunks[0], len(whole))]
    data += [
        fragment(FragmentType.MIDDLE, chunk, sequence=n % 15 + 1)
        for n, chunk in enumerate(chunks[1:], start=1)
    ]
    hidden = b"".join(Frame.decode(each).payload[4:] for each in shown(redactor(), data))
    start = whole.index(SECRET)
    assert hidden[:start] == whole[:start]
    assert not any(hidden[start : start + len(SECRET)])


def test_no_more_frames_are_remembered_than_needed() -> None:
    hider = redactor()
    data = [
        frames(packet(c.WriteObject(code=KEYS, value=n.to_bytes(4, "little"))))[0]
        for n in range(MAX_HIDDEN_FRAMES + 10)
    ]
    for each in shown(hider, data):
        assert Frame.decode(each).payload[PAYLOAD + 8 :][:4] == bytes(4)
    assert len(hider._known) == MAX_HIDDEN_FRAMES


@given(st.binary(max_size=249), st.sampled_from(range(16)))
def test_any_payload_of_any_type_passes(payload: bytes, kind: int) -> None:
    data = Frame(sequence=1, frame_type=kind, destination=0, source=5, payload=payload).encode()
    assert len(shown(redactor(), [data])) == 1
