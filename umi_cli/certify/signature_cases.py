"""Tests of signed commands: keys, windows, what is covered (protocol 5)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import NoOperation, ReadObject
from umi_cli.application.packet import Envelope, Message
from umi_cli.certify.bench import Bench, expect_result
from umi_cli.certify.case import Failure, Need, NotApplicable, case
from umi_cli.certify.hand_session import HandSession, altered
from umi_cli.crypto import PrivateKey, Signer
from umi_cli.errors import MalformedError, SignatureError
from umi_cli.security.signatures import (
    MAX_WINDOW_S,
    SCHEME_ECDSA,
    ResponseSignature,
    sign_command,
    verify_packet,
)
from umi_cli.types import UNKNOWN_DEVICE, Role, UmiCode

WINDOW_S = 60
# One signature in 750 has fewer than 70 bytes, one in 256 ends in 00: 20,000 without one are luck
# that nobody has, and 3,000 are that of one run in 50.
SHORT_DER_TRIES = 20_000
FULL_DER_BYTES = 70
NAME_OBJECT = UmiCode.parse("umi.1.1.0.0")
_COMMAND = ReadObject(code=NAME_OBJECT)


class _Signed:
    """Signed commands from the one whose certificate the device knows, in the clear."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.session = HandSession(bench)  # has the device know our certificate; never used
        self.signer = bench.credentials().signer
        self.role = bench.role
        self.now_s = bench.result_of(NoOperation()).created_s

    def packet(
        self,
        *,
        role: Role | None = None,
        window: tuple[int, int] = (-WINDOW_S, WINDOW_S),
        signer: Signer | None = None,
        envelope: Envelope | None = None,
        **fields: Any,
    ) -> bytes:
        """Return READ_OBJECT with a signature of its own; what is given is not sound."""
        address = envelope or self.session.envelope()
        message = self.bench.message(_COMMAND, signature_scheme=SCHEME_ECDSA, **fields)
        return address.encode() + self._signed(address, message, role, window, signer).encode()

    def _signed(
        self,
        envelope: Envelope,
        message: Message,
        role: Role | None,
        window: tuple[int, int],
        signer: Signer | None,
    ) -> Message:
        record = sign_command(
            envelope.encode() + message.encode_unsigned(),
            signer or self.signer,
            role=self.role if role is None else role,
            valid_from_s=max(0, self.now_s + window[0]),
            valid_until_s=max(0, self.now_s + window[1]),
        )
        return replace(message, signature=record.encode())

    def refused(self, packet: bytes, what: str, *codes: ResultCode) -> None:
        """Go on if a packet is refused; `Failure` if not."""
        wanted = codes or (ResultCode.INVALID_SIGNATURE,)
        expect_result(self.bench.ask(packet, _COMMAND), what, *wanted)


@case(
    "SEC-030",
    "a signed command is executed",
    clause="5",
    mark="F",
    sends="READ_OBJECT umi.1.1.0.0 in the clear, signed under scheme 2, within its window",
    expects="OK",
    advice="Signed are bytes 1 to 20, the header, the payload, and the record's first 11 bytes.",
    needs=(Need.CREDENTIALS,),
)
def _sound(bench: Bench) -> None:
    signed = _Signed(bench)
    signed.refused(signed.packet(), "a signed command", ResultCode.OK)


@case(
    "SEC-031",
    "a response is signed where that was asked for",
    clause="5",
    mark="F",
    sends="READ_OBJECT, signed, that wants its response signed under scheme 2",
    expects="a record 02 74 with a signature of the device's own key",
    advice="Sign with the key of the certificate that S2_GET_CERTIFICATE shows.",
    needs=(Need.CREDENTIALS,),
)
def _signed_response(bench: Bench) -> None:
    signed = _Signed(bench)
    raw = bench.transact(signed.packet(argument=SCHEME_ECDSA), _COMMAND)
    envelope, message = Envelope.decode(raw), Message.decode(raw[21:])
    expect_result(message, "a signed command", ResultCode.OK)
    try:
        record = ResponseSignature.decode(message.signature)
        unsigned = envelope.encode() + message.encode_unsigned()
        verify_packet(unsigned, record, signed.session.device.body.public_point)
    except (MalformedError, SignatureError) as error:
        raise Failure(f"the signature does not hold: {error}") from error


@case(
    "SEC-032",
    "a signature of another key is refused",
    clause="5",
    mark="F",
    sends="READ_OBJECT signed with a key that nobody knows",
    expects="INVALID_SIGNATURE (128)",
    advice="Verify with the key of the commander's certificate, and with nothing else.",
    needs=(Need.CREDENTIALS,),
)
def _other_key(bench: Bench) -> None:
    signed = _Signed(bench)
    signed.refused(signed.packet(signer=PrivateKey.generate()), "a signature of another key")


@case(
    "SEC-033",
    "what was changed after it was signed is refused",
    clause="5",
    mark="F",
    sends="signed READ_OBJECTs whose transaction, created time, code or window was changed",
    expects="INVALID_SIGNATURE (128) each time",
    advice="All of the packet is signed, but for byte 0 and the signature itself.",
    needs=(Need.CREDENTIALS,),
)
def _changed(bench: Bench) -> None:
    signed = _Signed(bench)
    for what, at in (("transaction", 22), ("created time", 24), ("code", 33), ("window", 39)):
        signed.refused(altered(signed.packet(), at), f"a changed {what}")


@case(
    "SEC-034",
    "a command whose window is over is refused",
    clause="5",
    mark="F",
    sends="READ_OBJECT signed for the hour before the last",
    expects="INVALID_SIGNATURE (128)",
    advice="The window counts in the device's own time.",
    needs=(Need.CREDENTIALS,),
)
def _expired(bench: Bench) -> None:
    signed = _Signed(bench)
    signed.refused(signed.packet(window=(-7200, -3600)), "a window that is over")


@case(
    "SEC-035",
    "a command whose window has not begun is refused",
    clause="5",
    mark="F",
    sends="READ_OBJECT signed for the hour after the next",
    expects="INVALID_SIGNATURE (128)",
    advice="The window counts in the device's own time.",
    needs=(Need.CREDENTIALS,),
)
def _early(bench: Bench) -> None:
    signed = _Signed(bench)
    signed.refused(signed.packet(window=(3600, 7200)), "a window that has not begun")


@case(
    "SEC-036",
    "a window of more than seven days is refused",
    clause="5",
    mark="C",
    sends="READ_OBJECT signed for thirty days",
    expects="INVALID_SIGNATURE (128)",
    advice="A command that holds for ever can be sent again for ever.",
    needs=(Need.CREDENTIALS,),
)
def _long_window(bench: Bench) -> None:
    signed = _Signed(bench)
    signed.refused(signed.packet(window=(-WINDOW_S, 4 * MAX_WINDOW_S)), "a window of 28 days")


@case(
    "SEC-037",
    "a command that is signed in a role of another is refused",
    clause="5",
    mark="F",
    sends="READ_OBJECT signed in a role that our certificate does not authorise",
    expects="INVALID_SIGNATURE (128)",
    advice="The role in the record is a wish: the certificate grants it, or does not.",
    needs=(Need.CREDENTIALS,),
)
def _other_role(bench: Bench) -> None:
    signed = _Signed(bench)
    other = Role.SECURITY_AUTHORITY if signed.role is Role.MANUFACTURER else Role.MANUFACTURER
    signed.refused(signed.packet(role=other), "a signature in another role")


@case(
    "SEC-038",
    "a command that is signed for any device is refused",
    clause="5",
    mark="C",
    sends="READ_OBJECT to FFFFFFFFFFFFFFFF, signed",
    expects="INVALID_SIGNATURE (128)",
    advice="What is signed for all ones would be obeyed by every device it is sent to.",
    needs=(Need.CREDENTIALS,),
)
def _any_device(bench: Bench) -> None:
    signed = _Signed(bench)
    envelope = signed.session.envelope(destination=UNKNOWN_DEVICE)
    signed.refused(signed.packet(envelope=envelope), "a command to all ones")


@case(
    "SEC-039",
    "what stands behind a signature in its record must be zero",
    clause="5",
    mark="F",
    sends="READ_OBJECT whose record ends in 01 instead of 00",
    expects="INVALID_PACKET_FORMAT (3) or INVALID_SIGNATURE (128)",
    advice="The DER signature ends where its own length says; the rest is padding.",
    needs=(Need.CREDENTIALS,),
)
def _padding(bench: Bench) -> None:
    signed = _Signed(bench)
    packet = _with_der(signed, lambda size: size < 72)
    codes = (ResultCode.INVALID_PACKET_FORMAT, ResultCode.INVALID_SIGNATURE)
    signed.refused(altered(packet, len(packet) - 1), "padding of 01", *codes)


def _with_der(signed: _Signed, is_wanted: Callable[[int], bool]) -> bytes:
    """Return a sound packet whose DER signature has a length that is wanted."""
    for _ in range(SHORT_DER_TRIES):
        packet = signed.packet()
        if is_wanted(packet[-71] + 2):  # the DER's length byte is the second of 72
            return packet
    raise _no_such_signature()


def _no_such_signature() -> NotApplicable:
    """Return why there is nothing to send: that is our luck, and says nothing about the device."""
    return NotApplicable(f"of {SHORT_DER_TRIES} signatures of our key none was like that")


@case(
    "SEC-040",
    "a short signature is as good as a long one",
    clause="5",
    mark="F",
    sends="READ_OBJECT whose DER signature has fewer than 70 bytes",
    expects="OK",
    advice="About one signature in 170 is short or ends in 00: go by its length byte alone.",
    needs=(Need.CREDENTIALS,),
)
def _short(bench: Bench) -> None:
    signed = _Signed(bench)
    packet = _with_der(signed, lambda size: size < FULL_DER_BYTES)
    signed.refused(packet, "a short signature", ResultCode.OK)


@case(
    "SEC-041",
    "a signature that ends in 00 is as good as another",
    clause="5",
    mark="F",
    sends="READ_OBJECT whose DER signature ends in a byte 00",
    expects="OK",
    advice="Never strip zeros from the end of a record: the last one may belong to s.",
    needs=(Need.CREDENTIALS,),
)
def _ends_in_zero(bench: Bench) -> None:
    signed = _Signed(bench)
    for _ in range(SHORT_DER_TRIES):
        packet = signed.packet()
        if packet[-72:][packet[-71] + 1] == 0:
            signed.refused(packet, "a signature that ends in 00", ResultCode.OK)
            return
    raise _no_such_signature()


@case(
    "SEC-042",
    "a record that says another scheme than the header is refused",
    clause="5",
    mark="F",
    sends="READ_OBJECT with a record of scheme 2 under a header of scheme 0, and the reverse",
    expects="INVALID_PACKET_FORMAT (3)",
    advice="A signature that the header does not announce is not verified: refuse it.",
    needs=(Need.CREDENTIALS,),
)
def _downgraded(bench: Bench) -> None:
    signed = _Signed(bench)
    packet = signed.packet()
    header_says_none = packet[:21] + b"\x00" + packet[22:]
    signed.refused(header_says_none, "a hidden record", ResultCode.INVALID_PACKET_FORMAT)
    clear = bench.packet(_COMMAND)
    header_says_two = clear[:21] + b"\x02" + clear[22:]
    signed.refused(header_says_two, "a missing record", ResultCode.INVALID_PACKET_FORMAT)
