"""Scheme 2 at the client's end, and through a real exchange with the virtual meter."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.certificates.pki import (
    AUTHORITY,
    AUTHORITY_ID,
    AUTHORITY_KEY,
    FALSE_KEY,
    MIDDLE_ID,
    MIDDLE_KEY,
    NOW,
    ROOT,
    authority,
    make_authority,
    make_key,
    make_root,
)
from tests.device.between import (
    Attack,
    Between,
    Forward,
    credentials2,
    forged,
    honest,
    parsed,
    type_of,
    under_scheme2,
)
from tests.virtual.parties import (
    COUNTER,
    LOAD_LIMIT,
    METER,
    SECURITY,
    SERVICE,
    USER,
    VALVE,
    Party,
    party,
    trusting_memory,
)
from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import NoOperation, WriteObject
from umi_cli.application.packet import Envelope, Message
from umi_cli.application.payload import Command
from umi_cli.application.security_commands import (
    S2AddCertificate,
    S2CheckRevocation,
    S2EndSession,
    S2GenerateKeypair,
    S2GetCertificate,
    S2InstallOwnCertificateChain,
    S2RelinquishRights,
    S2RevokeCertificate,
)
from umi_cli.certificates.cvc import Certificate
from umi_cli.certificates.trust import Anchor, ChainError, ChainFailure, Trust
from umi_cli.device import protection2
from umi_cli.device.meter import Meter
from umi_cli.device.protection import Channel
from umi_cli.device.protection2 import Scheme2
from umi_cli.errors import (
    AccessDeniedError,
    InputError,
    MalformedError,
    OutcomeUnknownError,
    RefusedError,
    SessionDeadError,
    UmiError,
)
from umi_cli.security.session2 import SealedSession
from umi_cli.types import Role, UmiId
from umi_cli.virtual.delivered import VIRTUAL_METER_ID
from umi_cli.virtual.memory import load_memory
from umi_cli.virtual.security import SESSION_IDLE_S

PT = PacketType
INTRODUCTION = [PT.READ_OBJECT, PT.S2_GET_CERTIFICATE, PT.S2_START_SESSION]
"""What is said in the clear to a meter that knows us: who are you, show it, begin."""
MORE_INTRODUCTION = [*INTRODUCTION, PT.S2_ADD_CERTIFICATE, PT.S2_START_SESSION]


def meter_with(**changes: Any) -> Party:
    """Return the meter under another certificate."""
    given: dict[str, Any] = {"key": METER.key, "serial": b"\x07"} | changes
    role = given.pop("role", Role.METERING_DEVICE)
    return party(VIRTUAL_METER_ID.value, role, **given)


def line_to(
    identity: Party, *above: Certificate, trust: Trust | None = None, **options: Any
) -> tuple[Between, Meter]:
    """Return a line to a meter with that certificate, and a client on it."""
    memory = trusting_memory(SERVICE)
    memory.vault.chain = (identity.certificate, *above)
    memory.vault.signer = identity.key
    if trust is not None:
        options["trust"] = trust
    return under_scheme2(memory=memory, credentials=credentials2(**options))


# --- A session -----------------------------------------------------------------------------------


def test_a_session_begins_by_itself_and_everything_in_it_is_encrypted() -> None:
    line, meter = under_scheme2()
    assert meter.read("manufacturer-id/serial").value == "31733978"
    meter.write("valve", "closed")
    assert line.memory.store.values[VALVE] == b"\x00"
    assert line.types == [*INTRODUCTION, None, None, None]
    assert [answer[0] for answer in line.answers[3:]] == [2, 2, 2]
    meter.close()
    assert line.types[6:] == [None]
    assert line.peer.sessions == {}


def test_where_a_session_stands() -> None:
    """What a security officer asks, before and after it was confirmed."""
    line, meter = under_scheme2()
    before = meter.session.standing
    assert (before.is_encrypted, before.is_confirmed, before.is_authenticated) == (1, 0, 0)
    assert before.device_certificate is None
    meter.session.begin()
    standing = meter.session.standing
    assert (standing.scheme, standing.role) == (2, Role.SERVICE)
    assert (standing.is_authenticated, standing.is_confirmed, standing.is_pinned) == (1, 1, 0)
    assert standing.own_certificate == SERVICE.certificate
    assert standing.device_certificate == METER.certificate
    assert line.types == [*INTRODUCTION, None]
    meter.session.begin()
    assert len(line.commands) == 4  # it has begun
    meter.session.restart()
    assert line.types[4:] == [PT.S2_START_SESSION, None]  # the certificate is known


def test_a_key_is_confirmed_before_it_is_used() -> None:
    """The first packet under it is a NO_OPERATION; and its refusal confirms it as well."""

    def without(result: int) -> Attack:
        seen: list[bytes] = []

        def attack(packet: bytes, forward: Forward) -> bytes | None:
            if packet[0] == 0 or seen:
                return forward(packet)
            seen.append(packet)
            session = line.peer.pending.pop(SERVICE.umi_id)
            inner = Message.decode(session.sealed.open(packet))
            assert inner.packet_type == PT.NO_OPERATION
            line.peer.sessions[SERVICE.umi_id] = session
            head = Envelope.decode(packet)
            back = Envelope(source=head.destination, destination=head.source, encryption_scheme=2)
            told = replace(inner, packet_type=0x01, argument=result)
            return session.sealed.seal(back.encode(), told.encode())

        return attack

    line, meter = under_scheme2(without(ResultCode.NOT_IMPLEMENTED))
    assert meter.read("manufacturer-id/serial").value == "31733978"
    assert meter.session.standing.is_confirmed
    line, meter = under_scheme2(without(ResultCode.ACCESS_DENIED))
    with pytest.raises(AccessDeniedError):
        meter.session.begin()
    assert not meter.session.standing.is_confirmed


def test_waits_go_on_under_encryption() -> None:
    """COMPLETE is sealed like the command before it (protocol 6.3)."""
    line, meter = under_scheme2(defer_ms={COUNTER: 70_000})
    meter.write("counter", 8)
    assert line.types[3:].count(None) == len(line.types) - 3 >= 4
    assert line.memory.store.values[COUNTER] == b"\x08\0\0\0"
    pairs = list(zip(line.commands, line.answers, strict=True))[3:]
    sealed = [(packet[20], answer[20]) for packet, answer in pairs]
    assert sealed == [(2 * n, 2 * n + 1) for n in range(len(sealed))]


def test_a_session_is_renewed_on_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """After that many exchanges another key; nobody notices but the line."""
    monkeypatch.setattr(protection2, "REKEY_AFTER", 3)
    line, meter = under_scheme2()
    for number in range(5):
        meter.write("counter", number)
    # NO_OPERATION and two writes are three exchanges
    session = [PT.S2_START_SESSION, None, None, None]
    assert line.types == INTRODUCTION[:2] + session + session + session[:3]
    keys = {packet[21:37] for packet in line.commands if packet[0]}
    assert len(keys) == 8


def test_the_counter_ends_a_session_long_before_it_wraps() -> None:
    line, meter = under_scheme2()
    meter.ping()
    protection: Any = meter.session._protection
    protection._session._next = 0xFFFF_0002
    with pytest.raises(SessionDeadError, match="used up"):
        meter.session.request_under(protection, NoOperation())
    meter.ping()
    assert line.types.count(PT.S2_START_SESSION) == 2


def test_the_idle_end_of_the_meter_is_not_noticed_by_a_reader() -> None:
    """NO_SESSION is believed, for it ends a session and no more; another one is begun."""
    line, meter = under_scheme2()
    meter.ping()
    line.clock.skip_to(line.clock.monotonic() + SESSION_IDLE_S + 1)
    assert meter.read("manufacturer-id/serial").value == "31733978"
    assert parsed(line.answers[5])[1].argument == ResultCode.NO_SESSION
    assert line.types.count(PT.S2_START_SESSION) == 2


def test_a_session_lost_in_a_power_cut_is_begun_anew() -> None:
    line, meter = under_scheme2()
    meter.ping()
    line.lose_power()
    assert meter.read("manufacturer-id/serial").value == "31733978"
    assert line.types.count(PT.S2_START_SESSION) == 2
    line.lose_power()
    meter.close()  # END_SESSION is tried, and no more


@pytest.mark.parametrize("has_run", [False, True])
def test_a_write_in_doubt_is_read_back(has_run: bool) -> None:
    """Its session is dead; in another one the object is read, and written if it must be: once."""
    written: list[bytes] = []

    def lose(packet: bytes, forward: Forward) -> bytes | None:
        line.attack = honest
        if has_run:
            forward(packet)
        line.lose_power()
        return b"\x02" + bytes(60)  # the rest of some packet

    line, meter = under_scheme2()
    meter.ping()
    line.memory.store.on_write("counter", written.append)
    line.attack = lose
    meter.write("counter", 5)
    assert written == [b"\x05\0\0\0"]
    assert line.types.count(PT.S2_START_SESSION) == 2


def test_a_write_in_doubt_that_nobody_can_read_back_is_told() -> None:
    line, meter = under_scheme2()
    meter.ping()
    line.attack = lambda packet, forward: b"\x02" + bytes(60)
    with pytest.raises(OutcomeUnknownError) as failure:
        meter.write("counter", 5)
    assert failure.value.exit_code == 17


def test_another_client_begins_while_the_first_ones_session_is_open() -> None:
    """A crashed client comes back: its certificate is known, and its old session is not in its
    way."""
    line, meter = under_scheme2()
    meter.ping()
    again = line.client(Scheme2(credentials2()))
    assert again.read("manufacturer-id/serial").value == "31733978"
    assert meter.read("manufacturer-id/serial").value == "31733978"


def test_a_beginning_that_the_line_spoilt_is_begun_again() -> None:
    """Four times in all; and no more, where nobody answers."""
    spoilt = [0]

    def spoil(packet: bytes, forward: Forward) -> bytes | None:
        if packet[0] and spoilt[0] < 3:
            spoilt[0] += 1
            return b"\x02" + bytes(60)
        return forward(packet)

    line, meter = under_scheme2(spoil)
    meter.session.begin()
    assert line.types.count(PT.S2_START_SESSION) == 4
    spoilt[0] = -10
    with pytest.raises(MalformedError):
        meter.session.restart()
    line, meter = under_scheme2(lambda packet, forward: None)
    with pytest.raises(UmiError) as failure:
        meter.session.begin()
    assert failure.value.exit_code in (14, 15)
    assert len(line.commands) <= 4 * 4 * 3  # beginnings, requests, frames


@pytest.mark.parametrize("raw", [b"", bytes(7), bytes(9)])
def test_what_is_no_umi_id_is_nobodys(raw: bytes) -> None:
    value = bytes(6) + bytes([len(raw), 0]) + raw
    line, meter = under_scheme2(
        lambda packet, _: forged(packet, PT.READ_OBJECT_RESPONSE, payload=value)
    )
    with pytest.raises(MalformedError, match="not 8"):
        meter.ping()
    assert set(line.types) == {PT.READ_OBJECT}


@pytest.mark.parametrize("salt", [bytes(16), b"the very same one"[:16]])
def test_a_salt_that_is_not_random_makes_no_key(salt: bytes) -> None:
    """Salt B all zero, or salt A over again: refused (protocol 6.3)."""

    def attack(packet: bytes, forward: Forward) -> bytes | None:
        if type_of(packet) == PT.S2_START_SESSION:
            return forged(packet, PT.S2_START_SESSION_RESPONSE, payload=salt)
        return forward(packet)

    line = Between(trusting_memory(SERVICE), attack)
    meter = line.client(Scheme2(credentials2(), salt=lambda: b"the very same one"[:16]))
    with pytest.raises(MalformedError, match="not random"):
        meter.ping()
    assert None not in line.types


# --- Whom we believe -----------------------------------------------------------------------------


def no_session_was_begun(line: Between) -> bool:
    return PT.S2_START_SESSION not in line.types and None not in line.types


@pytest.mark.parametrize(
    ("identity", "failure"),
    [
        (meter_with(issuer=UmiId(0xEE)), ChainFailure.UNKNOWN_ISSUER),
        (meter_with(signer=FALSE_KEY), ChainFailure.BAD_SIGNATURE),
        (meter_with(valid_until=NOW - timedelta(1)), ChainFailure.EXPIRED),
        (meter_with(valid_from=NOW + timedelta(1)), ChainFailure.NOT_YET_VALID),
        (meter_with(role=Role.SERVICE), ChainFailure.WRONG_ROLE),
        (meter_with(authorisation=authority()), ChainFailure.WRONG_ROLE),
    ],
    ids=lambda value: value.value if isinstance(value, ChainFailure) else "",
)
def test_the_meters_certificate_is_verified_before_any_key_is_agreed(
    identity: Party, failure: ChainFailure
) -> None:
    """Refused with its reason, exit 24; no START_SESSION leaves before, nothing is encrypted."""
    line, meter = line_to(identity)
    with pytest.raises(ChainError) as error:
        meter.read("counter")
    assert error.value.failure is failure
    assert error.value.exit_code == 24
    assert no_session_was_begun(line)
    assert PT.S2_ADD_CERTIFICATE not in line.types  # nor does it learn who we are


def test_a_good_certificate_is_asked_for_and_verified_first() -> None:
    line, meter = under_scheme2()
    meter.ping()
    types = line.types
    assert types.index(PT.S2_GET_CERTIFICATE) < types.index(PT.S2_START_SESSION)


def test_a_revoked_certificate_is_refused() -> None:
    denied = frozenset({METER.certificate.body.name})
    line, meter = line_to(METER, trust=Trust(anchors=(Anchor.of(ROOT),), denied=denied))
    with pytest.raises(ChainError) as error:
        meter.ping()
    assert error.value.failure is ChainFailure.REVOKED
    assert no_session_was_begun(line)


def test_the_certificate_of_another_meter_is_refused() -> None:
    """A meter that answers with its neighbour's: subject and packets differ."""

    def other(packet: bytes, forward: Forward) -> bytes | None:
        if type_of(packet) == PT.S2_GET_CERTIFICATE:
            neighbour = party(0x0023_7EFE_0000_0002, Role.METERING_DEVICE).certificate
            return forged(packet, PT.S2_GET_CERTIFICATE_RESPONSE, payload=neighbour.encode())
        return forward(packet)

    line, meter = under_scheme2(other)
    with pytest.raises(ChainError) as error:
        meter.ping()
    assert error.value.failure is ChainFailure.WRONG_SUBJECT
    assert no_session_was_begun(line)


def test_an_alias_is_allowed_where_it_is_declared() -> None:
    """Then the subject of the certificate may be another than the ID in the packets."""
    identity = party(0x1234, Role.METERING_DEVICE, key=METER.key)
    trust = Trust(anchors=(Anchor.of(ROOT),), aliases=frozenset({VIRTUAL_METER_ID}))

    def fetch(packet: bytes, forward: Forward) -> bytes | None:
        if type_of(packet) == PT.S2_GET_CERTIFICATE:
            raw = identity.certificate.encode()
            return forged(packet, PT.S2_GET_CERTIFICATE_RESPONSE, payload=raw)
        return forward(packet)

    line, meter = under_scheme2(fetch, credentials=credentials2(trust=trust))
    assert meter.read("manufacturer-id/serial").value == "31733978"
    assert line.types == [*INTRODUCTION, None, None]


def test_without_an_anchor_nobody_is_believed() -> None:
    line, meter = line_to(METER, trust=Trust())
    with pytest.raises(ChainError) as error:
        meter.ping()
    assert error.value.failure is ChainFailure.NOT_PINNED
    assert no_session_was_begun(line)


def test_what_is_above_the_meters_certificate_is_fetched_too() -> None:
    """Two subordinate authorities fit between the meter and the root."""
    middle = make_authority(
        issuer=AUTHORITY_ID,
        subject=MIDDLE_ID,
        serial=b"\x09",
        public_point=MIDDLE_KEY.public_point,
        signer=AUTHORITY_KEY,
    )
    identity = meter_with(issuer=MIDDLE_ID, signer=MIDDLE_KEY)
    line, meter = line_to(identity, middle, AUTHORITY)
    assert meter.read("manufacturer-id/serial").value == "31733978"
    assert line.types[:4] == [PT.READ_OBJECT] + [PT.S2_GET_CERTIFICATE] * 3
    asked = [S2GetCertificate.decode(parsed(each)[1].payload) for each in line.commands[1:4]]
    assert [each.subject for each in asked] == [VIRTUAL_METER_ID, MIDDLE_ID, AUTHORITY_ID]


def test_an_issuer_that_the_meter_does_not_have_is_an_unknown_one() -> None:
    line, meter = line_to(meter_with(issuer=AUTHORITY_ID, signer=AUTHORITY_KEY))
    with pytest.raises(ChainError) as error:
        meter.ping()
    assert error.value.failure is ChainFailure.UNKNOWN_ISSUER
    assert no_session_was_begun(line)


def test_a_chain_that_goes_on_for_ever_is_not_followed() -> None:
    """No more than two above the meter's own: a chain is four long at most."""

    def endless(packet: bytes, forward: Forward) -> bytes | None:
        if type_of(packet) != PT.S2_GET_CERTIFICATE:
            return forward(packet)
        subject = S2GetCertificate.decode(parsed(packet)[1].payload).subject
        number = subject.value & 0xFF
        certificate = make_authority(
            subject=subject,
            issuer=UmiId(0xAA00 + number + 1),
            public_point=make_key(number + 100).public_point,
            signer=make_key(number + 101),
        )
        return forged(packet, PT.S2_GET_CERTIFICATE_RESPONSE, payload=certificate.encode())

    line, meter = under_scheme2(endless)
    with pytest.raises(ChainError):
        meter.ping()
    assert line.types.count(PT.S2_GET_CERTIFICATE) == 3


@pytest.mark.parametrize("payload", [b"", b"\x7f\x21\x03abc", bytes(300)])
def test_garbage_for_a_certificate_is_malformed(payload: bytes) -> None:
    def garbage(packet: bytes, forward: Forward) -> bytes | None:
        if type_of(packet) == PT.S2_GET_CERTIFICATE:
            return forged(packet, PT.S2_GET_CERTIFICATE_RESPONSE, payload=payload)
        return forward(packet)

    line, meter = under_scheme2(garbage)
    with pytest.raises(MalformedError) as error:
        meter.ping()
    assert error.value.exit_code == 33
    assert no_session_was_begun(line)


# --- Pinning -------------------------------------------------------------------------------------


class Pinner:
    """Pins whatever it is asked about, if it may."""

    def __init__(self, *, may: bool = True) -> None:
        self.may = may
        self.asked: list[tuple[UmiId, Certificate]] = []

    def __call__(self, device: UmiId, certificate: Certificate) -> bool:
        self.asked.append((device, certificate))
        return self.may


def pinned(*certificates: Certificate) -> Trust:
    return Trust(pins=frozenset(each.fingerprint for each in certificates))


def test_a_first_contact_is_pinned_and_says_so() -> None:
    pinner = Pinner()
    line, meter = line_to(METER, trust=Trust(), pin=pinner)
    assert meter.read("manufacturer-id/serial").value == "31733978"
    assert pinner.asked == [(VIRTUAL_METER_ID, METER.certificate)]
    assert meter.session.standing.is_pinned
    line.lose_power()
    meter.ping()
    assert len(pinner.asked) == 1


def test_a_first_contact_that_may_not_be_pinned_is_refused() -> None:
    pinner = Pinner(may=False)
    line, meter = line_to(METER, trust=Trust(), pin=pinner)
    with pytest.raises(ChainError) as error:
        meter.ping()
    assert error.value.failure is ChainFailure.NOT_PINNED
    assert len(pinner.asked) == 1
    assert no_session_was_begun(line)


def test_what_was_pinned_is_trusted_without_asking() -> None:
    """Whoever issued it, and whatever role it is for: the user has said so."""
    identity = meter_with(issuer=UmiId(0xEE), signer=FALSE_KEY, role=Role.SERVICE)
    pinner = Pinner()
    _, meter = line_to(identity, trust=pinned(identity.certificate), pin=pinner)
    meter.ping()
    assert pinner.asked == []
    assert meter.session.standing.is_pinned


def test_another_certificate_than_the_pinned_one_is_asked_about() -> None:
    """Who keeps the pins says no to it: the meter's certificate has changed."""
    pinner = Pinner(may=False)
    line, meter = line_to(meter_with(), trust=pinned(METER.certificate), pin=pinner)
    with pytest.raises(ChainError) as error:
        meter.ping()
    assert error.value.failure is ChainFailure.NOT_PINNED
    assert no_session_was_begun(line)


@pytest.mark.parametrize(
    ("identity", "failure"),
    [
        (meter_with(valid_until=NOW - timedelta(1)), ChainFailure.EXPIRED),
        (meter_with(valid_from=NOW + timedelta(1)), ChainFailure.NOT_YET_VALID),
    ],
)
def test_nothing_is_pinned_that_would_be_refused(identity: Party, failure: ChainFailure) -> None:
    """All else must hold first: what stands among the pins is believed from then on."""
    pinner = Pinner()
    _, meter = line_to(identity, trust=Trust(), pin=pinner)
    with pytest.raises(ChainError) as error:
        meter.ping()
    assert error.value.failure is failure
    assert pinner.asked == []


def test_a_neighbours_certificate_is_not_pinned() -> None:
    pinner = Pinner()

    def other(packet: bytes, forward: Forward) -> bytes | None:
        if type_of(packet) == PT.S2_GET_CERTIFICATE:
            neighbour = party(2, Role.METERING_DEVICE).certificate.encode()
            return forged(packet, PT.S2_GET_CERTIFICATE_RESPONSE, payload=neighbour)
        return forward(packet)

    _, meter = under_scheme2(other, credentials=credentials2(trust=Trust(), pin=pinner))
    with pytest.raises(ChainError) as error:
        meter.ping()
    assert error.value.failure is ChainFailure.WRONG_SUBJECT
    assert pinner.asked == []


def test_an_anchor_leaves_nothing_to_pin() -> None:
    """Where there is one it must vouch for the meter: pinning does not get around it."""
    pinner = Pinner()
    other = Certificate.sign(
        make_root(subject=UmiId(9), issuer=UmiId(9), public_point=FALSE_KEY.public_point).body,
        FALSE_KEY,
    )
    line, meter = line_to(METER, trust=Trust(anchors=(Anchor.of(other),)), pin=pinner)
    with pytest.raises(ChainError) as error:
        meter.ping()
    assert error.value.failure is ChainFailure.NO_ANCHOR
    assert pinner.asked == []
    assert no_session_was_begun(line)


# --- Our own certificates ------------------------------------------------------------------------


def test_our_certificate_is_handed_over_where_it_is_unknown() -> None:
    line, meter = under_scheme2(memory=trusting_memory())
    meter.ping()
    assert line.types == [*MORE_INTRODUCTION, None, None]
    assert line.memory.vault.key_table == {SERVICE.umi_id: SERVICE.certificate}


def test_our_certificate_is_handed_over_with_what_is_above_it() -> None:
    """The highest first, for the meter verifies each when it comes."""
    middle = make_authority(
        issuer=AUTHORITY_ID,
        subject=MIDDLE_ID,
        serial=b"\x09",
        public_point=MIDDLE_KEY.public_point,
        signer=AUTHORITY_KEY,
    )
    own = party(0x77, issuer=MIDDLE_ID, signer=MIDDLE_KEY)
    line, meter = under_scheme2(
        memory=trusting_memory(), credentials=credentials2(own, middle, AUTHORITY)
    )
    meter.write("valve", "closed")
    handed = [
        S2AddCertificate.decode(parsed(packet)[1].payload).certificate
        for packet in line.commands
        if type_of(packet) == PT.S2_ADD_CERTIFICATE
    ]
    assert handed == [each.encode() for each in (AUTHORITY, middle, own.certificate)]
    assert line.memory.store.values[VALVE] == b"\x00"


def test_a_renewed_certificate_takes_the_place_of_the_older_one() -> None:
    """The meter knows us by another key, and so makes another session key: it is introduced."""
    renewed = party(0x51, key=make_key(4711), serial=b"\x66", valid_from=NOW - timedelta(1))
    line, meter = under_scheme2(credentials=credentials2(renewed))
    assert meter.read("manufacturer-id/serial").value == "31733978"
    assert line.memory.vault.key_table == {SERVICE.umi_id: renewed.certificate}
    assert line.types == [
        *INTRODUCTION,
        None,
        PT.S2_ADD_CERTIFICATE,
        PT.S2_START_SESSION,
        None,
        None,
    ]


def test_a_certificate_that_has_ended_at_the_meter_is_replaced_by_its_successor() -> None:
    ended = party(0x51, valid_until=NOW - timedelta(1))
    line, meter = under_scheme2(memory=trusting_memory(ended))
    meter.ping()
    assert line.types == [*MORE_INTRODUCTION, None, None]
    assert line.memory.vault.key_table == {SERVICE.umi_id: SERVICE.certificate}


def test_a_meter_that_has_a_newer_one_of_ours_is_not_begged() -> None:
    """It knows a certificate that we no longer go by: no session comes of it, exit 17."""
    newer = party(0x51, key=make_key(4711), valid_from=NOW - timedelta(1))
    line, meter = under_scheme2(memory=trusting_memory(newer))
    with pytest.raises(SessionDeadError) as failure:
        meter.ping()
    assert failure.value.exit_code == 17
    assert line.memory.vault.key_table == {SERVICE.umi_id: newer.certificate}


@pytest.mark.parametrize(
    ("own", "code"),
    [
        (party(0x51, issuer=UmiId(0xEE)), ResultCode.UNKNOWN_ISSUER),
        (party(0x51, signer=FALSE_KEY), ResultCode.INVALID_CERTIFICATE_SIGNATURE),
        (party(0x51, valid_until=NOW - timedelta(1)), ResultCode.INVALID_CERTIFICATE),
    ],
    ids=lambda value: value.name if isinstance(value, ResultCode) else "",
)
def test_137_140_141_a_certificate_that_the_meter_does_not_take(
    own: Party, code: ResultCode
) -> None:
    """Its reason surfaces: exit 30 with the code."""
    _, meter = under_scheme2(memory=trusting_memory(), credentials=credentials2(own))
    with pytest.raises(RefusedError) as failure:
        meter.ping()
    assert (failure.value.exit_code, failure.value.number) == (30, code)


def test_142_a_full_key_table() -> None:
    memory = trusting_memory(*(party(number) for number in range(0x100, 0x110)))
    _, meter = under_scheme2(memory=memory)
    with pytest.raises(RefusedError) as failure:
        meter.ping()
    assert failure.value.number == ResultCode.KEY_TABLE_FULL
    assert "relinquish" in failure.value.hint


def test_a_meter_that_takes_our_certificate_and_forgets_it_at_once_is_given_up() -> None:
    """Not for ever: three times, then the refusal is told."""

    def forget(packet: bytes, forward: Forward) -> bytes | None:
        answer = forward(packet)
        line.memory.vault.key_table.clear()
        return answer

    line, meter = under_scheme2(forget, memory=trusting_memory())
    with pytest.raises(RefusedError) as failure:
        meter.ping()
    assert failure.value.number == ResultCode.NO_CERTIFICATE
    assert line.types.count(PT.S2_ADD_CERTIFICATE) == 3


def test_a_dry_run_hands_nothing_over() -> None:
    """It would change the meter's key table."""
    line = Between(trusting_memory())
    meter = line.client(Scheme2(credentials2()), dry_run=True)
    with pytest.raises(InputError, match="dry run"):
        meter.ping()
    assert PT.S2_ADD_CERTIFICATE not in line.types


# --- Codes that surface inside a session ---------------------------------------------------------


def named(certificate: Certificate) -> dict[str, Any]:
    name = certificate.body.name
    return {"issuer": name.issuer, "subject": name.subject, "serial_number": name.serial}


COMMANDS: list[tuple[Party, Command[Any], ResultCode]] = [
    (SERVICE, WriteObject(code=LOAD_LIMIT, value=bytes(4)), ResultCode.INVALID_SIGNATURE),
    (SERVICE, S2GetCertificate(subject=UmiId(77)), ResultCode.NO_CERTIFICATE),
    (
        party(0x61, Role.MANUFACTURER),
        S2GenerateKeypair(),
        ResultCode.KEYPAIR_ALREADY_GENERATED,
    ),
    (
        party(0x61, Role.MANUFACTURER),
        S2InstallOwnCertificateChain(certificates=METER.certificate.encode()),
        ResultCode.ALREADY_INSTALLED,
    ),
    (
        SERVICE,
        S2CheckRevocation(**named(USER.certificate)),
        ResultCode.REVOCATION_POINT_UNAVAILABLE,
    ),
    (SERVICE, S2AddCertificate(certificate=b""), ResultCode.INVALID_CERTIFICATE_FORMAT),
]


@pytest.mark.parametrize(
    ("who", "command", "code"), COMMANDS, ids=lambda value: getattr(value, "name", "")
)
def test_a_refusal_inside_a_session_is_told_by_its_code(
    who: Party, command: Command[Any], code: ResultCode
) -> None:
    """128 to 142 where they surface: exit 30, the number, and the session goes on."""
    line, meter = under_scheme2(
        memory=trusting_memory(who, SECURITY), credentials=credentials2(who)
    )
    with pytest.raises(RefusedError) as failure:
        meter.session.request(command)
    assert (failure.value.exit_code, failure.value.number) == (30, code)
    meter.ping()
    assert line.types.count(PT.S2_START_SESSION) == 1


def test_135_136_138_surface_by_their_codes() -> None:
    line, meter = under_scheme2()
    with pytest.raises(RefusedError, match=r"REVOCATION_POINT_UNKNOWN \(135\)"):
        meter.session.request(S2CheckRevocation(**named(USER.certificate)))
    line.memory.vault.key_table[SECURITY.umi_id] = SECURITY.certificate
    officer = line.client(Scheme2(credentials2(SECURITY)), SECURITY.umi_id)
    names = [named(party(number).certificate) for number in range(0x100, 0x111)]
    for name in names[:-1]:
        officer.session.request(S2RevokeCertificate(**name))
    with pytest.raises(RefusedError, match=r"OUT_OF_REVOCATION_MEMORY \(138\)"):
        officer.session.request(S2RevokeCertificate(**names[-1]))
    holder = party(AUTHORITY_ID.value, key=AUTHORITY_KEY, authorisation=authority())
    line.memory.vault.key_table = {SERVICE.umi_id: holder.certificate}
    fresh = line.client(Scheme2(credentials2()))
    line.peer = line.meter.new_peer("fresh")
    with pytest.raises(RefusedError, match=r"NO_CURRENT_RIGHTS \(136\)"):
        fresh.ping()


def test_130_surfaces_by_its_code() -> None:
    line, meter = under_scheme2()
    line.memory.vault.signer = None
    with pytest.raises(RefusedError, match=r"NO_PUBLIC_KEY \(130\)") as failure:
        meter.ping()
    assert failure.value.exit_code == 30


def test_rights_that_were_given_up_are_handed_over_anew() -> None:
    """RELINQUISH_RIGHTS ends the session; the next command introduces us again."""
    line, meter = under_scheme2()
    meter.session.request(S2RelinquishRights())
    assert line.memory.vault.key_table == {}
    assert line.peer.sessions == {}
    assert meter.read("manufacturer-id/serial").value == "31733978"
    assert line.memory.vault.key_table == {SERVICE.umi_id: SERVICE.certificate}


def test_a_revoked_commander_is_refused_from_then_on() -> None:
    line, meter = under_scheme2(memory=trusting_memory(SERVICE, SECURITY))
    meter.ping()
    officer = line.client(Scheme2(credentials2(SECURITY)), SECURITY.umi_id)
    officer.session.request(S2RevokeCertificate(**named(SERVICE.certificate)))
    with pytest.raises(OutcomeUnknownError):
        meter.session.request(WriteObject(code=VALVE, value=b"\x00"))
    with pytest.raises(RefusedError, match="INVALID_CERTIFICATE"):
        meter.ping()
    assert line.memory.store.values[VALVE] == b"\x01"


# --- Signed commands inside a session ------------------------------------------------------------


def opened_of(line: Between, meter: Meter) -> list[Message]:
    """Have what the client opens written down."""
    messages: list[Message] = []
    protection: Any = meter.session._protection
    inner = protection.open

    def note(packet: bytes, sent: Message) -> tuple[Envelope, Message]:
        envelope, message = inner(packet, sent)
        messages.append(message)
        return envelope, message

    protection.open = note
    return messages


def test_a_signed_write_inside_a_session() -> None:
    """Signed as the object demands; the response is signed, and its signature verified."""
    line, meter = under_scheme2()
    messages = opened_of(line, meter)
    meter.write("load-limit", 2500)
    assert line.memory.store.values[LOAD_LIMIT] == (2500).to_bytes(4, "little")
    assert [each.signature_scheme for each in messages] == [0, 2]
    assert len(line.memory.vault.used_signatures) == 1


def test_a_deferred_signed_write_is_answered_with_a_signature() -> None:
    """WAIT and the response that was due are both signed: COMPLETE asks for it."""
    line, meter = under_scheme2(defer_ms={LOAD_LIMIT: 500})
    messages = opened_of(line, meter)
    meter.write("load-limit", 2500)
    assert [(each.packet_type, each.signature_scheme) for each in messages] == [
        (PT.NO_OPERATION_RESPONSE, 0),
        (PT.WAIT, 2),
        (PT.WRITE_OBJECT_RESPONSE, 2),
    ]


@pytest.mark.parametrize("is_stripped", [False, True], ids=["another key's", "stripped"])
def test_a_response_without_the_meters_signature_is_not_believed(is_stripped: bool) -> None:
    """Even under the session key, where a signature was asked for: exit 17, and read back."""
    line, meter = under_scheme2()
    meter.ping()
    security: Any = line.meter._security
    real = security.response_key

    def other(wanted: int, role: Role) -> Any:
        key = real(wanted, role)
        return None if is_stripped else key and FALSE_KEY

    security.response_key = other
    with pytest.raises(OutcomeUnknownError):
        meter.session.request(WriteObject(code=LOAD_LIMIT, value=bytes(4)), is_signed=True)
    security.response_key = real
    meter.write("load-limit", 1)
    assert line.types.count(PT.S2_START_SESSION) == 2


def test_128_a_signed_write_out_of_its_window_is_told() -> None:
    """The refusal comes as an ERROR that nobody signed, under the session key, which vouches for
    it: it is told as what it is."""
    line, meter = under_scheme2()
    meter.ping()

    def hold(packet: bytes, forward: Forward) -> bytes | None:
        line.memory.clock_offset_s = 290
        line.clock.skip_to(line.clock.monotonic() + 20)
        return forward(packet)

    line.attack = hold
    session = line.peer.sessions[SERVICE.umi_id]
    line.peer.sessions[SERVICE.umi_id] = replace(session, used_s=session.used_s + 310)
    with pytest.raises(RefusedError) as failure:
        meter.session.request(WriteObject(code=LOAD_LIMIT, value=b"\x01\0\0\0"), is_signed=True)
    assert failure.value.number == ResultCode.INVALID_SIGNATURE
    assert "clock" in failure.value.hint
    assert line.memory.store.values[LOAD_LIMIT] == bytes(4)


def test_windows_are_in_the_time_that_the_session_proved() -> None:
    line, meter = under_scheme2()
    line.memory.clock_offset_s = -400 * 86_400
    own = party(0x51, valid_from=NOW - timedelta(700), valid_until=NOW + timedelta(1))
    line.memory.vault.key_table[SERVICE.umi_id] = own.certificate
    line.memory.vault.anchors = (make_root(valid_from=NOW - timedelta(800)),)
    credentials = credentials2(replace(own, key=SERVICE.key))
    assert own.key.public_point == SERVICE.key.public_point
    meter = line.client(Scheme2(credentials))
    meter.write("load-limit", 7)
    assert line.memory.store.values[LOAD_LIMIT] == b"\x07\0\0\0"


# --- The bare protection -------------------------------------------------------------------------


def test_without_a_session_nothing_is_sealed_or_opened() -> None:
    protection = Scheme2(credentials2())
    envelope = Envelope(source=SERVICE.umi_id, destination=METER.umi_id, encryption_scheme=2)
    message = Message(transaction=0, created_s=0, packet_type=0)
    channel: Channel = under_scheme2()[1].session
    assert not protection.is_ready
    assert protection.farewell() is None
    with pytest.raises(SessionDeadError):
        protection.seal(envelope, message, channel, is_signed=False)
    with pytest.raises(SessionDeadError):
        protection.open(envelope.encode() + bytes(40), message)
    protection.doubt()


def test_sessions_are_in_memory_only() -> None:
    """Neither end writes a session to disk; a state file holds none."""
    line, meter = under_scheme2()
    meter.ping()
    protection: Any = meter.session._protection
    key = protection._session._key.raw.hex()
    dump = line.memory.dump()
    assert key not in dump
    assert key not in repr(vars(protection))
    assert load_memory(dump, "test").vault.key_table == line.memory.vault.key_table
    with pytest.raises(TypeError):
        SealedSession.__reduce_ex__(protection._session, 2)


def test_end_session_is_the_farewell() -> None:
    _, meter = under_scheme2()
    meter.ping()
    assert meter.session._protection.farewell() == S2EndSession()
