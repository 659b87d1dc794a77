"""Every command and reply, byte by byte as protocol 3.2 lays them out.

The table is written by hand from the protocol; the codec under test computes nothing of it.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.application import commands as c
from umi_cli.application import security_commands as s
from umi_cli.application.codec import (
    CODE,
    ID,
    NONCE,
    OBJECT_VALUE,
    PART,
    PART_VALUE,
    REST,
    ROLES,
    SERIAL,
    TAG,
    U8,
    U16,
    U32,
    Form,
    fixed,
    forms_of,
)
from umi_cli.application.codes import PacketType
from umi_cli.application.packet import MAX_PACKET_BYTES, MAX_PAYLOAD_BYTES, Envelope, Message
from umi_cli.application.payload import COMMANDS, REPLIES, Payload, decode_command
from umi_cli.errors import MalformedError
from umi_cli.types import ObjectPart, Role, RoleSet, UmiCode, UmiId

PROFILE = UmiCode.parse("umi.1.1.194.23")  # 17 c2 01 01 on the wire: b0 first
PARTS = ObjectPart(PROFILE, 2, 4, 3)
WHOLE = ObjectPart(PROFILE)
GUEST_AND_SECURITY = RoleSet.of(Role.GUEST, Role.SECURITY_AUTHORITY)  # bits 0 and 15
METER = UmiId(0x0023_7EFE_0000_0001)
READER = UmiId(0x0023_7EFE_0000_0004)
A = bytes(range(0x10))
B = bytes(range(0x10, 0x20))
A_HEX = "00010203 04050607 08090a0b 0c0d0e0f"
B_HEX = "10111213 14151617 18191a1b 1c1d1e1f"
NAME: dict[str, Any] = {"issuer": METER, "subject": READER, "serial_number": b"\x0a\x0b\x0c"}
NAME_HEX = "01000000fe7e2300 04000000fe7e2300 03 0a0b0c"

TABLE: list[tuple[int, Payload, str]] = [
    (0x00, c.NoOperation(), ""),
    (0x01, c.NoOperationReply(), ""),
    (0x02, c.Complete(), ""),
    (0x03, c.Wait(wait_ms=1500), "dc05"),
    (0x20, c.EventSubscribe(events=0x0004_0060, signature_scheme=2), "60000400 02"),
    (0x21, c.EventSubscribeReply(), ""),
    (
        0x22,
        c.EventPublish(events=1 << 18, timestamp_s=676_999_688, milliseconds=250),
        "00000400 08325a28 fa00",
    ),
    (0x23, c.EventPublishReply(), ""),
    (0x30, c.ReadObject(code=PROFILE), "17c20101"),
    (0x31, c.ReadObjectReply(code=PROFILE, value=b"abc"), "17c20101 0000 0300 616263"),
    (0x32, c.ReadObjectPart(part=PARTS), "17c20101 0200 0400 03"),
    (
        0x33,
        c.ReadObjectPartReply(part=PARTS, value=b"abc"),
        "17c20101 0200 0400 03 00 0300 616263",
    ),
    (0x34, c.WriteObject(code=PROFILE, value=b"abc"), "17c20101 0000 0300 616263"),
    (0x35, c.WriteObjectReply(), ""),
    (
        0x36,
        c.WriteObjectPart(part=WHOLE, value=b"abc"),
        "17c20101 0000 ffff ff 00 0300 616263",
    ),
    (0x37, c.WriteObjectPartReply(), ""),
    (0x3A, c.SetObjectReadAccess(code=PROFILE, roles=GUEST_AND_SECURITY), "17c20101 0180"),
    (0x3B, c.SetObjectReadAccessReply(), ""),
    (0x3C, c.SetObjectWriteAccess(code=PROFILE, roles=GUEST_AND_SECURITY), "17c20101 0180"),
    (0x3D, c.SetObjectWriteAccessReply(), ""),
    (0x3E, c.GetObjectAccess(code=PROFILE), "17c20101"),
    (
        0x3F,
        c.GetObjectAccessReply(
            code=PROFILE, read_roles=GUEST_AND_SECURITY, write_roles=RoleSet.of(Role.SERVICE)
        ),
        "17c20101 0180 2000",
    ),
    (0x50, c.ImageStart(length_bytes=0x12345), "45230100"),
    (0x51, c.ImageStartReply(), ""),
    (0x52, c.ImageData(number=7, data=b"abc"), "07000000 616263"),
    (0x53, c.ImageDataReply(), ""),
    (0x54, c.ImageEnd(is_valid=1), "01"),
    (0x55, c.ImageEndReply(), ""),
    (0x60, c.TunnelData(data=b"abc"), "616263"),
    (0x61, c.TunnelDataReply(data=b"abc"), "616263"),
    (0x62, c.TunnelUmi(packet=b"abc"), "616263"),
    (0x63, c.TunnelUmiReply(packet=b"abc"), "616263"),
    (0x90, s.S1AuthRequest(role=5, nonce_a=A), f"05 {A_HEX}"),
    (0x91, s.S1AuthRequestReply(nonce_b=B, tag_b=A), f"{B_HEX} {A_HEX}"),
    (0x92, s.S1AuthChallenge(nonce_b=B), B_HEX),
    (0x93, s.S1AuthChallengeReply(role=5, nonce_a=A, tag_a=B), f"05 {A_HEX} {B_HEX}"),
    (0x94, s.S1AuthReply(tag_a=A), A_HEX),
    (0x95, s.S1AuthReplyReply(), ""),
    (0x96, s.S1AuthLogout(), ""),
    (0x97, s.S1AuthLogoutReply(), ""),
    (0xA0, s.S2StartSession(salt_a=A), A_HEX),
    (0xA1, s.S2StartSessionReply(salt_b=B), B_HEX),
    (0xA2, s.S2EndSession(), ""),
    (0xA3, s.S2EndSessionReply(), ""),
    (0xA4, s.S2GetCertificate(subject=METER), "01000000fe7e2300"),
    (0xA5, s.S2GetCertificateReply(certificate=b"abc"), "616263"),
    (0xA6, s.S2AddCertificate(certificate=b"abc"), "616263"),
    (0xA7, s.S2AddCertificateReply(), ""),
    (0xA8, s.S2GenerateKeypair(), ""),
    (0xA9, s.S2GenerateKeypairReply(), ""),
    (0xAA, s.S2GetCsr(), ""),
    (0xAB, s.S2GetCsrReply(request=b"abc"), "616263"),
    (0xAC, s.S2InstallOwnCertificateChain(certificates=b"abc"), "616263"),
    (0xAD, s.S2InstallOwnCertificateChainReply(), ""),
    (0xB0, s.S2RevokeCertificate(**NAME), NAME_HEX),
    (0xB1, s.S2RevokeCertificateReply(), ""),
    (0xB2, s.S2CheckRevocation(**NAME), NAME_HEX),
    (0xB3, s.S2CheckRevocationReply(), ""),
    (0xB4, s.S2RevocationAnswer(**NAME, is_revoked=1), f"{NAME_HEX} 01"),
    (0xB5, s.S2RevocationAnswerReply(), ""),
    (0xB6, s.S2RelinquishRights(), ""),
    (0xB7, s.S2RelinquishRightsReply(), ""),
]
KINDS = [type(record) for _, record, _ in TABLE]

CHANGING = {0x34, 0x36, 0x3A, 0x3C, 0x50, 0x52, 0x54, 0x60, 0x62}
CHANGING |= {0xA6, 0xA8, 0xAC, 0xB0, 0xB4, 0xB6}


def _name(value: object) -> str:
    return type(value).__name__ if isinstance(value, Payload) else ""


@pytest.mark.parametrize(("number", "record", "text"), TABLE, ids=_name)
def test_bytes_are_those_of_the_protocol(number: int, record: Payload, text: str) -> None:
    """Each record has the packet type and the bytes of protocol 3.2, in both directions."""
    raw = bytes.fromhex(text)
    assert number == record.TYPE
    assert record.encode() == raw
    assert type(record).decode(raw) == record


def test_the_table_is_complete() -> None:
    """There is no record without hand-written bytes, and none is registered under another type."""
    assert {number: type(record) for number, record, _ in TABLE} == {**COMMANDS, **REPLIES}
    assert {number for number, _, _ in TABLE} | {0xFF} == set(PacketType)


def test_a_command_is_even_and_its_reply_follows_it() -> None:
    """The response of command n is n + 1, WAIT to COMPLETE included."""
    assert all(number % 2 == 0 for number in COMMANDS)
    assert all(number + 1 == kind.REPLY.TYPE for number, kind in COMMANDS.items())


def test_what_changes_a_device_is_marked() -> None:
    """Such commands are never repeated blindly and run at most once: none may be missed."""
    assert {number for number, kind in COMMANDS.items() if kind.CHANGES} == CHANGING


@pytest.mark.parametrize(("number", "record", "text"), TABLE, ids=_name)
def test_a_payload_of_another_length_is_malformed(number: int, record: Payload, text: str) -> None:
    """Every byte that is missing, and every byte too many, is an error; a rest takes what comes."""
    raw = bytes.fromhex(text)
    forms = list(forms_of(type(record)).values())
    if forms and forms[-1] is REST:
        raw = raw[:-3]
        assert type(record).decode(raw + b"\xff").encode() == raw + b"\xff"
    else:
        with pytest.raises(MalformedError, match="1 bytes too many"):
            type(record).decode(raw + b"\xff")
    for length in range(len(raw)):
        with pytest.raises(MalformedError, match="too short"):
            type(record).decode(raw[:length])


def test_reserved_bytes_are_not_looked_at() -> None:
    """What a later version puts into the reserved bytes does not make a value unreadable."""
    raw = bytes.fromhex("17c20101 ffff 0300 616263")
    assert c.ReadObjectReply.decode(raw) == c.ReadObjectReply(code=PROFILE, value=b"abc")


BYTES: dict[Form, st.SearchStrategy[Any]] = {
    U8: st.integers(0, 0xFF),
    U16: st.integers(0, 0xFFFF),
    U32: st.integers(0, 0xFFFF_FFFF),
    CODE: st.builds(UmiCode, st.integers(0, 0xFFFF_FFFF)),
    ID: st.builds(UmiId, st.integers(0, 0xFFFF_FFFF_FFFF_FFFF)),
    ROLES: st.builds(RoleSet, st.integers(0, 0xFFFF)),
    PART: st.builds(
        ObjectPart,
        st.builds(UmiCode, st.integers(0, 0xFFFF_FFFF)),
        st.integers(0, 0xFFFF),
        st.integers(0, 0xFFFF),
        st.integers(0, 0xFF),
    ),
    NONCE: st.binary(min_size=16, max_size=16),
    TAG: st.binary(min_size=16, max_size=16),
    OBJECT_VALUE: st.binary(max_size=600),
    PART_VALUE: st.binary(max_size=600),
    REST: st.binary(max_size=600),
    SERIAL: st.binary(max_size=255),
}


@st.composite
def records(draw: st.DrawFn) -> Payload:
    """Any record of any type, its fields drawn by their forms on the wire."""
    kind = draw(st.sampled_from(KINDS))
    return kind(**{name: draw(BYTES[form]) for name, form in forms_of(kind).items()})


@given(records())
def test_every_record_round_trips(record: Payload) -> None:
    """Whatever the fields hold, the bytes give back the record, and the record the bytes."""
    again = type(record).decode(record.encode())
    assert again == record
    assert again.encode() == record.encode()


@given(records(), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF_FFFF), st.integers(0, 0xFF))
def test_every_record_round_trips_in_a_message(
    record: Payload, transaction: int, created_s: int, argument: int
) -> None:
    """A message gives back the payload's bytes and all of its header."""
    message = Message(
        transaction=transaction,
        created_s=created_s,
        packet_type=record.TYPE,
        argument=argument,
        payload=record.encode(),
    )
    assert Message.decode(message.encode()) == message


@given(st.sampled_from(KINDS), st.binary(max_size=80))
def test_garbage_is_malformed_and_nothing_else(kind: type[Payload], data: bytes) -> None:
    """A decoder gives a record that encodes to as many bytes, or MalformedError."""
    try:
        record = kind.decode(data)
    except MalformedError:
        return
    assert len(record.encode()) == len(data)


@given(st.integers(0, 0x1FF), st.binary(max_size=80))
def test_a_command_of_any_type_is_decoded_or_malformed(number: int, data: bytes) -> None:
    """Replies and unknown numbers are no commands, whatever they carry."""
    if number not in COMMANDS:
        with pytest.raises(MalformedError, match=f"0x{number:02x}"):
            decode_command(number, data)
        return
    try:
        command = decode_command(number, data)
    except MalformedError:
        return
    assert type(command) is COMMANDS[number]


OVERFLOWING: list[Payload] = [
    c.Wait(wait_ms=0x1_0000),
    c.EventSubscribe(events=1 << 32, signature_scheme=0),
    c.EventSubscribe(events=0, signature_scheme=256),
    c.ImageEnd(is_valid=-1),
    c.WriteObject(code=PROFILE, value=bytes(0x1_0000)),
    c.WriteObjectPart(part=WHOLE, value=bytes(0x1_0000)),
    s.S2StartSession(salt_a=bytes(15)),
    s.S2RevokeCertificate(issuer=METER, subject=READER, serial_number=bytes(256)),
]


@pytest.mark.parametrize("record", OVERFLOWING, ids=_name)
def test_a_value_that_does_not_fit_its_field_is_refused(record: Payload) -> None:
    """Nothing is cut off in silence: OverflowError, as `encode` documents."""
    with pytest.raises(OverflowError):
        record.encode()


def test_the_longest_value_that_a_length_field_can_say() -> None:
    """65,535 bytes stand behind a u16, in both forms."""
    value = bytes(0xFFFF)
    assert c.WriteObject(code=PROFILE, value=value).encode()[4:8] == b"\x00\x00\xff\xff"
    assert c.WriteObjectPart(part=WHOLE, value=value).encode()[9:12] == b"\x00\xff\xff"


def test_a_packet_has_at_most_65536_bytes() -> None:
    """The longest payload makes exactly the longest packet that fragments can announce."""
    payload = c.TunnelData(data=bytes(MAX_PAYLOAD_BYTES)).encode()
    message = Message(transaction=1, created_s=1, packet_type=0x60, payload=payload)
    packet = Envelope(source=READER, destination=METER).encode() + message.encode()
    assert len(packet) == MAX_PACKET_BYTES == 65_536
    assert Message.decode(packet[21:]) == message


TITLES = [
    (c.ReadObject(code=PROFILE), "READ_OBJECT umi.1.1.194.23"),
    (c.ReadObjectPart(part=PARTS), "READ_OBJECT_PART umi.1.1.194.23[2:4]/3"),
    (c.NoOperation(), "NO_OPERATION"),
]


@pytest.mark.parametrize(("record", "title"), TITLES, ids=_name)
def test_a_title_names_command_and_target(record: Payload, title: str) -> None:
    assert record.title == title


def test_a_fixed_form_says_what_is_due() -> None:
    with pytest.raises(OverflowError, match="16 bytes are due, not 3"):
        fixed(16).write(b"abc")
