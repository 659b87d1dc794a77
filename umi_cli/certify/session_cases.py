"""Tests of scheme 2 sessions: keys, counters, what is refused inside and outside (protocol 6.3)."""

from typing import Any

from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import NoOperation, ReadObject
from umi_cli.application.packet import ENVELOPE_BYTES
from umi_cli.application.payload import Command
from umi_cli.application.security_commands import (
    S1AuthLogout,
    S1AuthRequest,
    S2EndSession,
    S2GetCertificate,
    S2GetCsr,
    S2StartSession,
)
from umi_cli.certificates.authorisation import StandardAuthorisation
from umi_cli.certify.bench import Bench, describe_result, expect_result
from umi_cli.certify.case import Need, case, expect, fail
from umi_cli.certify.hand_session import HandSession, altered, device_certificate
from umi_cli.crypto import AesKey, new_salt
from umi_cli.security.session2 import SealedSession
from umi_cli.types import Role, UmiCode, UmiId

A_STRANGER = UmiId(0x0200_0000_0000_1234)
_SERIAL_NUMBER_OWNER = UmiCode.parse("umi.1.1.0.0")
_ABSENT = (ResultCode.UNKNOWN_PACKET_TYPE, ResultCode.NOT_IMPLEMENTED)
_DEVICES = (Role.HOST, Role.PERIPHERAL, Role.METERING_DEVICE)
_DONE = (ResultCode.OK, ResultCode.NOT_IMPLEMENTED)  # of NO_OPERATION: both confirm the key


@case(
    "SEC-001",
    "scheme 2 is there as a whole, or not at all",
    clause="6.3",
    mark="C",
    sends="S2_GET_CERTIFICATE of a stranger, S2_START_SESSION, S2_END_SESSION and S2_GET_CSR",
    expects="all of them known, or all of them unknown or not implemented",
    advice="Half a scheme is taken for the whole one by whoever finds its first command.",
)
def _whole_scheme2(bench: Bench) -> None:
    commands = (
        S2GetCertificate(subject=A_STRANGER),
        S2StartSession(salt_a=new_salt()),
        S2EndSession(),
        S2GetCsr(),
    )
    _expect_whole(bench, *commands)


@case(
    "SEC-002",
    "scheme 1 is there as a whole, or not at all",
    clause="6.2",
    mark="C",
    sends="S1_AUTH_REQUEST and S1_AUTH_LOGOUT",
    expects="both known, or both unknown or not implemented",
    advice="Half a scheme is taken for the whole one by whoever finds its first command.",
)
def _whole_scheme1(bench: Bench) -> None:
    _expect_whole(bench, S1AuthRequest(role=Role.SERVICE, nonce_a=new_salt()), S1AuthLogout())


def _expect_whole(bench: Bench, *commands: Command[Any]) -> None:
    found = {command.TYPE.name: bench.result_of(command).argument for command in commands}
    absent = [name for name, code in found.items() if code in _ABSENT]
    expect(
        len(absent) in (0, len(commands)),
        f"{', '.join(absent)} are not there, the others are",
    )


@case(
    "SEC-003",
    "the device shows its own certificate to everybody",
    clause="6.4",
    mark="F",
    sends="S2_GET_CERTIFICATE of the device's UMI ID, as guest",
    expects="a certificate for that UMI ID, in a role of devices, within its time",
    advice="Readers verify it before they agree on a key: it must be for the ID in packets.",
)
def _own_certificate(bench: Bench) -> None:
    device_id = bench.meter.session.identify()
    body = device_certificate(bench, device_id).body
    expect(body.subject == device_id, f"it is for {body.subject}, the device is {device_id}")
    rights = body.authorisation
    is_device = isinstance(rights, StandardAuthorisation) and rights.role in _DEVICES
    expect(is_device, f"it authorises {rights}, no role of a device")


@case(
    "SEC-004",
    "a certificate that the device does not have is not made up",
    clause="3.3",
    mark="F",
    sends=f"S2_GET_CERTIFICATE of {A_STRANGER}",
    expects="NO_CERTIFICATE (131)",
    advice="Whoever asks wants to know that it is not there.",
)
def _no_certificate(bench: Bench) -> None:
    bench.expect_scheme2()
    bench.refused(S2GetCertificate(subject=A_STRANGER), ResultCode.NO_CERTIFICATE)


@case(
    "SEC-005",
    "nobody without a certificate begins a session",
    clause="6.3",
    mark="F",
    sends=f"S2_START_SESSION from {A_STRANGER}",
    expects="NO_CERTIFICATE (131) or NO_PUBLIC_KEY (130)",
    advice="The session key is made with the public key of the certificate: no other will do.",
)
def _stranger_starts(bench: Bench) -> None:
    bench.expect_scheme2()
    command = S2StartSession(salt_a=new_salt())
    packet = bench.envelope(source=A_STRANGER).encode() + bench.message(command).encode()
    codes = (ResultCode.NO_CERTIFICATE, ResultCode.NO_PUBLIC_KEY)
    expect_result(bench.ask(packet, command), command.title, *codes)


@case(
    "SEC-010",
    "a session comes about, and is confirmed under its key",
    clause="6.3",
    mark="F",
    sends="our certificates, S2_START_SESSION, NO_OPERATION under encryption",
    expects="16 bytes of salt, then OK or NOT_IMPLEMENTED under the session key",
    advice="Key: the first 16 bytes of HMAC-SHA-256(ECDH x-coordinate, salt A, salt B).",
    needs=(Need.CREDENTIALS,),
)
def _session(bench: Bench) -> None:
    message = HandSession(bench).ask(NoOperation())
    expect_result(message, "NO_OPERATION", *_DONE)


@case(
    "SEC-011",
    "the device's certificate is trusted by the anchor that was given",
    clause="6.4",
    mark="F",
    sends="what umi sends to begin a session",
    expects="a chain that ends in the anchor, and a session",
    advice="Give the device the certificates above its own, up to the anchor.",
    needs=(Need.CREDENTIALS,),
)
def _trusted(bench: Bench) -> None:
    with bench.secured() as meter:
        meter.ping()


@case(
    "SEC-012",
    "each session has a salt of its own",
    clause="6.3",
    mark="F",
    sends="S2_START_SESSION, five times",
    expects="five different salts, none all zero and none ours",
    advice="A device that repeats its salt can be had to repeat a whole session.",
    needs=(Need.CREDENTIALS,),
)
def _salts(bench: Bench) -> None:
    salts = {HandSession(bench).salt_b for _ in range(5)}
    expect(len(salts) == 5, f"{len(salts)} different salts in five sessions")


@case(
    "SEC-013",
    "a salt of another length is refused",
    clause="6.3",
    mark="F",
    sends="S2_START_SESSION with 15 and with 17 bytes",
    expects="INVALID_PACKET_FORMAT (3) or INVALID_LENGTH (11)",
    advice="A salt has 16 bytes.",
)
def _salt_length(bench: Bench) -> None:
    bench.expect_scheme2()
    command = S2StartSession(salt_a=new_salt())
    for length in (15, 17):
        message = bench.result_of(command, payload=bytes(length))
        codes = (ResultCode.INVALID_PACKET_FORMAT, ResultCode.INVALID_LENGTH)
        expect_result(message, f"a salt of {length} bytes", *codes)


@case(
    "SEC-014",
    "a wrong tag is refused, and ends the session",
    clause="6.3",
    mark="F",
    sends="NO_OPERATION under encryption with one bit of its tag turned, then a sound one",
    expects="NO_SESSION (17) in the clear, to both",
    advice="After a wrong tag nobody knows which counters were used: throw the key away.",
    needs=(Need.CREDENTIALS,),
)
def _wrong_tag(bench: Bench) -> None:
    session = HandSession(bench)
    session.ask(NoOperation())
    sound = session.seal(NoOperation())
    session.expect_dead(altered(sound, len(sound) - 1), "a wrong tag")
    session.expect_dead(sound, "a packet after it")


@case(
    "SEC-015",
    "what is in the clear is authenticated as well",
    clause="3.1",
    mark="F",
    sends="NO_OPERATION under encryption whose source options were changed on the way",
    expects="NO_SESSION (17)",
    advice="The 21 bytes in the clear are the additional data of the GCM tag.",
    needs=(Need.CREDENTIALS,),
)
def _additional_data(bench: Bench) -> None:
    session = HandSession(bench)
    session.ask(NoOperation())
    session.expect_dead(altered(session.seal(NoOperation()), 2), "a changed envelope")


@case(
    "SEC-016",
    "a packet that comes again is not executed again",
    clause="6.3",
    mark="F",
    sends="NO_OPERATION under encryption, and the same packet in another frame",
    expects="an answer, then NO_SESSION (17) or nothing",
    advice="A counter that was used is used: the next one is at least two above it.",
    needs=(Need.CREDENTIALS,),
)
def _replay(bench: Bench) -> None:
    session = HandSession(bench)
    packet = session.seal(NoOperation())
    bench.transact(packet, NoOperation())
    bench.forget_link()
    raw = bench.transact(packet, NoOperation())
    expect(
        raw[0] == 0 and raw[29] == ResultCode.NO_SESSION,
        "the packet was answered again under the session key",
    )


@case(
    "SEC-017",
    "a counter below the next one is refused",
    clause="6.3",
    mark="F",
    sends="NO_OPERATION under the counters 0 and 2, then another packet under 0",
    expects="NO_SESSION (17) to the last",
    advice="One nonce never seals two texts: counters only go up.",
    needs=(Need.CREDENTIALS,),
)
def _old_counter(bench: Bench) -> None:
    session = HandSession(bench)
    replayer = session.fork()
    session.ask(NoOperation())
    session.ask(NoOperation())
    packet = replayer.seal(ReadObject(code=_SERIAL_NUMBER_OWNER))
    session.expect_dead(packet, "a packet under an old counter")


@case(
    "SEC-018",
    "a command may skip counters",
    clause="6.3",
    mark="F",
    sends="NO_OPERATION under the counters 0 and 4: 2 was lost on the way",
    expects="an answer to each, under the counter after its own",
    advice="A commander never uses a counter twice: what was lost is not sent again.",
    needs=(Need.CREDENTIALS,),
)
def _skipped(bench: Bench) -> None:
    session = HandSession(bench)
    session.ask(NoOperation())
    session.sealed.pass_over()
    message = session.ask(NoOperation())
    expect_result(message, "NO_OPERATION after a gap", *_DONE)


@case(
    "SEC-019",
    "inside a session nothing is taken in the clear",
    clause="6.3",
    mark="F",
    sends="READ_OBJECT umi.1.1.0.0 in the clear, from the one whose session it is",
    expects="NO_ENCRYPTION (18)",
    advice="Otherwise whoever is on the line takes part in the session.",
    needs=(Need.CREDENTIALS,),
)
def _clear_inside(bench: Bench) -> None:
    session = HandSession(bench)
    session.ask(NoOperation())
    command = ReadObject(code=_SERIAL_NUMBER_OWNER)
    message = bench.ask(session.clear(command), command)
    expect_result(message, "a command in the clear", ResultCode.NO_ENCRYPTION)


@case(
    "SEC-020",
    "the answer to an encrypted command is encrypted",
    clause="6.3",
    mark="F",
    sends="READ_OBJECT of an object that does not exist, under encryption",
    expects="the refusal under the session key, under the counter after the command's",
    advice="Refusals are answers too: sealed as their command was.",
    needs=(Need.CREDENTIALS,),
)
def _sealed_refusal(bench: Bench) -> None:
    session = HandSession(bench)
    session.ask(NoOperation())
    packet = session.seal(ReadObject(code=UmiCode.parse("umi.255.255.255.255")))
    envelope, message, is_sealed = session.answer_to(packet)
    expect(is_sealed, f"it was answered in the clear, with {describe_result(message)}")
    counter = packet[ENVELOPE_BYTES - 1] + 1
    expect(
        envelope.encryption_options == counter & 0xFF,
        f"its encryption options are {envelope.encryption_options}, not {counter}",
    )


@case(
    "SEC-021",
    "S2_END_SESSION ends the session",
    clause="6.3",
    mark="F",
    sends="S2_END_SESSION under encryption, then NO_OPERATION under the same key",
    expects="OK under the key, then NO_SESSION (17)",
    advice="Forget the key as soon as the answer is sealed.",
    needs=(Need.CREDENTIALS,),
)
def _ended(bench: Bench) -> None:
    session = HandSession(bench)
    message = session.ask(S2EndSession())
    expect_result(message, "S2_END_SESSION", ResultCode.OK)
    session.expect_dead(session.seal(NoOperation()), "a packet of an ended session")


@case(
    "SEC-022",
    "S2_END_SESSION in the clear ends nothing",
    clause="6.3",
    mark="F",
    sends="S2_END_SESSION in the clear, then NO_OPERATION under the session key",
    expects="NO_ENCRYPTION (18), then an answer under the key",
    advice="Anybody can send it: it must not cost others their sessions.",
    needs=(Need.CREDENTIALS,),
)
def _clear_end(bench: Bench) -> None:
    session = HandSession(bench)
    session.ask(NoOperation())
    command = S2EndSession()
    message = bench.ask(session.clear(command), command)
    expect_result(message, "S2_END_SESSION in the clear", ResultCode.NO_ENCRYPTION)
    session.ask(NoOperation())


@case(
    "SEC-023",
    "a packet under another key is refused",
    clause="6.3",
    mark="F",
    sends="NO_OPERATION sealed under a key that nobody has agreed on",
    expects="NO_SESSION (17)",
    advice="The tag tells; nothing of the packet is believed before.",
    needs=(Need.CREDENTIALS,),
)
def _other_key(bench: Bench) -> None:
    session = HandSession(bench)
    session.sealed = SealedSession.of_commander(AesKey(bench.random.randbytes(16)), session.own_id)
    session.expect_dead(session.seal(NoOperation()), "a packet under another key")


@case(
    "SEC-024",
    "an encrypted packet of a stranger is refused",
    clause="6.3",
    mark="F",
    sends=f"NO_OPERATION under encryption from {A_STRANGER}, who has no session",
    expects="NO_SESSION (17) in the clear",
    advice="Sessions are found by the commander's UMI ID.",
)
def _stranger(bench: Bench) -> None:
    bench.expect_scheme2()
    sealed = SealedSession.of_commander(AesKey(bench.random.randbytes(16)), A_STRANGER)
    envelope = bench.envelope(source=A_STRANGER, encryption_scheme=2).encode()
    packet = sealed.seal(envelope, bench.message(NoOperation()).encode())
    message = bench.ask(packet, NoOperation())
    is_error = message.packet_type == PacketType.ERROR
    if not is_error or message.argument != ResultCode.NO_SESSION:
        fail(f"it was answered with {describe_result(message)} instead of NO_SESSION (17)")


@case(
    "SEC-025",
    "a session that is being begun does not end the one there is",
    clause="6.3",
    mark="C",
    sends="S2_START_SESSION in the name of one who has a session, then a packet of the session",
    expects="an answer under the old key",
    advice="Anybody can send S2_START_SESSION: it counts once a packet came under the new key.",
    needs=(Need.CREDENTIALS,),
)
def _second_start(bench: Bench) -> None:
    session = HandSession(bench)
    session.ask(NoOperation())
    command = S2StartSession(salt_a=new_salt())
    bench.ask(session.clear(command), command)
    expect_result(session.ask(NoOperation()), "NO_OPERATION", *_DONE)
