"""Tests of application packets: header fields, types, payloads, result codes (protocol 3)."""

from typing import Any

from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import (
    NoOperation,
    ReadObject,
    ReadObjectPart,
)
from umi_cli.application.packet import ENVELOPE_BYTES, NO_SIGNATURE, PROTOCOL, Envelope, Message
from umi_cli.application.payload import Command
from umi_cli.certify.bench import Bench, describe_result, expect_result
from umi_cli.certify.case import Failure, case, expect, in_hex
from umi_cli.errors import MalformedError
from umi_cli.types import UNKNOWN_DEVICE, ObjectPart, UmiCode, UmiId

UMI_ID_OBJECT = UmiCode(0)
NO_OBJECT = UmiCode.parse("umi.255.255.255.255")
A_STRANGER = UmiId(0x0200_0000_0000_1234)
UNKNOWN_TYPE = 0x7E
UNKNOWN_SCHEME = 7
UNDEFINED_EVENT = 26  # "spare" in the list of events
CLOCK_SLACK_S = 3
NOT_TAKEN = (ResultCode.INVALID_PACKET_FORMAT, ResultCode.INVALID_LENGTH)


def answer_to(bench: Bench, packet: bytes, title: str) -> tuple[Envelope, Message]:
    """Carry a packet, right or wrong; return what answers it, taken apart.

    Raises:
        Failure: nothing answers, or what does is no packet.
    """
    raw = bench.transact(packet, NoOperation())
    try:
        return Envelope.decode(raw), Message.decode(raw[ENVELOPE_BYTES:])
    except MalformedError as error:
        raise Failure(f"the answer to {title} is no packet: {error}") from error


def expect_code(bench: Bench, packet: bytes, title: str, *codes: ResultCode) -> None:
    """Go on if a packet is refused with one of the result codes; `Failure` if not."""
    expect_result(answer_to(bench, packet, title)[1], title, *codes)


@case(
    "APP-001",
    "a response swaps the UMI IDs literally, all ones included",
    clause="3.1",
    mark="F",
    sends="NO_OPERATION to FFFFFFFFFFFFFFFF",
    expects="a response from FFFFFFFFFFFFFFFF to our UMI ID",
    advice="Copy the two fields crosswise; readers refuse an ID that they did not write to.",
)
def _swapped(bench: Bench) -> None:
    envelope, _ = answer_to(bench, bench.packet(NoOperation()), "NO_OPERATION")
    own = bench.meter.session.own_id
    expect(
        envelope.source == UNKNOWN_DEVICE and envelope.destination == own,
        f"it came from {envelope.source} to {envelope.destination}, we are {own}",
    )


@case(
    "APP-002",
    "a response repeats the transaction number",
    clause="3.1",
    mark="F",
    sends="NO_OPERATION with the transaction numbers 0, 1, 255, 256 and 65535",
    expects="the same number in each response",
    advice="Both bytes: the number counts to 65,535 and wraps.",
)
def _transactions(bench: Bench) -> None:
    for number in (0, 1, 255, 256, 65_535):
        packet = bench.packet(NoOperation(), transaction=number)
        found = answer_to(bench, packet, "NO_OPERATION")[1].transaction
        expect(found == number, f"transaction {number} was answered with {found}")


@case(
    "APP-003",
    "the type of a response is the command's, plus one",
    clause="3.2",
    mark="F",
    sends="NO_OPERATION, READ_OBJECT umi.0.0.0.0",
    expects="types 0x01 and 0x31",
    advice="Commands are even, their responses odd.",
)
def _response_type(bench: Bench) -> None:
    for command in (NoOperation(), ReadObject(code=UMI_ID_OBJECT)):
        message = bench.result_of(command)
        expect(
            message.packet_type == command.TYPE + 1,
            f"type 0x{command.TYPE:02x} was answered with 0x{message.packet_type:02x}",
        )


@case(
    "APP-004",
    "what is fixed in the envelope of a response is as it must be",
    clause="3.1",
    mark="F",
    sends="NO_OPERATION",
    expects="encryption scheme 0, protocol 0x01, options 0",
    advice="Build the envelope anew; do not leave bytes of an older packet in it.",
)
def _envelope(bench: Bench) -> None:
    found, _ = answer_to(bench, bench.packet(NoOperation()), "NO_OPERATION")
    options = (found.source_options, found.destination_options, found.encryption_options)
    expect(found.protocol == PROTOCOL, f"byte 1 is 0x{found.protocol:02x}, not 0x01")
    expect(not any(options), f"the options are {options}")
    expect(found.encryption_scheme == 0, f"the encryption scheme is {found.encryption_scheme}")


@case(
    "APP-005",
    "a response that nobody wants signed carries the empty record",
    clause="5",
    mark="F",
    sends="NO_OPERATION that asks for no signature",
    expects="signature scheme 0, and the record 00 02",
    advice="Every packet ends in a signature record: of scheme 0 it is two bytes.",
)
def _no_signature(bench: Bench) -> None:
    message = answer_to(bench, bench.packet(NoOperation()), "NO_OPERATION")[1]
    expect(
        message.signature_scheme == 0 and message.signature == NO_SIGNATURE,
        f"scheme {message.signature_scheme}, record {in_hex(message.signature)}",
    )


@case(
    "APP-006",
    "the created time of a response is the device's time",
    clause="3.1",
    mark="F",
    sends="NO_OPERATION, twice, with two seconds between",
    expects="a time that is set, and goes on by about two seconds",
    advice="Take it from the clock when the response is made, as seconds since 2000.",
)
def _created(bench: Bench) -> None:
    before = bench.result_of(NoOperation()).created_s
    begun_s = bench.now_s
    bench.wait(2)
    after = bench.result_of(NoOperation()).created_s
    passed_s = bench.now_s - begun_s
    expect(before != 0, "the created time is 0: not set")
    expect(
        abs(after - before - passed_s) <= CLOCK_SLACK_S,
        f"{after - before} s by the device's time, {passed_s:.1f} s by ours",
    )


@case(
    "APP-007",
    "a packet to the device's own UMI ID is answered from it",
    clause="3.1",
    mark="F",
    sends="READ_OBJECT umi.0.0.0.0, then NO_OPERATION to the UMI ID that it gave",
    expects="a response from that UMI ID",
    advice="The object umi.0.0.0.0 and the ID in packets are the same.",
)
def _own_id(bench: Bench) -> None:
    umi_id = bench.meter.session.identify()
    packet = bench.envelope(destination=umi_id).encode() + bench.message(NoOperation()).encode()
    envelope, message = answer_to(bench, packet, "NO_OPERATION")
    expect_result(message, "NO_OPERATION", ResultCode.OK)
    expect(envelope.source == umi_id, f"the response came from {envelope.source}")


@case(
    "APP-008",
    "a packet to another UMI ID is not executed",
    clause="3.1",
    mark="C",
    sends=f"READ_OBJECT umi.0.0.0.0 to {A_STRANGER}, which nobody here has",
    expects="any result but OK",
    advice="Compare the destination with the own UMI ID, all ones and declared aliases.",
)
def _foreign(bench: Bench) -> None:
    command = ReadObject(code=UMI_ID_OBJECT)
    packet = bench.envelope(destination=A_STRANGER).encode() + bench.message(command).encode()
    message = answer_to(bench, packet, command.title)[1]
    expect(message.argument != ResultCode.OK, "it was executed: the result is OK")


@case(
    "APP-009",
    "an unknown version of the packet is refused",
    clause="3.3",
    mark="F",
    sends="NO_OPERATION whose byte 1 is 0x02",
    expects="UNKNOWN_VERSION (1)",
    advice="Look at byte 1 before the rest of the packet is believed.",
)
def _version(bench: Bench) -> None:
    packet = bench.envelope(protocol=0x02).encode() + bench.message(NoOperation()).encode()
    expect_code(bench, packet, "version 2", ResultCode.UNKNOWN_VERSION)


@case(
    "APP-010",
    "an unknown packet type is refused",
    clause="3.3",
    mark="F",
    sends=f"a packet of type 0x{UNKNOWN_TYPE:02x}",
    expects="UNKNOWN_PACKET_TYPE (2)",
    advice="Types come and go with versions: say so, rather than stay silent.",
)
def _packet_type(bench: Bench) -> None:
    packet = bench.packet(NoOperation(), packet_type=UNKNOWN_TYPE)
    expect_code(bench, packet, "an unknown type", ResultCode.UNKNOWN_PACKET_TYPE)


@case(
    "APP-011",
    "a response is no command",
    clause="3.2",
    mark="F",
    sends="packets of the types 0x01 and 0x31",
    expects="UNKNOWN_PACKET_TYPE (2)",
    advice="Odd types are answers; executed as commands they let two devices loop.",
)
def _response_as_command(bench: Bench) -> None:
    for number in (PacketType.NO_OPERATION_RESPONSE, PacketType.READ_OBJECT_RESPONSE):
        packet = bench.packet(NoOperation(), packet_type=int(number))
        expect_code(bench, packet, number.name, ResultCode.UNKNOWN_PACKET_TYPE)


@case(
    "APP-012",
    "an unknown encryption scheme is refused",
    clause="3.3",
    mark="F",
    sends=f"NO_OPERATION whose byte 0 is {UNKNOWN_SCHEME}",
    expects="UNKNOWN_ENCRYPTION_SCHEME (20)",
    advice="Never look into the rest of a packet whose encryption is unknown.",
)
def _encryption_scheme(bench: Bench) -> None:
    envelope = bench.envelope(encryption_scheme=UNKNOWN_SCHEME)
    packet = envelope.encode() + bench.message(NoOperation()).encode()
    expect_code(bench, packet, "encryption scheme 7", ResultCode.UNKNOWN_ENCRYPTION_SCHEME)


@case(
    "APP-013",
    "an unknown signature scheme is refused",
    clause="3.3",
    mark="F",
    sends=f"NO_OPERATION that says it is signed under scheme {UNKNOWN_SCHEME}",
    expects="UNKNOWN_SIGNATURE_SCHEME (19)",
    advice="What cannot be verified must not be executed as if it were not signed.",
)
def _signature_scheme(bench: Bench) -> None:
    record = bytes([UNKNOWN_SCHEME, 4, 0, 0])
    packet = bench.packet(NoOperation(), signature_scheme=UNKNOWN_SCHEME, signature=record)
    expect_code(bench, packet, "signature scheme 7", ResultCode.UNKNOWN_SIGNATURE_SCHEME)


@case(
    "APP-014",
    "an unknown signature scheme on the response is refused",
    clause="3.1",
    mark="F",
    sends=f"NO_OPERATION that wants its response signed under scheme {UNKNOWN_SCHEME}",
    expects="UNKNOWN_SIGNATURE_SCHEME (19)",
    advice="Find out whether the response can be signed before the command is run.",
)
def _wanted_scheme(bench: Bench) -> None:
    packet = bench.packet(NoOperation(), argument=UNKNOWN_SCHEME)
    expect_code(bench, packet, "wanted scheme 7", ResultCode.UNKNOWN_SIGNATURE_SCHEME)


@case(
    "APP-015",
    "a payload that is too short is refused",
    clause="3.2",
    mark="F",
    sends="READ_OBJECT with 0 and with 3 bytes, READ_OBJECT_PART with 8",
    expects="INVALID_PACKET_FORMAT (3)",
    advice="Check the length before a field is read, or the bytes behind it are taken for it.",
)
def _short_payload(bench: Bench) -> None:
    whole: tuple[Command[Any], ...] = (
        ReadObject(code=UMI_ID_OBJECT),
        ReadObjectPart(part=ObjectPart(UMI_ID_OBJECT)),
    )
    for command, length in ((whole[0], 0), (whole[0], 3), (whole[1], 8)):
        packet = bench.packet(command, payload=command.encode()[:length])
        expect_code(bench, packet, f"{command.TYPE.name} with {length} bytes", *NOT_TAKEN)


@case(
    "APP-016",
    "a payload that is too long is refused",
    clause="3.2",
    mark="F",
    sends="READ_OBJECT with 5 bytes, NO_OPERATION with 1",
    expects="INVALID_PACKET_FORMAT (3)",
    advice="A byte too many shows that the two sides do not mean the same packet.",
)
def _long_payload(bench: Bench) -> None:
    for command in (ReadObject(code=UMI_ID_OBJECT), NoOperation()):
        packet = bench.packet(command, payload=command.encode() + b"\x00")
        expect_code(bench, packet, f"{command.TYPE.name} with a byte more", *NOT_TAKEN)


@case(
    "APP-017",
    "a packet that ends before its header does is refused",
    clause="3.1",
    mark="C",
    sends="the first 1, 20, 21 and 31 bytes of NO_OPERATION",
    expects="ERROR with INVALID_PACKET_FORMAT (3)",
    advice="A responder that cannot parse a packet says so with type 0xFF.",
)
def _short_packet(bench: Bench) -> None:
    for length in (1, 20, 21, 31):
        packet = bench.packet(NoOperation())[:length]
        message = answer_to(bench, packet, f"{length} bytes")[1]
        expect(
            message.packet_type == PacketType.ERROR,
            f"{length} bytes were answered with {describe_result(message)}",
        )
        expect_result(message, f"{length} bytes", *NOT_TAKEN)


@case(
    "APP-018",
    "a payload length that leads past the packet is refused",
    clause="3.1",
    mark="F",
    sends="NO_OPERATION whose payload length says 1, 255 and 65535",
    expects="INVALID_PACKET_FORMAT (3)",
    advice="Never copy by a length field before it is compared with what is there.",
)
def _length_lies(bench: Bench) -> None:
    for length in (1, 255, 65_535):
        sound = bench.packet(NoOperation())
        packet = sound[:30] + length.to_bytes(2, "little") + sound[32:]
        expect_code(bench, packet, f"payload length {length}", *NOT_TAKEN)


@case(
    "APP-019",
    "a signature record of a wrong length is refused",
    clause="5",
    mark="F",
    sends="NO_OPERATION whose record is 00 03, 00 01, and has a byte behind it",
    expects="INVALID_PACKET_FORMAT (3)",
    advice="The record's second byte is its whole length, and the packet ends with it.",
)
def _record_length(bench: Bench) -> None:
    for record in (b"\x00\x03", b"\x00\x01", b"\x00\x02\x00", b"\x00"):
        packet = bench.packet(NoOperation(), signature=record)
        expect_code(bench, packet, f"the record {in_hex(record)}", *NOT_TAKEN)
