"""A unit's life: blank from the line, half or whole, locked by its maker, retired in the end."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.certificates.pki import (
    AUTHORITY,
    AUTHORITY_ID,
    AUTHORITY_KEY,
    FALSE_KEY,
    ROOT,
    ROOT_ID,
    ROOT_KEY,
    make_root,
)
from tests.virtual.bench import START_UNIX_S, Bench
from tests.virtual.parties import (
    CLOCK_CONTROL,
    COUNTER,
    KEYS,
    MANUFACTURER,
    MANUFACTURER_ID,
    METER,
    READ,
    SALT_A,
    SECURITY,
    SERVICE,
    VALVE,
    Commander,
    Party,
    in_clear,
    party,
    secure_bench,
    trusting_memory,
)
from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import (
    NoOperation,
    ReadObject,
    ReadObjectPart,
    SetObjectReadAccess,
    SetObjectWriteAccess,
    WriteObject,
)
from umi_cli.application.payload import Command
from umi_cli.application.security_commands import (
    S2AddCertificate,
    S2GenerateKeypair,
    S2GetCertificate,
    S2GetCsr,
    S2GetCsrReply,
    S2InstallOwnCertificateChain,
    S2StartSession,
)
from umi_cli.certificates.chain import encode_chain
from umi_cli.certificates.cvc import Certificate
from umi_cli.certificates.request import CertificateRequest
from umi_cli.errors import InputError
from umi_cli.objects.values import Enumerated
from umi_cli.types import DEFAULT_READER_ID, ObjectPart, Role, RoleSet, UmiCode, UmiId
from umi_cli.virtual.delivered import VIRTUAL_METER_ID, blank_memory, new_memory
from umi_cli.virtual.life_cycle import LIFE_CYCLE_OBJECT, LifeCycle, stage_of
from umi_cli.virtual.memory import Memory, load_memory
from umi_cli.virtual.setup import SimOptions, Simulation
from umi_cli.virtual.vault import ROOTS

R = ResultCode
OWN_ID = UmiId(0x0023_7EFE_0000_0007)
UMI_ID = UmiCode(0)
MAKER_BYTES = b"EISGMv0\x00ELS002500000042"
WRITE_ID = WriteObject(code=UMI_ID, value=OWN_ID.encode())
WRITE_MAKER = WriteObject(code=MANUFACTURER_ID, value=MAKER_BYTES)
ADD_ROOT = S2AddCertificate(certificate=ROOT.encode())


def enter(stage: LifeCycle) -> WriteObject:
    return WriteObject(code=LIFE_CYCLE_OBJECT, value=bytes([stage]))


def blank_bench(**options: Any) -> Bench:
    return Bench(memory=blank_memory("ei4"), **options)


def request_of(bench: Bench) -> CertificateRequest:
    message = in_clear(bench, S2GetCsr(), DEFAULT_READER_ID)
    return CertificateRequest.decode(S2GetCsrReply.decode(message.payload).request)


def own_chain(bench: Bench) -> tuple[Certificate, ...]:
    """Return the chain that a factory issues on a unit's request."""
    request = request_of(bench)
    own = party(
        request.subject.value,
        Role.METERING_DEVICE,
        issuer=AUTHORITY_ID,
        signer=AUTHORITY_KEY,
        public_point=request.public_point,
    )
    return own.certificate, AUTHORITY


def install(bench: Bench) -> S2InstallOwnCertificateChain:
    return S2InstallOwnCertificateChain(certificates=encode_chain(own_chain(bench)))


STEPS: tuple[Callable[[Bench], Command[Any]], ...] = (
    lambda bench: WRITE_ID,
    lambda bench: WRITE_MAKER,
    lambda bench: ADD_ROOT,
    lambda bench: S2GenerateKeypair(),
    install,
)
"""What the factory has done to a blank unit, in the clear."""


def provision(bench: Bench) -> None:
    for step in STEPS:
        assert bench.result(step(bench)) == R.OK


def in_stage(stage: LifeCycle, *known: Party) -> Bench:
    """Return a meter of the field in a stage, which knows these parties."""
    bench = secure_bench(*known)
    bench.memory.store.values[LIFE_CYCLE_OBJECT] = bytes([stage])
    return bench


# Blank


def test_a_blank_unit_knows_what_it_is_and_not_which() -> None:
    bench = blank_bench()
    maker = bench.value("manufacturer-id")
    assert isinstance(maker, dict)
    assert (maker["model"], maker["serial"]) == ("EISGMv0", "00000000")
    assert bench.value("life-cycle") == Enumerated(0, "blank")
    vault = bench.memory.vault
    assert (vault.signer, vault.chain, vault.anchors, vault.key_table) == (None, (), (), {})
    assert not any(bench.memory.store.values[KEYS])


def test_a_placeholder_is_random_and_says_so() -> None:
    ids = {blank_memory("ei4").umi_id.value for _ in range(20)}
    assert len(ids) == 20
    assert {each >> 56 for each in ids} == {2}
    assert blank_memory("ei4", OWN_ID).umi_id == OWN_ID


def test_the_factory_makes_a_blank_unit_whole() -> None:
    """Step by step, each twice where that is harmless; then it is a meter like any other."""
    bench = blank_bench()
    assert bench.result(S2GetCsr()) == R.NO_PUBLIC_KEY
    for step in STEPS:
        assert stage_of(bench.memory) is LifeCycle.BLANK
        assert bench.result(step(bench)) == R.OK
    assert stage_of(bench.memory) is LifeCycle.PROVISIONED
    assert bench.read("umi-id") == OWN_ID.encode()
    assert bench.read("manufacturer-id") == MAKER_BYTES
    assert bench.memory.vault.anchors == (ROOT,)
    assert bench.memory.vault.chain[0].body.subject == OWN_ID


def test_a_request_names_the_id_that_the_unit_has_then() -> None:
    bench = blank_bench()
    bench.reply(S2GenerateKeypair())
    assert request_of(bench).subject == bench.memory.umi_id != OWN_ID
    bench.reply(WRITE_ID)
    bench.reply(ADD_ROOT)
    request = request_of(bench)
    request.verify()
    assert (request.subject, request.issuer) == (OWN_ID, ROOT_ID)


NOT_OF_THE_FACTORY: tuple[Command[Any], ...] = (
    WriteObject(code=KEYS, value=bytes(256)),
    WriteObject(code=VALVE, value=b"\x00"),
    ReadObject(code=KEYS),
    enter(LifeCycle.PROVISIONED),
    enter(LifeCycle.LOCKED),
    SetObjectWriteAccess(code=UMI_ID, roles=RoleSet.everyone()),
    SetObjectReadAccess(code=KEYS, roles=RoleSet.everyone()),
)


@pytest.mark.parametrize("command", NOT_OF_THE_FACTORY, ids=lambda command: command.title)
def test_the_factory_may_what_it_needs_and_no_more(command: Command[Any]) -> None:
    bench = blank_bench()
    before = bench.memory.dump()
    assert bench.result(command) == R.ACCESS_DENIED
    before_objects, after = json.loads(before), json.loads(bench.memory.dump())
    for kept in ("objects", "access", "vault"):
        assert after[kept] == before_objects[kept]


def test_the_factory_sets_a_blank_units_clock() -> None:
    """A certificate has its time, and a unit without a clock could take none."""
    bench = blank_bench()
    command = WriteObject(code=CLOCK_CONTROL, value=(100).to_bytes(4, "little") + bytes(4))
    assert bench.result(command) == R.OK
    provision(blank := blank_bench())
    assert blank.result(command) == R.ACCESS_DENIED


@pytest.mark.parametrize("command", [WRITE_ID, WRITE_MAKER], ids=lambda command: command.title)
def test_a_unit_that_is_not_blank_is_given_no_identity(command: Command[Any]) -> None:
    """Neither a new virtual meter, nor one in the field, nor one that was blank before."""
    whole = blank_bench()
    provision(whole)
    for bench in (Bench(), secure_bench(), whole):
        assert bench.result(command) == R.ACCESS_DENIED


def test_a_unit_keeps_the_id_that_its_certificate_is_for() -> None:
    bench = secure_bench(MANUFACTURER, SECURITY)
    same = WriteObject(code=UMI_ID, value=VIRTUAL_METER_ID.encode())
    commander = Commander(bench, MANUFACTURER)
    assert commander.told(WRITE_ID) == R.ALREADY_INSTALLED
    assert commander.told(same) == R.OK
    assert bench.memory.umi_id == VIRTUAL_METER_ID


def test_no_unit_has_the_id_of_nobody() -> None:
    nobody = WriteObject(code=UMI_ID, value=b"\xff" * 8)
    assert blank_bench().result(nobody) == R.INVALID_VALUE


# Half: a key pair, and no chain


def test_a_half_unit_begins_no_session() -> None:
    """130 without a key pair, 131 without a chain, and 131 for whom it does not know."""
    bench = blank_bench()
    bench.reply(ADD_ROOT)
    bench.reply(S2AddCertificate(certificate=SERVICE.certificate.encode()))
    start = S2StartSession(salt_a=SALT_A)
    assert in_clear(bench, start, SERVICE.umi_id).argument == R.NO_PUBLIC_KEY
    bench.reply(S2GenerateKeypair())
    assert in_clear(bench, start, SERVICE.umi_id).argument == R.NO_CERTIFICATE
    assert bench.result(S2GetCertificate(subject=bench.memory.umi_id)) == R.NO_CERTIFICATE
    assert bench.result(S2GenerateKeypair()) == R.KEYPAIR_ALREADY_GENERATED


def refused_chains(bench: Bench) -> list[tuple[bytes, ResultCode]]:
    leaf, above = own_chain(bench)
    own, point = bench.memory.umi_id.value, leaf.body.public_point
    false = party(own, Role.METERING_DEVICE, signer=FALSE_KEY, public_point=point).certificate
    other_id = party(0x99, Role.METERING_DEVICE, public_point=point).certificate
    other_key = party(own, Role.METERING_DEVICE, key=FALSE_KEY).certificate
    stranger = party(own, issuer=UmiId(0xEE), public_point=point).certificate
    return [
        (b"", R.INVALID_CERTIFICATE_FORMAT),
        (leaf.encode()[:-1], R.INVALID_CERTIFICATE_FORMAT),
        (leaf.encode() + b"\0", R.INVALID_CERTIFICATE_FORMAT),
        (leaf.encode(), R.UNKNOWN_ISSUER),
        (encode_chain((above, leaf)), R.INVALID_CERTIFICATE),
        (false.encode(), R.INVALID_CERTIFICATE_SIGNATURE),
        (other_id.encode(), R.INVALID_CERTIFICATE),
        (other_key.encode(), R.INVALID_CERTIFICATE),
        (encode_chain((stranger, above)), R.UNKNOWN_ISSUER),
    ]


def test_a_chain_is_installed_as_a_whole_or_not_at_all() -> None:
    bench = blank_bench()
    for step in STEPS[:-1]:
        bench.reply(step(bench))
    vault = bench.memory.vault.dump()
    for data, code in refused_chains(bench):
        assert bench.result(S2InstallOwnCertificateChain(certificates=data)) == code
        assert bench.memory.vault.dump() == vault
        assert stage_of(bench.memory) is LifeCycle.BLANK
    assert bench.result(install(bench)) == R.OK


def test_no_chain_is_installed_before_there_is_a_root_and_a_key_pair() -> None:
    bench = blank_bench()
    data = METER.certificate.encode()
    assert bench.result(S2InstallOwnCertificateChain(certificates=data)) == R.NO_PUBLIC_KEY
    bench.reply(S2GenerateKeypair())
    assert bench.result(install(bench)) == R.UNKNOWN_ISSUER


# A cut at any command


def recognised(memory: Memory) -> str:
    """Return what a unit is found to be: blank, half or whole; it must be one of them."""
    vault, stage = memory.vault, stage_of(memory)
    if vault.chain:
        assert vault.signer is not None
        own = vault.chain[0].body
        assert (own.subject, own.public_point) == (memory.umi_id, vault.signer.public_point)
        assert stage is LifeCycle.PROVISIONED
        return "whole"
    assert stage is LifeCycle.BLANK
    return "half" if vault.signer else "blank"


def test_a_cut_at_any_command_leaves_a_unit_that_is_recognised() -> None:
    """What a process that is killed leaves in its state file: as it was before, or after."""
    bench = blank_bench()
    left = [bench.memory.dump()]
    bench._on_change = lambda: left.append(bench.memory.dump())  # type: ignore[method-assign]
    bench.meter._on_change = bench._on_change
    provision(bench)
    found = [recognised(load_memory(text, "state")) for text in left]
    assert found == ["blank"] * 4 + ["half", "whole"]


@pytest.mark.parametrize("cut", range(len(STEPS) + 1))
def test_a_power_cut_between_commands_loses_nothing(cut: int) -> None:
    bench = blank_bench()
    for number, step in enumerate(STEPS):
        if number == cut:
            bench.meter.lose_power(bench.now)
            bench.peer = bench.meter.new_peer("line")
            bench.wait(1)
        assert bench.result(step(bench)) == R.OK
    assert recognised(bench.memory) == "whole"


def test_a_state_file_remembers_how_far_a_unit_is(tmp_path: Path) -> None:
    """`blank` makes a new unit; it does not undo what the state file knows."""
    path = tmp_path / "unit.json"
    options = SimOptions(state=path, is_blank=True)
    simulation = Simulation(options, START_UNIX_S)
    placeholder = simulation.meter.memory.umi_id
    simulation.close()
    again = Simulation(options, START_UNIX_S)
    assert again.meter.memory.umi_id == placeholder
    bench = Bench(memory=again.meter.memory)
    provision(bench)
    again.close()
    whole = Simulation(options, START_UNIX_S)
    assert recognised(whole.meter.memory) == "whole"
    whole.close()


def test_options_of_a_blank_unit() -> None:
    options = SimOptions.from_query("", {"blank": "yes", "key-table": "2"})
    assert (options.is_blank, options.key_table_size) == (True, 2)
    assert SimOptions.from_query("", {"blank": "no"}) == SimOptions()
    for query in ({"blank": "perhaps"}, {"key-table": "0"}, {"key-table": "1001"}):
        with pytest.raises(InputError, match=f"^{next(iter(query))} takes"):
            SimOptions.from_query("", query)


def test_a_small_key_table_is_full_soon() -> None:
    simulation = Simulation(SimOptions(key_table_size=1), START_UNIX_S)
    simulation.meter.memory.vault.anchors = (ROOT,)
    bench = Bench(memory=simulation.meter.memory)
    first, second = (S2AddCertificate(certificate=party(n).certificate.encode()) for n in (1, 2))
    assert [bench.result(each) for each in (first, second, first)] == [R.OK, R.KEY_TABLE_FULL, R.OK]


# Provisioned and locked


LOCKING: tuple[Command[Any], ...] = (
    WRITE_MAKER,
    WriteObject(code=KEYS, value=bytes(range(256))),
    SetObjectReadAccess(code=KEYS, roles=RoleSet.everyone()),
    SetObjectWriteAccess(code=MANUFACTURER_ID, roles=RoleSet.everyone()),
    S2AddCertificate(certificate=make_root(serial=b"\x09").encode()),
    enter(LifeCycle.RETIRED),
)


@pytest.mark.parametrize("command", LOCKING, ids=lambda command: command.title)
def test_the_maker_changes_what_is_not_locked(command: Command[Any]) -> None:
    """Until it locks the unit; then only the security authority does."""
    assert Commander(in_stage(LifeCycle.PROVISIONED, MANUFACTURER), MANUFACTURER).told(command) == 0
    bench = in_stage(LifeCycle.PROVISIONED, MANUFACTURER, SECURITY)
    maker = Commander(bench, MANUFACTURER)
    assert maker.told(enter(LifeCycle.LOCKED)) == R.OK
    before = (dict(bench.memory.store.access), bench.memory.vault.anchors)
    assert maker.told(command) in (R.ACCESS_DENIED, R.OK)
    assert (dict(bench.memory.store.access), bench.memory.vault.anchors) == before
    assert stage_of(bench.memory) is LifeCycle.LOCKED
    assert Commander(bench, SECURITY).told(command) == R.OK


def test_a_locked_unit_changes_neither_keys_nor_identity_for_its_maker() -> None:
    bench = in_stage(LifeCycle.LOCKED, MANUFACTURER)
    maker = Commander(bench, MANUFACTURER)
    kept = (WRITE_ID, WRITE_MAKER, WriteObject(code=KEYS, value=bytes(256)), S2GenerateKeypair())
    for command in (*kept, install_again(bench), enter(LifeCycle.PROVISIONED)):
        assert maker.told(command) == R.ACCESS_DENIED
    assert maker.told(WriteObject(code=COUNTER, value=bytes(4))) == R.OK
    assert maker.told(S2AddCertificate(certificate=SERVICE.certificate.encode())) == R.OK


def install_again(bench: Bench) -> S2InstallOwnCertificateChain:
    renewed = party(VIRTUAL_METER_ID.value, Role.METERING_DEVICE, key=METER.key, serial=b"\x77")
    return S2InstallOwnCertificateChain(certificates=renewed.certificate.encode())


@pytest.mark.parametrize("stage", [LifeCycle.PROVISIONED, LifeCycle.LOCKED])
def test_the_security_authority_replaces_a_chain(stage: LifeCycle) -> None:
    """A certificate ends some day; its maker alone cannot (133)."""
    bench = in_stage(stage, SECURITY)
    commander = Commander(bench, SECURITY)
    other = party(VIRTUAL_METER_ID.value, Role.METERING_DEVICE, key=FALSE_KEY).certificate
    false = S2InstallOwnCertificateChain(certificates=other.encode())
    assert commander.told(false) == R.INVALID_CERTIFICATE
    assert bench.memory.vault.chain == (METER.certificate,)
    assert commander.told(install_again(bench)) == R.OK
    assert bench.memory.vault.chain[0].body.serial == b"\x77"
    assert commander.told(NoOperation()) == R.OK
    assert stage_of(bench.memory) is stage


def test_another_root_comes_from_the_makers_alone() -> None:
    """From the maker until it locks the unit, from the security authority then; so many fit."""
    roots = [make_root(serial=bytes([0x20 + n])) for n in range(ROOTS)]
    adding = [S2AddCertificate(certificate=each.encode()) for each in roots]
    bench = in_stage(LifeCycle.PROVISIONED, SECURITY, SERVICE)
    foreign = party(0xB0, issuer=UmiId(0xB0), signer=FALSE_KEY, key=FALSE_KEY)
    stranger = Certificate.sign(
        make_root(
            subject=UmiId(0xB0), issuer=UmiId(0xB0), public_point=FALSE_KEY.public_point
        ).body,
        FALSE_KEY,
    )
    assert foreign.certificate.body.issuer == stranger.body.subject
    command = S2AddCertificate(certificate=stranger.encode())
    assert Commander(bench, SERVICE).told(command) == R.UNKNOWN_ISSUER
    commander = Commander(bench, SECURITY)
    assert commander.told(command) == R.OK
    assert commander.told(command) == R.OK  # it has it
    assert bench.memory.vault.anchors == (ROOT, stranger)
    answers = [commander.told(each) for each in adding]
    assert answers == [R.OK] * (ROOTS - 2) + [R.KEY_TABLE_FULL] * 2


def test_what_the_unit_trusts_takes_no_place_among_the_parties() -> None:
    bench = secure_bench()
    for certificate in (ROOT, METER.certificate):
        assert bench.result(S2AddCertificate(certificate=certificate.encode())) == R.OK
    assert bench.memory.vault.key_table == {}


def test_a_meter_with_a_chain_and_no_root_takes_none_from_a_guest() -> None:
    bench = secure_bench()
    bench.memory.vault.anchors = ()
    assert bench.result(ADD_ROOT) == R.UNKNOWN_ISSUER


WRONG_STEPS = [
    (LifeCycle.BLANK, LifeCycle.LOCKED),
    (LifeCycle.BLANK, LifeCycle.PROVISIONED),
    (LifeCycle.BLANK, LifeCycle.RETIRED),
    (LifeCycle.PROVISIONED, LifeCycle.BLANK),
    (LifeCycle.LOCKED, LifeCycle.BLANK),
]


@pytest.mark.parametrize(("before", "after"), WRONG_STEPS)
@pytest.mark.parametrize("role", [Role.MANUFACTURER, Role.SECURITY_AUTHORITY])
def test_no_stage_is_skipped_and_none_comes_back(
    before: LifeCycle, after: LifeCycle, role: Role
) -> None:
    bench = Bench(memory=trusting_memory(), role=role)
    bench.memory.store.values[LIFE_CYCLE_OBJECT] = bytes([before])
    expected = {R.INVALID_VALUE}
    if before is LifeCycle.LOCKED and role is Role.MANUFACTURER:
        expected = {R.ACCESS_DENIED}
    assert bench.result(enter(after)) in expected
    assert stage_of(bench.memory) is before


def test_the_same_stage_twice_is_harmless() -> None:
    bench = Bench(role=Role.MANUFACTURER)
    unknown = WriteObject(code=LIFE_CYCLE_OBJECT, value=b"\x07")
    assert bench.result(unknown) == R.INVALID_VALUE
    for stage in (LifeCycle.PROVISIONED, LifeCycle.LOCKED, LifeCycle.LOCKED):
        assert bench.result(enter(stage)) == R.OK
    assert bench.result(enter(LifeCycle.PROVISIONED)) == R.ACCESS_DENIED
    unlocking = in_stage(LifeCycle.LOCKED, SECURITY)
    commander = Commander(unlocking, SECURITY)
    for stage in (LifeCycle.LOCKED, LifeCycle.PROVISIONED):
        assert commander.told(enter(stage)) == R.OK


def test_a_locked_unit_without_a_chain_is_not_in_the_factory() -> None:
    bench = Bench()
    bench.memory.store.values[LIFE_CYCLE_OBJECT] = bytes([LifeCycle.LOCKED])
    assert bench.result(S2GenerateKeypair()) == R.ACCESS_DENIED


# Retired


def test_a_retired_unit_says_who_it_was_and_nothing_else() -> None:
    bench = in_stage(LifeCycle.RETIRED, MANUFACTURER, SECURITY)
    assert bench.read("umi-id") == VIRTUAL_METER_ID.encode()
    assert bench.result(READ) == R.OK
    assert bench.value("life-cycle") == Enumerated(3, "retired")
    assert bench.result(S2GetCertificate(subject=VIRTUAL_METER_ID)) == R.OK
    refused: list[Command[Any]] = [
        NoOperation(),
        ReadObject(code=COUNTER),
        ReadObjectPart(part=ObjectPart(COUNTER)),
        WriteObject(code=COUNTER, value=bytes(4)),
        S2StartSession(salt_a=SALT_A),
        S2GenerateKeypair(),
        ADD_ROOT,
        enter(LifeCycle.PROVISIONED),
    ]
    for command in refused:
        assert bench.result(command) == R.ACCESS_DENIED
    assert bench.result(ReadObject(code=UmiCode(1))) == R.UNKNOWN_OBJECT


def test_who_retires_a_unit_is_answered_and_then_no_more() -> None:
    bench = in_stage(LifeCycle.LOCKED, SECURITY)
    commander = Commander(bench, SECURITY)
    assert commander.told(enter(LifeCycle.RETIRED)) == R.OK
    assert commander.told(READ) == R.OK
    assert commander.told(enter(LifeCycle.LOCKED)) == R.ACCESS_DENIED


# Without the object


def test_a_meter_whose_life_cycle_is_not_known_is_provisioned() -> None:
    memory = new_memory("ei4", VIRTUAL_METER_ID)
    for raw in (b"", b"\x01\x00", b"\x09"):
        memory.store.values[LIFE_CYCLE_OBJECT] = raw
        assert stage_of(memory) is LifeCycle.PROVISIONED
    del memory.store.values[LIFE_CYCLE_OBJECT]
    assert stage_of(memory) is LifeCycle.PROVISIONED


def test_a_blank_unit_with_a_chain_from_a_file_is_not_blank(tmp_path: Path) -> None:
    (tmp_path / "root.cvc").write_bytes(ROOT.encode())
    options = SimOptions(is_blank=True, umi_id=VIRTUAL_METER_ID, anchor=tmp_path / "root.cvc")
    assert stage_of(Simulation(options, START_UNIX_S).meter.memory) is LifeCycle.BLANK
    (tmp_path / "own.cvc").write_bytes(METER.certificate.encode())
    options = SimOptions(
        is_blank=True, umi_id=VIRTUAL_METER_ID, cert=tmp_path / "own.cvc", anchor=options.anchor
    )
    assert stage_of(Simulation(options, START_UNIX_S).meter.memory) is LifeCycle.PROVISIONED


def test_the_key_of_the_root_signs_nothing_here() -> None:
    """The root's certificate is no party's: it has no rights of its own."""
    bench = secure_bench()
    start = S2StartSession(salt_a=SALT_A)
    assert ROOT_KEY.public_point == ROOT.body.public_point
    assert in_clear(bench, start, ROOT_ID).argument == R.NO_CERTIFICATE
