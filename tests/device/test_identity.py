"""Keys and certificates inside a device: what is proved before, what is read back, what is lost."""

from collections.abc import Callable
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
    make_authority,
    make_key,
    make_root,
)
from tests.device.between import (
    CATALOGUE,
    Between,
    Forward,
    changed,
    credentials2,
    forged,
    honest,
    parsed,
    type_of,
    under_scheme1,
)
from tests.device.scripted import START_UNIX_S
from tests.virtual.parties import (
    KEYS,
    MANUFACTURER,
    METER,
    SECURITY,
    SERVICE,
    USER,
    Party,
    party,
    role_key,
    trusting_memory,
)
from tests.virtual.test_life_cycle import recognised
from umi_cli.application.codes import PacketType as PT
from umi_cli.application.codes import ResultCode
from umi_cli.application.security_commands import S2GetCertificate
from umi_cli.certificates.chain import encode_chain
from umi_cli.certificates.cvc import Certificate, CertificateName
from umi_cli.certificates.request import CertificateRequest
from umi_cli.certificates.trust import Anchor, ChainError, ChainFailure, Trust
from umi_cli.crypto import AesKey
from umi_cli.device import identity
from umi_cli.device.identity import Stage
from umi_cli.device.meter import CHANGE_TRIES, Meter
from umi_cli.device.protection import Unprotected
from umi_cli.device.protection2 import Scheme2
from umi_cli.device.session import Session
from umi_cli.errors import (
    InputError,
    MalformedError,
    OutcomeUnknownError,
    ReadBackError,
    RefusedError,
    SignatureError,
    UmiError,
)
from umi_cli.transports.memory import MemoryTransport, SimulatedClock
from umi_cli.types import Role, UmiId
from umi_cli.virtual.delivered import blank_memory
from umi_cli.virtual.event_log import EventNumber
from umi_cli.virtual.faults import FaultRates
from umi_cli.virtual.memory import Memory, load_memory
from umi_cli.virtual.setup import SimOptions, Simulation

OWN_ID = UmiId(0x0023_7EFE_0000_0007)
TRUSTED = Trust(anchors=(Anchor.of(ROOT),))
NAME = USER.certificate.body.name
NEW_KEY = AesKey(bytes(range(0x40, 0x50)))


class Losing:
    """Somebody on the line who loses the answers to one command, and to its repeats.

    Args:
        kind: its packet type; None for what is encrypted.
        skipped: how many of these pass before.
        lost: how many are lost, one after the other.
        arrives: whether they come to the meter.
    """

    def __init__(
        self, kind: int | None, *, skipped: int = 0, lost: int = 1, arrives: bool = True
    ) -> None:
        self._kind, self._arrives = kind, arrives
        self._span = range(skipped, skipped + lost)
        self.seen: list[bytes] = []

    def __call__(self, packet: bytes, forward: Forward) -> bytes | None:
        if type_of(packet) != self._kind:
            return forward(packet)
        if packet not in self.seen:
            self.seen.append(packet)
        if self.seen.index(packet) not in self._span:
            return forward(packet)
        if self._arrives:
            forward(packet)
        return None


def blank(
    attack: Any = honest, memory: Memory | None = None, **options: Any
) -> tuple[Between, Meter]:
    """Return a blank unit, or one with that memory, and the factory at its line."""
    line = Between(memory or blank_memory("ei4"), attack)
    return line, line.client(Unprotected(), **options)


def certified(attack: Any = honest, who: Party = SECURITY, *known: Party, **options: Any) -> Any:
    """Return a meter of the field, and a client with a certificate."""
    line = Between(trusting_memory(who, *known), attack)
    return line, line.client(Scheme2(credentials2(who)), who.umi_id, **options)


def half() -> Memory:
    """Return the memory of a unit with its UMI ID, the root and a key pair."""
    memory = blank_memory("ei4", OWN_ID)
    memory.vault.anchors = (ROOT,)
    memory.vault.signer = make_key(77)
    return memory


def kept(memory: Memory) -> tuple[Any, ...]:
    """Return what only a changing command changes."""
    store = memory.store
    return memory.umi_id, memory.vault.dump(), dict(store.values), dict(store.access)


def issued(request: CertificateRequest, **changes: Any) -> tuple[Certificate, ...]:
    """Return the chain that a factory issues on a request, the anchor behind it."""
    given: dict[str, Any] = {
        "issuer": AUTHORITY_ID,
        "signer": AUTHORITY_KEY,
        "public_point": request.public_point,
    }
    own = party(
        request.subject.value, changes.pop("role", Role.METERING_DEVICE), **(given | changes)
    )
    return own.certificate, AUTHORITY, ROOT


def provision(meter: Meter) -> None:
    identity.set_umi_id(meter, OWN_ID)
    identity.trust(meter, [ROOT])
    identity.make_key_pair(meter)
    chain = issued(identity.fetch_request(meter))
    identity.install_chain(meter, chain, trusted=TRUSTED, at=NOW)


# From blank to whole


def test_the_whole_way() -> None:
    """Each step tells whether it did something, and does nothing the second time."""
    line, meter = blank()
    assert identity.read_identity(meter).stage is Stage.BLANK
    for is_new in (True, False):
        assert identity.set_umi_id(meter, OWN_ID) is is_new
        assert identity.trust(meter, [ROOT]) == ((ROOT,) if is_new else ())
        assert identity.make_key_pair(meter) is is_new
    assert identity.read_identity(meter).stage is Stage.HALF
    request = identity.fetch_request(meter)
    assert (request.subject, request.issuer) == (OWN_ID, ROOT_ID)
    chain = issued(request)
    for is_new in (True, False):
        done = identity.install_chain(meter, chain, trusted=TRUSTED)
        assert (done.is_new, done.chain) == (is_new, chain[:2])
    found = identity.read_identity(meter)
    assert (found.stage, found.device, found.certificate) == (Stage.WHOLE, OWN_ID, chain[0])
    assert recognised(line.memory) == "whole"
    for kind in (PT.WRITE_OBJECT, PT.S2_GENERATE_KEYPAIR, PT.S2_INSTALL_OWN_CERTIFICATE_CHAIN):
        assert line.types.count(kind) == 1


def test_then_it_is_a_device_like_any_other() -> None:
    line, meter = blank()
    provision(meter)
    client = line.client(Scheme2(credentials2(MANUFACTURER)), MANUFACTURER.umi_id)
    identity.set_role_key(client, Role.SERVICE, NEW_KEY)
    assert line.memory.store.values[KEYS][80:96] == NEW_KEY.raw
    client.write("life-cycle", "locked", verify=True)
    with pytest.raises(RefusedError, match="ACCESS_DENIED"):
        identity.set_role_key(client, Role.USER, NEW_KEY)


def test_a_dry_run_sends_nothing_that_changes_the_unit() -> None:
    line, meter = blank(memory=half(), dry_run=True)
    before = kept(line.memory)
    assert identity.set_umi_id(meter, UmiId(9))
    assert not identity.set_umi_id(meter, OWN_ID)
    assert not identity.make_key_pair(meter)
    assert identity.trust(meter, [AUTHORITY]) == (AUTHORITY,)
    chain = issued(identity.fetch_request(meter))
    assert identity.install_chain(meter, chain, trusted=TRUSTED, at=NOW).is_new
    assert kept(line.memory) == before
    line, meter = blank(dry_run=True)
    assert identity.make_key_pair(meter)
    assert line.memory.vault.signer is None


def test_a_dry_run_begins_a_session_and_no_more() -> None:
    line, meter = certified(honest, SECURITY, dry_run=True)
    before = kept(line.memory)
    identity.revoke(meter, NAME)
    identity.answer_revocation(meter, NAME, is_revoked=True)
    identity.check_revocation(meter, NAME)
    identity.set_role_key(meter, Role.SERVICE, NEW_KEY)
    identity.relinquish(meter)
    assert kept(line.memory) == before
    assert meter.session.standing.is_confirmed


# What is verified before anything is believed


def test_a_request_must_prove_that_the_device_holds_the_key() -> None:
    def forge(packet: bytes, forward: Forward) -> bytes | None:
        answer = forward(packet)
        if type_of(packet) != PT.S2_GET_CSR or answer is None:
            return answer
        request = CertificateRequest.decode(parsed(answer)[1].payload)
        envelope = replace(request.envelope, signature=FALSE_KEY.sign(request.envelope.signed))
        return changed(answer, payload=envelope.encode())

    _, meter = blank(forge, half())
    for ask in (identity.fetch_request, identity.make_key_pair, identity.read_identity):
        with pytest.raises(SignatureError) as caught:
            ask(meter)
        assert caught.value.exit_code == 33


def test_a_request_must_be_in_the_devices_own_name() -> None:
    def other(packet: bytes, forward: Forward) -> bytes | None:
        answer = forward(packet)
        if type_of(packet) != PT.S2_GET_CSR or answer is None:
            return answer
        request = CertificateRequest.create(FALSE_KEY, issuer=ROOT_ID, subject=UmiId(9))
        return changed(answer, payload=request.encode())

    _, meter = blank(other, half())
    with pytest.raises(MalformedError, match="in the name of 0000000000000009") as caught:
        identity.fetch_request(meter)
    assert "issue nothing" in caught.value.hint


def test_a_certificate_must_be_the_one_that_was_asked_for() -> None:
    def other(packet: bytes, forward: Forward) -> bytes | None:
        if type_of(packet) != PT.S2_GET_CERTIFICATE:
            return forward(packet)
        return forged(packet, PT.S2_GET_CERTIFICATE_RESPONSE, payload=ROOT.encode())

    _, meter = blank(other)
    with pytest.raises(MalformedError, match="that of 00000000000000A0 came"):
        identity.fetch_certificate(meter)
    assert identity.fetch_certificate(meter, ROOT_ID) == ROOT


@pytest.mark.parametrize("code", [ResultCode.NOT_IMPLEMENTED, ResultCode.UNAVAILABLE])
def test_a_device_that_makes_no_requests_says_so(code: ResultCode) -> None:
    """That is not the answer of one without a key pair: nothing is made on it."""

    def refusing(packet: bytes, forward: Forward) -> bytes | None:
        if type_of(packet) != PT.S2_GET_CSR:
            return forward(packet)
        return forged(packet, PT.S2_GET_CSR_RESPONSE, result=code)

    line, meter = blank(refusing)
    with pytest.raises(RefusedError, match=code.name):
        identity.make_key_pair(meter)
    assert PT.S2_GENERATE_KEYPAIR not in line.types


WRONG_CHAINS: dict[ChainFailure, Callable[[CertificateRequest], tuple[Certificate, ...]]] = {
    ChainFailure.WRONG_KEY: lambda request: issued(request, public_point=FALSE_KEY.public_point),
    ChainFailure.WRONG_SUBJECT: lambda request: issued(replace(request, subject=UmiId(9))),
    ChainFailure.WRONG_ROLE: lambda request: issued(request, role=Role.SERVICE),
    ChainFailure.BAD_SIGNATURE: lambda request: issued(request, signer=FALSE_KEY),
    ChainFailure.EXPIRED: lambda request: issued(request, valid_until=NOW.replace(day=1)),
    ChainFailure.UNKNOWN_ISSUER: lambda request: issued(request)[:1],
    ChainFailure.NO_ANCHOR: lambda request: (make_root(subject=UmiId(8), issuer=UmiId(8)),),
}


@pytest.mark.parametrize("failure", WRONG_CHAINS, ids=lambda failure: failure.value)
def test_a_chain_that_nobody_would_trust_is_not_sent(failure: ChainFailure) -> None:
    line, meter = blank(memory=half())
    chain = WRONG_CHAINS[failure](identity.fetch_request(meter))
    with pytest.raises(ChainError) as caught:
        identity.install_chain(meter, chain, trusted=TRUSTED, at=NOW)
    assert caught.value.failure is failure
    assert PT.S2_INSTALL_OWN_CERTIFICATE_CHAIN not in line.types


def test_the_anchor_is_not_sent_and_neither_is_what_leads_nowhere() -> None:
    line, meter = blank(memory=half())
    leaf, authority, root = issued(identity.fetch_request(meter))
    mixed = (leaf, root, make_authority(subject=UmiId(0x77)), authority)
    done = identity.install_chain(meter, mixed, trusted=TRUSTED, at=NOW)
    assert done.chain == (leaf, authority)
    [sent] = [parsed(each)[1].payload for each in line.commands if type_of(each) == 0xAC]
    assert sent == encode_chain((leaf, authority))


def test_a_device_that_shows_another_chain_has_not_been_given_this_one() -> None:
    def showing_another(packet: bytes, forward: Forward) -> bytes | None:
        answer = forward(packet)
        is_asked = type_of(packet) == PT.S2_GET_CERTIFICATE
        if is_asked and S2GetCertificate.decode(parsed(packet)[1].payload).subject == OWN_ID:
            other = party(OWN_ID.value).certificate
            return forged(packet, PT.S2_GET_CERTIFICATE_RESPONSE, payload=other.encode())
        return answer

    _, meter = blank(showing_another, half())
    chain = issued(identity.fetch_request(meter))
    with pytest.raises(ReadBackError) as caught:
        identity.install_chain(meter, chain, trusted=TRUSTED, at=NOW)
    assert caught.value.exit_code == 32


def test_issuers_are_handed_over_first_and_each_once() -> None:
    child = party(0x77, issuer=AUTHORITY_ID, signer=AUTHORITY_KEY).certificate
    given = [child, SERVICE.certificate, AUTHORITY, child]
    assert identity.issuers_first(given) == [SERVICE.certificate, AUTHORITY, child]
    loop = [make_authority(issuer=UmiId(1), subject=UmiId(2))]
    loop.append(make_authority(issuer=UmiId(2), subject=UmiId(1)))
    assert identity.issuers_first(loop) == loop
    line, meter = blank(memory=trusting_memory(SERVICE))
    assert identity.trust(meter, given) == (AUTHORITY, child)
    assert set(line.memory.vault.key_table) == {SERVICE.umi_id, AUTHORITY_ID, UmiId(0x77)}


def test_what_a_device_does_not_take_is_told_and_what_came_before_stays() -> None:
    line, meter = blank(memory=trusting_memory())
    stranger = party(0x99, issuer=UmiId(0xEE)).certificate
    with pytest.raises(RefusedError, match="UNKNOWN_ISSUER"):
        identity.trust(meter, [SERVICE.certificate, stranger])
    assert list(line.memory.vault.key_table) == [SERVICE.umi_id]


# Answers that are lost

STEPS: dict[str, tuple[int, Callable[[Meter], object], Callable[[Memory], bool]]] = {
    "umi id": (
        PT.WRITE_OBJECT,
        lambda meter: identity.set_umi_id(meter, UmiId(0x70)),
        lambda memory: memory.umi_id == UmiId(0x70),
    ),
    "root": (
        PT.S2_ADD_CERTIFICATE,
        lambda meter: identity.trust(meter, [AUTHORITY]),
        lambda memory: AUTHORITY_ID in memory.vault.key_table,
    ),
    "chain": (
        PT.S2_INSTALL_OWN_CERTIFICATE_CHAIN,
        lambda meter: identity.install_chain(
            meter, issued(identity.fetch_request(meter)), trusted=TRUSTED, at=NOW
        ),
        lambda memory: bool(memory.vault.chain),
    ),
}


@pytest.mark.parametrize("arrives", [True, False], ids=["it ran", "it did not run"])
@pytest.mark.parametrize("step", STEPS)
def test_a_lost_answer_is_settled_by_reading_back(step: str, arrives: bool) -> None:
    kind, take, is_done = STEPS[step]
    losing = Losing(kind, arrives=arrives)
    line, meter = blank(losing, half())
    take(meter)
    assert is_done(line.memory)
    assert len(losing.seen) == (1 if arrives else 2), "once, or again when it had not run"


@pytest.mark.parametrize("arrives", [True, False], ids=["it ran", "it did not run"])
def test_a_lost_key_pair_is_settled_by_the_request(arrives: bool) -> None:
    losing = Losing(PT.S2_GENERATE_KEYPAIR, arrives=arrives)
    line, meter = blank(losing)
    assert identity.make_key_pair(meter)
    signer = line.memory.vault.signer
    assert signer is not None
    assert identity.fetch_request(meter).public_point == signer.public_point
    assert len(losing.seen) == (1 if arrives else 2)


@pytest.mark.parametrize("step", STEPS)
def test_what_is_lost_again_and_again_is_unknown(step: str) -> None:
    kind, take, is_done = STEPS[step]
    losing = Losing(kind, lost=CHANGE_TRIES, arrives=False)
    line, meter = blank(losing, half())
    with pytest.raises(OutcomeUnknownError):
        take(meter)
    assert not is_done(line.memory)
    assert len(losing.seen) == CHANGE_TRIES


def test_one_that_was_held_up_runs_before_the_next_try() -> None:
    """Between the read-back and the next try: that one is refused, and all is well."""
    held: list[bytes] = []

    def held_up(packet: bytes, forward: Forward) -> bytes | None:
        if type_of(packet) != PT.S2_GENERATE_KEYPAIR:
            return forward(packet)
        if not held or packet == held[0]:
            held[:] = [packet]
            return None
        forward(held[0])
        return forward(packet)

    line, meter = blank(held_up)
    assert identity.make_key_pair(meter)
    assert line.memory.vault.signer is not None


def test_a_refusal_that_means_no_is_told() -> None:
    """Another chain is there (133), and this one is not."""
    line, meter = certified(honest, MANUFACTURER)
    other = party(METER.umi_id.value, Role.METERING_DEVICE, key=METER.key, serial=b"\x99")
    with pytest.raises(RefusedError, match="ALREADY_INSTALLED") as caught:
        identity.install_chain(meter, [other.certificate], trusted=TRUSTED, at=NOW)
    assert "umi device certificate" in caught.value.hint
    assert line.memory.vault.chain == (METER.certificate,)


def test_what_cannot_be_read_back_is_unknown() -> None:
    def gone(packet: bytes, forward: Forward) -> bytes | None:
        if type_of(packet) == PT.S2_GENERATE_KEYPAIR:
            forward(packet)
            line.attack = lambda packet, forward: None
            return None
        return forward(packet)

    line, meter = blank(gone)
    with pytest.raises(OutcomeUnknownError):
        identity.make_key_pair(meter)
    assert line.memory.vault.signer is not None


# Rights: revoked, asked about, given up

CONFIRMED = 1  # what is encrypted before a command: the NO_OPERATION that confirms the key


def test_a_revocation_is_obeyed_and_harmless_twice() -> None:
    line, meter = certified(honest, SECURITY, USER)
    for _ in range(2):
        identity.revoke(meter, NAME)
    assert list(line.memory.vault.revoked) == [NAME]
    assert USER.umi_id not in line.memory.vault.key_table


@pytest.mark.parametrize("arrives", [True, False], ids=["it ran", "it did not run"])
def test_a_lost_revocation_is_sent_again(arrives: bool) -> None:
    losing = Losing(None, skipped=CONFIRMED, arrives=arrives)
    line, meter = certified(losing, SECURITY, USER)
    identity.revoke(meter, NAME)
    assert list(line.memory.vault.revoked) == [NAME]


def test_who_revokes_itself_and_is_not_answered_does_not_know() -> None:
    """It cannot ask any more: what it is told then is about something else."""
    losing = Losing(None, skipped=CONFIRMED)
    line, meter = certified(losing, SECURITY)
    with pytest.raises(OutcomeUnknownError) as caught:
        identity.revoke(meter, SECURITY.certificate.body.name)
    assert isinstance(caught.value.__cause__, UmiError)
    assert list(line.memory.vault.revoked) == [SECURITY.certificate.body.name]


def test_a_revocation_that_is_lost_for_good_is_unknown() -> None:
    # After each loss another session is begun, whose confirmation is encrypted as well.
    class LosingAll(Losing):
        def __call__(self, packet: bytes, forward: Forward) -> bytes | None:
            if type_of(packet) is not None:
                return forward(packet)
            if packet not in self.seen:
                self.seen.append(packet)
            is_confirmation = self.seen.index(packet) % 2 == 0
            answer = forward(packet)
            return answer if is_confirmation else None

    _, meter = certified(LosingAll(None), SECURITY, USER)
    with pytest.raises(OutcomeUnknownError):
        identity.revoke(meter, NAME)


def test_a_full_memory_is_told() -> None:
    line, meter = certified(honest, SECURITY, USER)
    names = [CertificateName(issuer=ROOT_ID, subject=UmiId(n), serial=b"\x01") for n in range(16)]
    for each in names:
        identity.revoke(meter, each)
    with pytest.raises(RefusedError, match="OUT_OF_REVOCATION_MEMORY") as caught:
        identity.revoke(meter, NAME)
    assert caught.value.number == ResultCode.OUT_OF_REVOCATION_MEMORY
    assert USER.umi_id not in line.memory.vault.key_table


def test_a_device_asks_and_is_answered() -> None:
    line, meter = certified(honest, SECURITY, USER)
    identity.check_revocation(meter, NAME)
    assert line.memory.vault.asked == {NAME}
    identity.answer_revocation(meter, NAME, is_revoked=False)
    assert line.memory.vault.asked == set()
    assert line.memory.vault.revoked == {}
    identity.answer_revocation(meter, NAME, is_revoked=True)
    assert list(line.memory.vault.revoked) == [NAME]


@pytest.mark.parametrize("arrives", [True, False], ids=["it ran", "it did not run"])
@pytest.mark.parametrize("is_lost", [True, False], ids=["lost", "answered"])
def test_rights_are_given_up(is_lost: bool, arrives: bool) -> None:
    """The certificate is gone, and the client says nothing under a session that has ended."""
    attack: Any = Losing(None, skipped=CONFIRMED, arrives=arrives) if is_lost else honest
    line, meter = certified(attack, USER)
    identity.relinquish(meter)
    meter.close()
    assert USER.umi_id not in line.memory.vault.key_table
    if not is_lost:
        assert all(event[0] != EventNumber.BAD_DECRYPT for event in line.memory.events.records)


@pytest.mark.parametrize("client", [blank, under_scheme1])
def test_who_has_no_certificate_has_no_rights_to_give_up(client: Any) -> None:
    _, meter = client()
    with pytest.raises(InputError, match="under a certificate") as caught:
        identity.relinquish(meter)
    assert "--cert" in caught.value.hint


# Keys of roles


@pytest.mark.parametrize("client", [blank, under_scheme1])
def test_a_key_goes_into_an_encrypted_session_alone(client: Any) -> None:
    line, meter = client()
    with pytest.raises(InputError, match="encrypted session alone") as caught:
        identity.set_role_key(meter, Role.SERVICE, NEW_KEY)
    assert "scheme 2" in caught.value.hint
    assert line.commands == []


def test_a_key_of_guests_is_none() -> None:
    _, meter = certified(honest, SECURITY)
    with pytest.raises(InputError, match="guests prove nothing"):
        identity.set_role_key(meter, Role.GUEST, NEW_KEY)


@pytest.mark.parametrize("arrives", [True, False], ids=["it ran", "it did not run"])
def test_a_lost_key_is_set_again(arrives: bool) -> None:
    """Nobody reads it back; the same key twice is harmless. Nor is it seen on the line."""
    line, meter = certified(Losing(None, skipped=CONFIRMED, arrives=arrives), SECURITY)
    identity.set_role_key(meter, Role.SERVICE, NEW_KEY)
    keys = line.memory.store.values[KEYS]
    assert keys[80:96] == NEW_KEY.raw
    assert keys[64:80] == role_key(Role.USER).raw
    assert not any(NEW_KEY.raw in packet for packet in line.commands)


# Whatever the line does

RUNS, TRIES = 120, 40
RATES = FaultRates.parse("drop:0.05,duplicate:0.04,delay:0.05,flip:0.05,truncate:0.03,power:0.03")
DOCUMENTED = {14, 15, 17, 30, 33}
SCRIPT: tuple[Callable[[Meter], object], ...] = (
    lambda meter: identity.set_umi_id(meter, OWN_ID),
    lambda meter: identity.trust(meter, [ROOT]),
    identity.make_key_pair,
    lambda meter: identity.install_chain(
        meter, issued(identity.fetch_request(meter)), trusted=TRUSTED, at=NOW
    ),
)
IS_DONE: tuple[Callable[[Memory], bool], ...] = (
    lambda memory: memory.umi_id == OWN_ID,
    lambda memory: memory.vault.anchors == (ROOT,),
    lambda memory: memory.vault.signer is not None,
    lambda memory: recognised(memory) == "whole",
)


@pytest.mark.parametrize("first_seed", range(0, RUNS, 20))
def test_a_unit_becomes_whole_over_a_bad_line(first_seed: int) -> None:
    """Step by step, with another try after each error; it has one key pair in its life.

    Never is it anything but blank, half or whole, and what is reported done is done.
    """
    for seed in range(first_seed, first_seed + 20):
        options = SimOptions(faults=RATES, seed=seed, is_blank=True)
        clock = SimulatedClock(START_UNIX_S)
        simulation = Simulation(options, clock.utc())
        memory = simulation.meter.memory
        points: set[bytes] = set()
        failures: list[UmiError] = []
        for step, is_done in zip(SCRIPT, IS_DONE, strict=True):
            for number in range(TRIES):
                transport = MemoryTransport(simulation.new_line(f"{number}"), clock=clock)
                meter = Meter(transport, Session(transport), CATALOGUE)
                try:
                    step(meter)
                except UmiError as error:
                    failures.append(error)
                else:
                    assert is_done(memory), seed
                recognised(load_memory(memory.dump(), "state"))
                if memory.vault.signer:
                    points.add(memory.vault.signer.public_point)
                if is_done(memory):
                    break
            assert is_done(memory), seed
        assert len(points) == 1, seed
        assert {error.exit_code for error in failures} <= DOCUMENTED, (seed, failures)
