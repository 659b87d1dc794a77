"""What a virtual meter lets whom do: result codes of security, signatures, roles, and guests."""

from dataclasses import replace
from typing import Any

import pytest

from tests.certificates.pki import (
    AUTHORITY,
    AUTHORITY_ID,
    AUTHORITY_KEY,
    FALSE_KEY,
    NOW,
    ROOT,
    ROOT_ID,
    authority,
    make_authority,
    make_device,
    make_root,
    targets,
)
from tests.virtual.bench import START_S, Bench
from tests.virtual.parties import (
    CLOCK_CONTROL,
    CLOSE_VALVE,
    COUNTER,
    KEYS,
    LOAD_LIMIT,
    MANUFACTURER,
    METER,
    READ,
    SALT_A,
    SECURITY,
    SERVICE,
    SET_LIMIT,
    USER,
    VALVE,
    Commander,
    authenticate,
    in_clear,
    introduce,
    party,
    role_key,
    secure_bench,
    signed_by,
    signed_packet,
    told,
    with_mac,
)
from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import (
    Complete,
    NoOperation,
    ReadObject,
    ReadObjectPart,
    SetObjectReadAccess,
    WriteObject,
    WriteObjectPart,
)
from umi_cli.application.packet import ENVELOPE_BYTES, Envelope, Message
from umi_cli.application.payload import Command
from umi_cli.application.security_commands import (
    S1AuthChallenge,
    S1AuthLogout,
    S1AuthReply,
    S1AuthRequest,
    S2AddCertificate,
    S2CheckRevocation,
    S2EndSession,
    S2GenerateKeypair,
    S2GetCertificate,
    S2GetCertificateReply,
    S2GetCsr,
    S2GetCsrReply,
    S2InstallOwnCertificateChain,
    S2RelinquishRights,
    S2RevocationAnswer,
    S2RevokeCertificate,
    S2StartSession,
)
from umi_cli.certificates.chain import encode_chain
from umi_cli.certificates.cvc import Certificate, CertificateName
from umi_cli.certificates.request import CertificateRequest
from umi_cli.crypto import PrivateKey
from umi_cli.security.signatures import ResponseSignature, verify_packet
from umi_cli.types import ObjectPart, Role, RoleSet, UmiId
from umi_cli.virtual.delivered import VIRTUAL_METER_ID
from umi_cli.virtual.device import HOST_ALIAS
from umi_cli.virtual.event_log import EventNumber
from umi_cli.virtual.memory import load_memory
from umi_cli.virtual.vault import KEY_TABLE_SIZE, REVOCATION_SIZE, USED_SIGNATURES, Vault

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
GUEST = UmiId(0x99)


def named(certificate: Certificate) -> dict[str, Any]:
    name = certificate.body.name
    return {"issuer": name.issuer, "subject": name.subject, "serial_number": name.serial}


def revoke(who: Certificate) -> S2RevokeCertificate:
    return S2RevokeCertificate(**named(who))


def add(certificate: Certificate) -> S2AddCertificate:
    return S2AddCertificate(certificate=certificate.encode())


def guest_gets(bench: Bench, command: Command[Any], source: UmiId = GUEST) -> ResultCode:
    return ResultCode(in_clear(bench, command, source).argument)


def reborn(bench: Bench) -> Bench:
    """Return the meter that comes of its state file."""
    again = Bench(memory=load_memory(bench.memory.dump(), "test"))
    again.now, again.transaction = bench.now, bench.transaction
    again.wait(0)
    return again


# --- Every result code of security, by the command that causes it --------------------------------


def test_17_an_encrypted_packet_of_no_session() -> None:
    """NO_SESSION comes as an ERROR in the clear: there is nothing to seal it with."""
    bench = secure_bench(SERVICE)
    packet = Commander(bench, SERVICE).seal(NoOperation())
    bench.peer = bench.meter.new_peer("after a power cut")
    message = bench.message(packet)
    assert (message.packet_type, message.argument) == (PacketType.ERROR, ResultCode.NO_SESSION)


def test_17_an_encrypted_packet_that_cannot_be_decrypted() -> None:
    bench = secure_bench(SERVICE)
    packet = Commander(bench, SERVICE).seal(NoOperation())
    assert told(bench, packet[:-1] + bytes([packet[-1] ^ 1])) == ResultCode.NO_SESSION


def test_18_a_command_in_the_clear_inside_a_session() -> None:
    """The commander who has a session says nothing in the clear; another one still may."""
    bench = secure_bench(SERVICE)
    commander = Commander(bench, SERVICE)
    assert in_clear(bench, READ, SERVICE.umi_id).argument == ResultCode.OK  # not confirmed yet
    commander.ask(NoOperation())
    message = in_clear(bench, READ, SERVICE.umi_id)
    assert (message.packet_type, message.argument) == (PacketType.ERROR, ResultCode.NO_ENCRYPTION)
    assert guest_gets(bench, READ) == ResultCode.OK
    assert commander.told(READ) == ResultCode.OK  # and the session goes on


def test_18_what_would_end_another_ones_session_or_rights() -> None:
    bench = secure_bench(SERVICE)
    assert guest_gets(bench, S2EndSession(), SERVICE.umi_id) == ResultCode.NO_ENCRYPTION
    assert guest_gets(bench, S2RelinquishRights(), SERVICE.umi_id) == ResultCode.NO_ENCRYPTION


@pytest.mark.parametrize("scheme", [3, 9, 255])
def test_19_a_signature_scheme_that_nobody_knows(scheme: int) -> None:
    bench = secure_bench()
    packet = bench.packet(NoOperation())
    patched = packet[:21] + bytes([scheme]) + packet[22:32] + bytes([scheme, 2])
    assert told(bench, patched) == ResultCode.UNKNOWN_SIGNATURE_SCHEME


@pytest.mark.parametrize("wanted", [1, 3, 255])
def test_19_a_response_that_the_meter_cannot_sign_so(wanted: int) -> None:
    """A guest has no key; and nothing is run whose answer cannot be signed as it must be."""
    bench = secure_bench()
    command = WriteObject(code=COUNTER, value=b"\x01\0\0\0")
    packet = bench.packet(command)
    patched = packet[:29] + bytes([wanted]) + packet[30:]
    assert told(bench, patched) == ResultCode.UNKNOWN_SIGNATURE_SCHEME
    assert bench.memory.store.values[COUNTER] == bytes(4)


@pytest.mark.parametrize("scheme", [1, 3, 255])
def test_20_an_encryption_scheme_that_nobody_knows(scheme: int) -> None:
    bench = secure_bench()
    packet = bytes([scheme]) + bench.packet(NoOperation())[1:]
    assert told(bench, packet) == ResultCode.UNKNOWN_ENCRYPTION_SCHEME


def test_128_a_wrong_mac() -> None:
    bench = secure_bench()
    packet = with_mac(bench, CLOSE_VALVE, Role.SERVICE, key=role_key(Role.USER))
    assert told(bench, packet) == ResultCode.INVALID_SIGNATURE


def test_128_a_signature_of_another_key() -> None:
    bench = secure_bench(SERVICE)
    packet = signed_by(bench, SET_LIMIT, replace(SERVICE, key=FALSE_KEY))
    assert told(bench, packet) == ResultCode.INVALID_SIGNATURE


def test_128_no_signature_where_the_object_demands_one() -> None:
    """Inside a session, in the right role: still, the object wants a signature of its own."""
    bench = secure_bench(SERVICE)
    commander = Commander(bench, SERVICE)
    assert commander.told(SET_LIMIT) == ResultCode.INVALID_SIGNATURE
    part = WriteObjectPart(part=ObjectPart(LOAD_LIMIT), value=SET_LIMIT.value)
    assert commander.told(part) == ResultCode.INVALID_SIGNATURE
    assert commander.told(SET_LIMIT, sign=True) == ResultCode.OK


def test_129_a_proof_with_another_key() -> None:
    bench = secure_bench()
    wrong = role_key(Role.USER)
    assert authenticate(bench, key=wrong) == ResultCode.AUTHENTICATION_FAILED


def test_129_a_role_without_a_key() -> None:
    bench = secure_bench()
    bench.memory.store.values[KEYS] = bytes(256)
    assert authenticate(bench) == ResultCode.AUTHENTICATION_FAILED


def test_129_a_proof_that_nobody_asked_for() -> None:
    bench = secure_bench()
    assert guest_gets(bench, S1AuthReply(tag_a=bytes(16))) == ResultCode.AUTHENTICATION_FAILED


def test_130_a_meter_without_a_key_pair() -> None:
    """It can start no session, ask for no certificate, take none, and sign no response."""
    bench = secure_bench(SERVICE)
    bench.memory.vault.signer, bench.memory.vault.chain = None, ()
    chain = S2InstallOwnCertificateChain(certificates=METER.certificate.encode())
    start = S2StartSession(salt_a=SALT_A)
    assert guest_gets(bench, start, SERVICE.umi_id) == ResultCode.NO_PUBLIC_KEY
    assert guest_gets(bench, S2GetCsr()) == ResultCode.NO_PUBLIC_KEY
    assert guest_gets(bench, chain) == ResultCode.NO_PUBLIC_KEY
    packet = signed_by(bench, SET_LIMIT, SERVICE, wanted=2)
    assert told(bench, packet) == ResultCode.NO_PUBLIC_KEY
    assert bench.memory.store.values[LOAD_LIMIT] == bytes(4)


def test_131_a_certificate_that_the_meter_does_not_have() -> None:
    bench = secure_bench()
    asked = S2GetCertificate(subject=SERVICE.umi_id)
    start = S2StartSession(salt_a=SALT_A)
    assert guest_gets(bench, asked) == ResultCode.NO_CERTIFICATE
    assert guest_gets(bench, start, SERVICE.umi_id) == ResultCode.NO_CERTIFICATE
    assert told(bench, signed_by(bench, SET_LIMIT, SERVICE)) == ResultCode.NO_CERTIFICATE


def test_132_a_second_key_pair() -> None:
    bench = secure_bench(MANUFACTURER)
    signer = bench.memory.vault.signer
    asked = Commander(bench, MANUFACTURER).told(S2GenerateKeypair())
    assert asked == ResultCode.KEYPAIR_ALREADY_GENERATED
    assert bench.memory.vault.signer is signer


def test_133_a_second_chain() -> None:
    bench = secure_bench(MANUFACTURER)
    command = S2InstallOwnCertificateChain(certificates=METER.certificate.encode())
    assert Commander(bench, MANUFACTURER).told(command) == ResultCode.ALREADY_INSTALLED


def test_133_a_certificate_older_than_the_one_that_the_meter_has() -> None:
    bench = secure_bench(SERVICE)
    older = party(0x51, valid_from=SERVICE.certificate.body.valid_from.replace(year=2025))
    assert guest_gets(bench, add(older.certificate)) == ResultCode.ALREADY_INSTALLED
    assert guest_gets(bench, add(SERVICE.certificate)) == ResultCode.OK  # it is harmless twice


def test_134_a_revocation_point_without_a_session() -> None:
    bench = secure_bench(SECURITY, SERVICE)
    asked = S2CheckRevocation(**named(SERVICE.certificate))
    assert guest_gets(bench, asked) == ResultCode.REVOCATION_POINT_UNAVAILABLE
    Commander(bench, SECURITY).ask(NoOperation())
    assert guest_gets(bench, asked) == ResultCode.OK


def test_135_no_revocation_point_at_all() -> None:
    bench = secure_bench(SERVICE)
    asked = S2CheckRevocation(**named(SERVICE.certificate))
    assert guest_gets(bench, asked) == ResultCode.REVOCATION_POINT_UNKNOWN


def test_136_rights_that_nobody_has() -> None:
    """An authority's certificate gives it none here; and what was given up is gone."""
    holder = party(AUTHORITY_ID.value, key=AUTHORITY_KEY, authorisation=authority())
    bench = secure_bench(holder)
    start = S2StartSession(salt_a=SALT_A)
    assert guest_gets(bench, start, AUTHORITY_ID) == ResultCode.NO_CURRENT_RIGHTS
    bench = secure_bench()
    with pytest.raises(Exception, match="NO_CURRENT_RIGHTS"):
        bench.memory.vault.relinquish(SERVICE.umi_id)


def test_137_a_certificate_of_an_unknown_issuer() -> None:
    bench = secure_bench()
    assert guest_gets(bench, add(make_device())) == ResultCode.UNKNOWN_ISSUER
    assert guest_gets(bench, add(AUTHORITY)) == ResultCode.OK
    assert guest_gets(bench, add(make_device())) == ResultCode.OK


def test_138_more_revocations_than_fit() -> None:
    """The party leaves the key table all the same (protocol 6.4)."""
    bench = secure_bench(SECURITY, SERVICE)
    commander = Commander(bench, SECURITY)
    for number in range(REVOCATION_SIZE):
        assert commander.told(revoke(party(0x1000 + number).certificate)) == ResultCode.OK
    assert commander.told(revoke(SERVICE.certificate)) == ResultCode.OUT_OF_REVOCATION_MEMORY
    assert SERVICE.umi_id not in bench.memory.vault.key_table
    again = commander.told(revoke(party(0x1000).certificate))
    assert again == ResultCode.OK  # it is there already


@pytest.mark.parametrize(
    "data", [b"", b"\x7f\x21", bytes(40), SERVICE.certificate.encode() + b"\0"]
)
def test_139_what_is_no_certificate(data: bytes) -> None:
    bench = secure_bench(MANUFACTURER)
    command = S2AddCertificate(certificate=data)
    assert guest_gets(bench, command) == ResultCode.INVALID_CERTIFICATE_FORMAT
    bench.memory.vault.chain = ()
    chain = S2InstallOwnCertificateChain(certificates=data)
    assert guest_gets(bench, chain) == ResultCode.INVALID_CERTIFICATE_FORMAT


def test_140_a_certificate_that_its_issuer_did_not_sign() -> None:
    bench = secure_bench()
    false = party(0x51, signer=FALSE_KEY).certificate
    assert guest_gets(bench, add(false)) == ResultCode.INVALID_CERTIFICATE_SIGNATURE
    bench.memory.vault.chain = ()
    own = party(VIRTUAL_METER_ID.value, Role.METERING_DEVICE, signer=FALSE_KEY, key=METER.key)
    chain = S2InstallOwnCertificateChain(certificates=own.certificate.encode())
    assert guest_gets(bench, chain) == ResultCode.INVALID_CERTIFICATE_SIGNATURE


INVALID = {
    "ended": {"valid_until": NOW.replace(year=2026, month=11, day=21)},
    "not yet begun": {"valid_from": NOW.replace(year=2027)},
    "for other meters": {
        "authorisation": replace(SERVICE.certificate.body.authorisation, targets=targets(1, 2))
    },
}


@pytest.mark.parametrize("changes", INVALID.values(), ids=INVALID)
def test_141_a_certificate_that_is_good_for_nothing_here(changes: dict[str, Any]) -> None:
    bench = secure_bench()
    command = add(party(0x51, **changes).certificate)
    assert guest_gets(bench, command) == ResultCode.INVALID_CERTIFICATE


def test_141_a_certificate_that_was_revoked() -> None:
    bench = secure_bench(SECURITY, SERVICE)
    assert Commander(bench, SECURITY).told(revoke(SERVICE.certificate)) == ResultCode.OK
    assert guest_gets(bench, add(SERVICE.certificate)) == ResultCode.INVALID_CERTIFICATE


def test_141_an_own_chain_for_another_meter_or_another_key() -> None:
    bench = secure_bench()
    bench.memory.vault.chain = ()
    for false in (party(7, key=METER.key), party(VIRTUAL_METER_ID.value, key=FALSE_KEY)):
        chain = S2InstallOwnCertificateChain(certificates=false.certificate.encode())
        assert guest_gets(bench, chain) == ResultCode.INVALID_CERTIFICATE
    assert bench.memory.vault.chain == ()


def test_142_more_parties_than_the_key_table_holds() -> None:
    bench = secure_bench(*(party(0x100 + number) for number in range(KEY_TABLE_SIZE)))
    assert guest_gets(bench, add(SERVICE.certificate)) == ResultCode.KEY_TABLE_FULL
    renewed = party(0x100, serial=b"\x99").certificate
    assert guest_gets(bench, add(renewed)) == ResultCode.OK  # it takes no place of its own
    assert bench.memory.vault.key_table[UmiId(0x100)] == renewed


def test_a_full_key_table_forgets_who_has_ended() -> None:
    """Parties whose certificates have ended make room for others."""
    short = NOW.replace(hour=11)
    bench = secure_bench(*(party(0x100 + number, valid_until=short) for number in range(16)))
    assert guest_gets(bench, add(SERVICE.certificate)) == ResultCode.KEY_TABLE_FULL
    bench.wait(3601)
    assert guest_gets(bench, add(SERVICE.certificate)) == ResultCode.OK
    assert list(bench.memory.vault.key_table) == [SERVICE.umi_id]


# --- Signed commands -----------------------------------------------------------------------------


def test_a_signed_command_runs_once() -> None:
    """The same packet on the same line gets its stored answer; anywhere else it is refused."""
    bench = secure_bench(SERVICE)
    packet = signed_by(bench, SET_LIMIT, SERVICE)
    assert told(bench, packet) == ResultCode.OK
    bench.memory.store.values[LOAD_LIMIT] = bytes(4)
    assert told(bench, packet) == ResultCode.OK
    assert told(bench, packet, bench.meter.new_peer("other")) == ResultCode.INVALID_SIGNATURE
    assert bench.memory.store.values[LOAD_LIMIT] == bytes(4)


def malleable(packet: bytes) -> bytes:
    """Return a packet with the other signature of its command: (r, n-s) is as good as (r, s)."""
    record = packet[-83:]
    der = record[11 : 13 + record[12]]
    r_end = 4 + der[3]
    s = int.from_bytes(der[r_end + 2 : r_end + 2 + der[r_end + 1]], "big")
    other = (P256_ORDER - s).to_bytes(33, "big").lstrip(b"\0")
    other = (b"\0" + other) if other[0] & 0x80 else other
    body = der[2:r_end] + bytes([2, len(other)]) + other
    return packet[:-72] + (bytes([0x30, len(body)]) + body).ljust(72, b"\0")


def test_the_other_signature_of_a_command_does_not_run_it_again() -> None:
    """Of each ECDSA signature there is a second one, which anyone can make: no new command."""
    bench = secure_bench(SERVICE)
    packet = signed_by(bench, SET_LIMIT, SERVICE)
    other = malleable(packet)
    assert other != packet
    assert malleable(other) == packet
    fresh = secure_bench(SERVICE)
    assert told(fresh, other) == ResultCode.OK  # it verifies
    assert told(bench, packet) == ResultCode.OK
    bench.memory.store.values[LOAD_LIMIT] = bytes(4)
    assert told(bench, other) == ResultCode.INVALID_SIGNATURE
    assert bench.memory.store.values[LOAD_LIMIT] == bytes(4)


def test_a_command_signed_inside_a_session_does_not_run_again_outside() -> None:
    """What is signed leaves the encryption out; so does what is remembered."""
    bench = secure_bench(SERVICE)
    commander = Commander(bench, SERVICE)
    inner: list[Message] = []

    def note(message: Message) -> Message:
        inner.append(message)
        return message

    assert commander.told(SET_LIMIT, sign=True, change=note) == ResultCode.OK
    commander.ask(S2EndSession())
    envelope = Envelope(source=SERVICE.umi_id, destination=VIRTUAL_METER_ID)
    again = envelope.encode() + inner[0].encode()
    assert told(bench, again) == ResultCode.INVALID_SIGNATURE


@pytest.mark.parametrize(("start", "end"), [(1, 300), (-300, -1)])
def test_a_signed_command_holds_in_its_window_alone(start: int, end: int) -> None:
    """Before and after: refused, by the meter's own clock. At both ends of it: taken."""
    bench = secure_bench(SERVICE)
    window = (bench.clock_s + start, bench.clock_s + end)
    assert told(bench, with_mac(bench, CLOSE_VALVE, Role.SERVICE, window=window)) == 128
    assert told(bench, signed_by(bench, SET_LIMIT, SERVICE, window=window)) == 128
    for edge in ((bench.clock_s, bench.clock_s + 9), (bench.clock_s - 9, bench.clock_s)):
        assert told(bench, signed_by(bench, SET_LIMIT, SERVICE, window=edge)) == ResultCode.OK


def test_the_window_is_in_the_meters_time() -> None:
    """A meter whose clock is a month ahead takes what holds then, and not what holds now."""
    bench = secure_bench(SERVICE)
    bench.memory.clock_offset_s = 30 * 86_400
    now = (START_S - 60, START_S + 300)
    assert told(bench, with_mac(bench, CLOSE_VALVE, Role.SERVICE, window=now)) == 128
    assert told(bench, with_mac(bench, CLOSE_VALVE, Role.SERVICE)) == ResultCode.OK


def test_a_window_is_a_week_at_most() -> None:
    """A longer one would fill the memory of used signatures for as long as it lasts."""
    bench = secure_bench(SERVICE)
    start, week = bench.clock_s - 60, 7 * 86_400
    within, beyond = (start, start + week + 60), (start, start + week + 61)
    assert told(bench, signed_by(bench, SET_LIMIT, SERVICE, window=beyond)) == 128
    assert told(bench, signed_by(bench, SET_LIMIT, SERVICE, window=within)) == ResultCode.OK


@pytest.mark.parametrize("destination", [UmiId(0xFFFF_FFFF_FFFF_FFFF), HOST_ALIAS])
def test_a_signed_command_names_its_meter(destination: UmiId) -> None:
    """All ones, and the alias that all meters share, would fit any of them."""
    bench = secure_bench(SERVICE)
    packet = signed_by(bench, SET_LIMIT, SERVICE, destination=destination)
    assert told(bench, packet) == ResultCode.INVALID_SIGNATURE
    packet = with_mac(bench, CLOSE_VALVE, Role.SERVICE, destination=destination)
    assert told(bench, packet) == ResultCode.INVALID_SIGNATURE


def test_a_signature_holds_for_the_certificates_role_alone() -> None:
    bench = secure_bench(USER)
    packet = signed_by(bench, SET_LIMIT, USER, role=Role.SERVICE)
    assert told(bench, packet) == ResultCode.INVALID_SIGNATURE
    assert told(bench, signed_by(bench, SET_LIMIT, USER)) == ResultCode.ACCESS_DENIED


def test_a_mac_holds_for_its_keys_role_alone() -> None:
    bench = secure_bench()
    packet = with_mac(bench, CLOSE_VALVE, Role.USER, wanted=0)
    assert told(bench, packet) == ResultCode.ACCESS_DENIED
    claimed = packet[:-25] + bytes([Role.SERVICE]) + packet[-24:]
    assert told(bench, claimed) == ResultCode.INVALID_SIGNATURE
    bench.memory.store.values[KEYS] = bytes(256)
    assert told(bench, packet, bench.meter.new_peer("x")) == ResultCode.INVALID_SIGNATURE


def test_no_bit_of_a_signed_command_can_be_turned_over() -> None:
    """Whatever bit it is, nothing runs; and the whole one still does."""
    bench = secure_bench(SERVICE)
    packet = signed_by(bench, SET_LIMIT, SERVICE)
    before = bench.memory.dump()
    for bit in range(len(packet) * 8):
        tampered = bytearray(packet)
        tampered[bit // 8] ^= 1 << bit % 8
        peer = bench.meter.new_peer("line")
        assert told(bench, bytes(tampered), peer) != ResultCode.OK, bit
        assert bench.memory.store.values[LOAD_LIMIT] == bytes(4), bit
    bench.memory.events.__init__(  # type: ignore[misc] # some count as bad decrypts
        [each for each in bench.memory.events.records if each[0] != EventNumber.BAD_DECRYPT],
        bench.memory.events.active & ~(1 << EventNumber.BAD_DECRYPT),
    )
    assert bench.memory.dump() == before
    assert told(bench, packet) == ResultCode.OK


def test_no_bit_of_a_command_with_a_mac_can_be_turned_over() -> None:
    bench = secure_bench()
    packet = with_mac(bench, CLOSE_VALVE, Role.SERVICE)
    for bit in range(len(packet) * 8):
        tampered = bytearray(packet)
        tampered[bit // 8] ^= 1 << bit % 8
        assert told(bench, bytes(tampered), bench.meter.new_peer("line")) != ResultCode.OK, bit
        assert bench.memory.store.values[VALVE] == b"\x01", bit
    assert told(bench, packet) == ResultCode.OK


def test_a_record_of_another_form_is_no_signature() -> None:
    bench = secure_bench()
    packet = with_mac(bench, CLOSE_VALVE, Role.SERVICE)
    short = packet[:-1]
    short = short[:-26] + bytes([26]) + short[-25:]
    assert told(bench, short) == ResultCode.INVALID_PACKET_FORMAT


def test_used_signatures_take_bounded_memory() -> None:
    """When it is full no signed change runs; when windows close it is free again."""
    bench = secure_bench()
    for number in range(USED_SIGNATURES):
        command = WriteObject(code=COUNTER, value=number.to_bytes(4, "little"))
        assert told(bench, with_mac(bench, command, Role.SERVICE)) == ResultCode.OK
    assert told(bench, with_mac(bench, CLOSE_VALVE, Role.SERVICE)) == ResultCode.UNAVAILABLE
    assert len(bench.memory.vault.used_signatures) == USED_SIGNATURES
    assert bench.memory.store.values[VALVE] == b"\x01"
    bench.wait(301)
    assert told(bench, with_mac(bench, CLOSE_VALVE, Role.SERVICE)) == ResultCode.OK
    assert len(bench.memory.vault.used_signatures) == 1


def test_reading_under_macs_takes_no_memory() -> None:
    """A client that reads a long profile sends hundreds of MACs in a minute."""
    bench = secure_bench()
    for _ in range(USED_SIGNATURES + 1):
        assert told(bench, with_mac(bench, READ, Role.SERVICE)) == ResultCode.OK
    assert bench.memory.vault.used_signatures == {}


def test_a_command_that_comes_while_the_meter_is_busy_is_not_used_up() -> None:
    """The link says BUSY, and the commander sends the identical bytes again."""
    bench = secure_bench(SERVICE, defer_ms={COUNTER: 500})
    bench.execute(with_mac(bench, WriteObject(code=COUNTER, value=bytes(4)), Role.SERVICE))
    packet = with_mac(bench, CLOSE_VALVE, Role.SERVICE)
    assert bench.execute(packet).is_busy
    bench.wait(1)
    assert told(bench, packet) == ResultCode.OK


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_used_signature_survives_a_power_cut_and_a_state_file(is_cut: bool) -> None:
    bench = secure_bench(SERVICE)
    packets = [
        signed_by(bench, SET_LIMIT, SERVICE),
        with_mac(bench, CLOSE_VALVE, Role.SERVICE),
    ]
    assert [told(bench, packet) for packet in packets] == [0, 0]
    if is_cut:
        bench.meter.lose_power(bench.now)
        bench.peer = bench.meter.new_peer("again")
    else:
        bench = reborn(bench)
        bench.peer = bench.meter.new_peer("again")
    assert [told(bench, packet) for packet in packets] == [128, 128]


def test_a_signed_response_verifies() -> None:
    """Signed with the meter's key, or MACed with the key of the role that the command has."""
    bench = secure_bench(SERVICE)
    for packet, key in (
        (signed_by(bench, SET_LIMIT, SERVICE, wanted=2), METER.key.public_point),
        (with_mac(bench, CLOSE_VALVE, Role.SERVICE), role_key(Role.SERVICE)),
    ):
        answer = bench.execute(packet).packet
        assert answer is not None
        message = Message.decode(answer[ENVELOPE_BYTES:])
        assert message.argument == ResultCode.OK
        unsigned = answer[:ENVELOPE_BYTES] + message.encode_unsigned()
        verify_packet(unsigned, ResponseSignature.decode(message.signature), key)


def test_a_deferred_response_is_signed_as_complete_wants_it() -> None:
    bench = secure_bench(SERVICE, defer_ms={LOAD_LIMIT: 100})
    commander = Commander(bench, SERVICE)
    wait = commander.ask(SET_LIMIT, sign=True, transaction=50)
    assert (wait.packet_type, wait.signature_scheme) == (PacketType.WAIT, 2)
    bench.wait(1)
    done = commander.ask(Complete(), sign=True, transaction=50)
    assert (done.packet_type, done.argument) == (PacketType.WRITE_OBJECT_RESPONSE, ResultCode.OK)
    assert done.signature_scheme == 2


# --- Roles ---------------------------------------------------------------------------------------


def test_the_role_in_a_session_is_the_certificates() -> None:
    bench = secure_bench(SERVICE, USER)
    assert Commander(bench, USER).told(CLOSE_VALVE) == ResultCode.ACCESS_DENIED
    assert Commander(bench, SERVICE).told(CLOSE_VALVE) == ResultCode.OK


def test_scheme_1_proves_a_role_for_what_changes_nothing() -> None:
    """A change in the clear carries its own MAC, or is a guest's."""
    bench = secure_bench()
    assert authenticate(bench) == ResultCode.OK
    secret = ReadObject(code=CLOCK_CONTROL)
    bench.memory.store.set_access(CLOCK_CONTROL, Role.MANUFACTURER, read=RoleSet.of(Role.SERVICE))
    assert guest_gets(bench, secret, SERVICE.umi_id) == ResultCode.OK
    assert guest_gets(bench, secret, USER.umi_id) == ResultCode.ACCESS_DENIED
    assert guest_gets(bench, CLOSE_VALVE, SERVICE.umi_id) == ResultCode.ACCESS_DENIED
    assert told(bench, with_mac(bench, CLOSE_VALVE, Role.SERVICE)) == ResultCode.OK


def test_logout_makes_a_guest() -> None:
    bench = secure_bench()
    bench.memory.store.set_access(CLOCK_CONTROL, Role.MANUFACTURER, read=RoleSet.of(Role.SERVICE))
    assert authenticate(bench) == ResultCode.OK
    assert guest_gets(bench, S1AuthLogout(), SERVICE.umi_id) == ResultCode.OK
    secret = ReadObject(code=CLOCK_CONTROL)
    assert guest_gets(bench, secret, SERVICE.umi_id) == ResultCode.ACCESS_DENIED


def test_what_was_proved_is_gone_with_the_power() -> None:
    bench = secure_bench()
    assert authenticate(bench) == ResultCode.OK
    bench.meter.lose_power(bench.now)
    assert bench.meter.new_peer("line").authenticated == {}


# --- Revocation ----------------------------------------------------------------------------------


def test_revocation_ends_sessions_on_every_line() -> None:
    """Also where the revoked party hangs on another line, in the middle of its session."""
    bench = secure_bench(SECURITY, SERVICE)
    elsewhere = bench.meter.new_peer("another line")
    victim = Commander(bench, SERVICE, elsewhere)
    assert victim.told(READ) == ResultCode.OK
    assert Commander(bench, SECURITY).told(revoke(SERVICE.certificate)) == ResultCode.OK
    packet = victim.seal(CLOSE_VALVE)
    assert told(bench, packet, elsewhere) == ResultCode.NO_SESSION
    assert bench.memory.store.values[VALVE] == b"\x01"


def test_revoking_an_authority_ends_what_hangs_on_it() -> None:
    child = party(0x77, issuer=AUTHORITY_ID, signer=AUTHORITY_KEY)
    bench = secure_bench(SECURITY)
    assert guest_gets(bench, add(AUTHORITY)) == ResultCode.OK
    introduce(bench, child)
    session = Commander(bench, child)
    assert session.told(READ) == ResultCode.OK
    assert Commander(bench, SECURITY).told(revoke(AUTHORITY)) == ResultCode.OK
    assert told(bench, session.seal(READ)) == ResultCode.NO_SESSION
    assert set(bench.memory.vault.key_table) == {SECURITY.umi_id}
    assert guest_gets(bench, add(AUTHORITY)) == ResultCode.INVALID_CERTIFICATE


def test_an_authority_that_revokes_itself_is_answered_under_its_session() -> None:
    """Nothing is answered in the clear inside a session; then the session is over."""
    bench = secure_bench(SECURITY)
    commander = Commander(bench, SECURITY)
    assert commander.told(revoke(SECURITY.certificate)) == ResultCode.OK
    assert told(bench, commander.seal(NoOperation())) == ResultCode.NO_SESSION


def test_only_a_certified_security_authority_revokes() -> None:
    """Nor does the shared key of that role do: obeyed is the certificate (protocol 6.4)."""
    bench = secure_bench(SERVICE, SECURITY)
    answer = S2RevocationAnswer(**named(SERVICE.certificate), is_revoked=1)
    for command in (revoke(SERVICE.certificate), answer):
        assert guest_gets(bench, command) == ResultCode.ACCESS_DENIED
        assert Commander(bench, SERVICE).told(command) == ResultCode.ACCESS_DENIED
        bench.peer = bench.meter.new_peer("line")
        packet = with_mac(bench, command, Role.SECURITY_AUTHORITY)
        assert told(bench, packet) == ResultCode.ACCESS_DENIED
    assert bench.memory.vault.revoked == {}
    assert told(bench, signed_by(bench, answer, SECURITY)) == ResultCode.OK
    assert list(bench.memory.vault.revoked) == [SERVICE.certificate.body.name]


def test_an_answer_says_revoked_or_not() -> None:
    bench = secure_bench(SECURITY, SERVICE)
    commander = Commander(bench, SECURITY)
    name = named(SERVICE.certificate)
    assert commander.told(S2CheckRevocation(**name)) == ResultCode.OK
    assert bench.memory.vault.asked == {SERVICE.certificate.body.name}
    assert commander.told(S2RevocationAnswer(**name, is_revoked=2)) == ResultCode.INVALID_VALUE
    assert commander.told(S2RevocationAnswer(**name, is_revoked=0)) == ResultCode.OK
    assert bench.memory.vault.asked == set()
    assert SERVICE.umi_id in bench.memory.vault.key_table
    assert commander.told(S2RevocationAnswer(**name, is_revoked=1)) == ResultCode.OK
    assert SERVICE.umi_id not in bench.memory.vault.key_table
    nameless = S2RevokeCertificate(issuer=ROOT_ID, subject=SERVICE.umi_id, serial_number=b"")
    assert commander.told(nameless) == ResultCode.INVALID_VALUE


def test_rights_are_given_up_by_their_holder_alone() -> None:
    """In its session or with its signature; a shared key does not tell who gives them up."""
    bench = secure_bench(SERVICE, USER)
    stolen = with_mac(bench, S2RelinquishRights(), Role.USER, source=SERVICE.umi_id)
    assert told(bench, stolen) == ResultCode.NO_ENCRYPTION
    assert SERVICE.umi_id in bench.memory.vault.key_table
    commander = Commander(bench, SERVICE)
    assert commander.told(S2RelinquishRights()) == ResultCode.OK
    assert told(bench, commander.seal(READ)) == ResultCode.NO_SESSION
    assert told(bench, signed_by(bench, S2RelinquishRights(), USER)) == ResultCode.OK
    assert bench.memory.vault.key_table == {}


# --- The factory ---------------------------------------------------------------------------------


def test_a_meter_is_given_its_identity_in_the_factory() -> None:
    """Root, key pair, request, chain, first party: all by whoever is at its line; then no more."""
    bench = Bench()
    bench.memory.vault = Vault()
    assert guest_gets(bench, add(ROOT)) == ResultCode.OK
    assert guest_gets(bench, S2GenerateKeypair()) == ResultCode.OK
    message = in_clear(bench, S2GetCsr(), GUEST)
    request = CertificateRequest.decode(S2GetCsrReply.decode(message.payload).request)
    request.verify()
    assert (request.subject, request.issuer) == (VIRTUAL_METER_ID, ROOT_ID)
    signer = bench.memory.vault.signer
    assert signer is not None
    own = make_device(
        signer=AUTHORITY_KEY, subject=VIRTUAL_METER_ID, public_point=request.public_point
    )
    chain = encode_chain((own, AUTHORITY))
    assert guest_gets(bench, S2InstallOwnCertificateChain(certificates=chain)) == ResultCode.OK
    for subject, certificate in ((VIRTUAL_METER_ID, own), (AUTHORITY_ID, AUTHORITY)):
        message = in_clear(bench, S2GetCertificate(subject=subject), GUEST)
        assert S2GetCertificateReply.decode(message.payload).certificate == certificate.encode()
    for command in (S2GenerateKeypair(), S2InstallOwnCertificateChain(certificates=chain)):
        assert guest_gets(bench, command) == ResultCode.ACCESS_DENIED


def test_without_a_root_a_request_is_to_nobody() -> None:
    bench = Bench()
    assert guest_gets(bench, S2GenerateKeypair()) == ResultCode.OK
    message = in_clear(bench, S2GetCsr(), GUEST)
    request = CertificateRequest.decode(S2GetCsrReply.decode(message.payload).request)
    assert request.issuer == UmiId(0xFFFF_FFFF_FFFF_FFFF)


# --- What a guest on the line must not -----------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ReadObject(code=KEYS),
        ReadObjectPart(part=ObjectPart(KEYS, first=5, last=5)),
        WriteObject(code=KEYS, value=bytes(256)),
        SetObjectReadAccess(code=KEYS, roles=RoleSet.everyone()),
    ],
    ids=lambda command: command.title,
)
@pytest.mark.parametrize("role", [None, Role.SERVICE, Role.USER])
def test_keys_are_neither_read_nor_written(command: Command[Any], role: Role | None) -> None:
    bench = secure_bench()
    before = bench.memory.store.values[KEYS]
    packet = with_mac(bench, command, role) if role else bench.packet(command)
    assert told(bench, packet) == ResultCode.ACCESS_DENIED
    assert bench.memory.store.values[KEYS] == before


def test_no_answer_holds_a_key() -> None:
    """Whatever a guest asks, in any command with any payload that a reply could carry."""
    bench = secure_bench(SERVICE, SECURITY)
    secrets = [role_key(role).raw for role in Role if role] + [
        METER.key.to_pkcs8()[-100:],
        bytes.fromhex(METER.key.to_pkcs8().hex())[36:68],
    ]
    for code in bench.memory.store.values:
        answer = bench.execute(bench.packet(ReadObject(code=code))).packet or b""
        assert not any(secret in answer for secret in secrets), code
    assert not any(secret.hex() in repr(bench.memory.vault) for secret in secrets)


def test_nobody_fetches_what_another_ones_command_brought() -> None:
    """COMPLETE gets the deferred response if it comes from the command's sender, sealed as it was.

    Else a guest would read in the clear what a session has asked for.
    """
    bench = secure_bench(SERVICE, USER, defer_ms={CLOCK_CONTROL: 100})
    bench.memory.store.set_access(CLOCK_CONTROL, Role.MANUFACTURER, read=RoleSet.of(Role.SERVICE))
    other, commander = Commander(bench, USER), Commander(bench, SERVICE)
    assert other.told(READ) == ResultCode.OK
    secret = ReadObject(code=CLOCK_CONTROL)
    assert commander.ask(secret, transaction=9).packet_type == PacketType.WAIT
    bench.wait(1)
    for source in (GUEST, SERVICE.umi_id):
        message = in_clear(bench, Complete(), source, transaction=9)
        assert message.argument in (ResultCode.DEFER_ERROR, ResultCode.NO_ENCRYPTION)
        assert message.payload == b""
    assert other.ask(Complete(), transaction=9).argument == ResultCode.DEFER_ERROR
    done = commander.ask(Complete(), transaction=9)
    assert (done.argument, done.payload[-8:]) == (ResultCode.OK, bytes(8))


def test_what_a_session_asked_for_is_not_said_in_the_clear_after_it() -> None:
    """The session has ended; who writes its commander's ID on a COMPLETE gets nothing."""
    bench = secure_bench(SERVICE, defer_ms={CLOCK_CONTROL: 100})
    bench.memory.store.set_access(CLOCK_CONTROL, Role.MANUFACTURER, read=RoleSet.of(Role.SERVICE))
    secret = ReadObject(code=CLOCK_CONTROL)
    assert Commander(bench, SERVICE).ask(secret, transaction=9).packet_type == PacketType.WAIT
    bench.wait(1000)
    message = in_clear(bench, Complete(), SERVICE.umi_id, transaction=9)
    assert (message.argument, message.payload) == (ResultCode.DEFER_ERROR, b"")


def test_complete_cannot_have_a_response_signed_in_another_role() -> None:
    """A guest has no key to sign with: refused, and the meter goes on."""
    bench = secure_bench(defer_ms={COUNTER: 100})
    command = WriteObject(code=COUNTER, value=b"\x05\0\0\0")
    assert in_clear(bench, command, SERVICE.umi_id, transaction=3).packet_type == PacketType.WAIT
    bench.wait(1)
    packet = with_mac(bench, Complete(), Role.SERVICE, transaction=3)
    assert told(bench, packet) == ResultCode.UNKNOWN_SIGNATURE_SCHEME
    done = in_clear(bench, Complete(), SERVICE.umi_id, transaction=3)
    assert done.packet_type == PacketType.WRITE_OBJECT_RESPONSE


def test_a_guest_neither_ends_nor_takes_over_a_session() -> None:
    """START_SESSION with another's ID begins one that the live session survives."""
    bench = secure_bench(SERVICE)
    commander = Commander(bench, SERVICE)
    commander.ask(NoOperation())
    assert guest_gets(bench, S2StartSession(salt_a=bytes(15) + b"\x07"), SERVICE.umi_id) == 0
    assert guest_gets(bench, S2EndSession(), SERVICE.umi_id) == ResultCode.NO_ENCRYPTION
    assert guest_gets(bench, S1AuthLogout(), SERVICE.umi_id) == ResultCode.NO_ENCRYPTION
    assert commander.told(CLOSE_VALVE) == ResultCode.OK


def test_a_guest_does_not_bring_back_a_certificate_that_was_renewed() -> None:
    """Old certificates are public; with one of them in its place a party could start no session."""
    renewed = party(
        0x51, key=PrivateKey.generate(), valid_from=NOW.replace(month=11, day=1), serial=b"\x09"
    )
    bench = secure_bench(renewed)
    assert guest_gets(bench, add(SERVICE.certificate)) == ResultCode.ALREADY_INSTALLED
    assert Commander(bench, renewed).told(CLOSE_VALVE) == ResultCode.OK


def test_a_certificate_of_another_key_ends_the_session_of_the_first() -> None:
    """It might be for another role: what a session may was proved with the first one's key."""
    bench = secure_bench(USER)
    session = Commander(bench, USER)
    assert session.told(READ) == ResultCode.OK
    other = party(0x41, Role.SERVICE, key=FALSE_KEY, serial=b"\x77")
    introduce(bench, other)
    assert told(bench, session.seal(CLOSE_VALVE)) == ResultCode.NO_SESSION


def test_a_guest_fills_no_table() -> None:
    """Questions about revocations take bounded memory; so do challenges and begun sessions."""
    bench = secure_bench(SECURITY, SERVICE)
    Commander(bench, SECURITY).ask(NoOperation())
    results = [
        guest_gets(bench, S2CheckRevocation(**named(party(0x2000 + number).certificate)))
        for number in range(REVOCATION_SIZE + 5)
    ]
    assert results == [0] * REVOCATION_SIZE + [ResultCode.OUT_OF_REVOCATION_MEMORY] * 5
    assert guest_gets(bench, S2CheckRevocation(**named(party(0x2000).certificate))) == 0
    for number in range(50):
        source = UmiId(0x3000 + number)
        assert guest_gets(bench, S2StartSession(salt_a=SALT_A), source) == 131
        guest_gets(bench, S1AuthRequest(role=Role.SERVICE, nonce_a=bytes(16)), source)
    peer = bench.peer
    assert (len(peer.pending), len(peer.sessions), len(peer.authenticated)) == (0, 1, 0)


def test_a_guest_does_not_push_the_events_out_of_the_log() -> None:
    """A thousand packets that cannot be decrypted are one event a minute."""
    bench = secure_bench(SERVICE)
    garbage = b"\x02" + bench.packet(READ, source=SERVICE.umi_id)[1:]

    def bad_decrypts() -> int:
        return [each[0] for each in bench.memory.events.records].count(EventNumber.BAD_DECRYPT)

    for _ in range(1000):
        assert told(bench, garbage) == ResultCode.NO_SESSION
    assert bad_decrypts() == 1
    bench.wait(60)
    told(bench, garbage)
    assert bad_decrypts() == 2
    source = bytes.fromhex(bench.memory.events.records[-1][2])
    assert source == SERVICE.umi_id.encode()


def test_a_guest_gets_no_proof_that_serves_it_elsewhere() -> None:
    """The meter proves itself to whoever asks; never in a role of the asker's choice."""
    bench = secure_bench()
    message = in_clear(bench, S1AuthChallenge(nonce_b=bytes(16)), GUEST)
    assert message.payload[0] == Role.METERING_DEVICE


@pytest.mark.parametrize("role", [12, 13, 14, 16, 255])
def test_a_role_that_does_not_exist_is_no_role(role: int) -> None:
    bench = secure_bench()
    command = S1AuthRequest(role=role, nonce_a=bytes(16))
    assert guest_gets(bench, command) == ResultCode.INVALID_VALUE


def test_other_parts_of_the_chain_do_not_make_a_party() -> None:
    """A certificate name is whole: issuer, subject and serial number."""
    bench = secure_bench(SECURITY, SERVICE)
    name = SERVICE.certificate.body.name
    other = CertificateName(issuer=name.issuer, subject=name.subject, serial=b"\x42")
    command = S2RevokeCertificate(
        issuer=other.issuer, subject=other.subject, serial_number=other.serial
    )
    assert Commander(bench, SECURITY).told(command) == ResultCode.OK
    assert SERVICE.umi_id in bench.memory.vault.key_table
    assert bench.memory.vault.revoked == {other: 0xFFFF_FFFF}


def test_authorities_may_be_known_to_the_meter_for_some_meters_only() -> None:
    """A party of an authority for other meters is none here, whatever its own range says."""
    other = make_authority(authorisation=authority(targets=targets(1, 2)))
    bench = secure_bench()
    assert guest_gets(bench, add(other)) == ResultCode.OK
    child = party(0x77, issuer=AUTHORITY_ID, signer=AUTHORITY_KEY)
    assert guest_gets(bench, add(child.certificate)) == ResultCode.INVALID_CERTIFICATE


def test_a_second_root_is_nobodys() -> None:
    bench = secure_bench()
    false = make_root(
        subject=UmiId(0xBAD), issuer=UmiId(0xBAD), public_point=FALSE_KEY.public_point
    )
    signed = Certificate.sign(false.body, FALSE_KEY)
    assert guest_gets(bench, add(signed)) == ResultCode.UNKNOWN_ISSUER
    assert bench.memory.vault.anchors == (ROOT,)


def test_a_mac_in_a_session_proves_its_own_role_and_not_the_certificates() -> None:
    """In a user's session a command with a MAC of role 15 revokes nothing."""
    bench = secure_bench(USER, SERVICE)
    commander = Commander(bench, USER)
    packet = with_mac(
        bench, revoke(SERVICE.certificate), Role.SECURITY_AUTHORITY, source=USER.umi_id
    )
    inner = packet[ENVELOPE_BYTES:]
    head = Envelope(source=USER.umi_id, destination=VIRTUAL_METER_ID, encryption_scheme=2)
    answer = bench.execute(commander.session.seal(head.encode(), inner)).packet
    assert commander.open(answer).argument == ResultCode.ACCESS_DENIED


def test_signed_packets_take_any_transaction() -> None:
    bench = secure_bench(SERVICE)
    packet = signed_packet(
        bench,
        SET_LIMIT,
        SERVICE.key,
        Role.SERVICE,
        source=SERVICE.umi_id,
        transaction=0xFFFF,
    )
    assert told(bench, packet) == ResultCode.OK
