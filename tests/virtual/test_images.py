"""Image transfer at a virtual meter: who may, in which order, what is refused, what runs when."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.images.packages import (
    KEY_ID,
    LABEL,
    NOW_S,
    RECIPIENT_KEY,
    TRANSPORT_KEY,
    product,
    sealed_to,
    sealed_with,
    signed,
)
from tests.independent import NoAnswer
from tests.virtual.bench import START_UNIX_S, Bench
from tests.virtual.parties import (
    KEYS,
    MANUFACTURER,
    METER,
    SERVICE,
    Commander,
    party,
    role_key,
    signed_by,
    told,
)
from tests.virtual.parties import with_mac as command_with_mac
from tests.virtual.test_slots import Cutter
from tests.virtual.uploads import (
    MAKER,
    OK,
    PROVIDER,
    blocks,
    by_maker,
    commands,
    image_bench,
    knowing,
    package,
    runs,
    send,
    upgrades,
    with_mac,
)
from tests.virtual.wire import Wire
from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import ImageData, ImageEnd, ImageStart
from umi_cli.application.payload import Command
from umi_cli.errors import InputError
from umi_cli.images.header import PLAIN_BYTES, ImageHeader, Version
from umi_cli.link.crc import crc
from umi_cli.types import Role, UmiId
from umi_cli.virtual.device import MeterSettings, VirtualMeter
from umi_cli.virtual.faults import OFF_S, FaultInjector, FaultRates
from umi_cli.virtual.flash import SLOT_BYTES, UNTOUCHED, PowerCut, uninterrupted
from umi_cli.virtual.memory import load_memory
from umi_cli.virtual.refusal import Refusal
from umi_cli.virtual.setup import SimOptions, Simulation
from umi_cli.virtual.slots import Slots
from umi_cli.virtual.updates import UPLOADERS, UpdateSettings

DELIVERED = (1, 4, 2, 0)
UPDATED = (1, 5, 0, 1)
RESTARTED = ResultCode.TRANSFER_RESTARTED
NOT_UNDER_WAY = ResultCode.IMAGE_PROCESSING_ERROR
BAD = ResultCode.BAD_IMAGE
Script = list[Command[Any]]
END, ABORT = ImageEnd(is_valid=1), ImageEnd(is_valid=0)
PACKAGE = with_mac()
STARTED, COMPLETED = (0, 0), (1, 0)
DAY_S = 86_400


def data(number: int, content: bytes) -> ImageData:
    return ImageData(number=number, data=content)


def begun(length_bytes: int = len(PACKAGE), **options: Any) -> Bench:
    bench = image_bench(**options)
    assert bench.result(ImageStart(length_bytes=length_bytes)) == OK
    return bench


# A whole transfer


@pytest.mark.parametrize("block_bytes", [1, 7, 50, len(PACKAGE) - 1, len(PACKAGE), 4000])
def test_a_new_image_runs(block_bytes: int) -> None:
    """Whatever the length of the blocks; version, slot, checksum and details are the new ones."""
    bench = image_bench()
    assert runs(bench) == DELIVERED
    assert send(bench, PACKAGE, block_bytes) == OK
    assert runs(bench) == UPDATED
    assert bench.value("active-software-version") == {
        "major": 1,
        "minor": 5,
        "bugfix": 0,
        "slot": 1,
        "crc": crc(PACKAGE),
        "details": "EISGMv0",
    }
    assert upgrades(bench) == [STARTED, COMPLETED]
    assert bench.memory.events.records[-2][0] == 16  # RESTART
    assert bench.result(END) == NOT_UNDER_WAY


def test_updates_take_turns_with_the_slots() -> None:
    bench = image_bench()
    for number in range(1, 5):
        assert send(bench, with_mac(f"1.5.{number}")) == OK
        assert runs(bench) == (1, 5, number, number % 2)


def test_an_image_may_run_later() -> None:
    """Accepted, activated, running: three facts, of which a commander can see each."""
    bench = image_bench(updates=UpdateSettings(activate_after_s=100))
    assert send(bench, PACKAGE) == OK
    bench.wait(99)
    assert runs(bench) == DELIVERED
    assert upgrades(bench) == [STARTED]
    assert bench.meter.updates.due == 100
    bench.wait(1)
    assert runs(bench) == UPDATED
    assert upgrades(bench) == [STARTED, COMPLETED]
    assert bench.meter.updates.due is None


def test_a_restart_does_not_wait() -> None:
    """It boots the image that was accepted."""
    bench = image_bench(updates=UpdateSettings(activate_after_s=100))
    send(bench, PACKAGE)
    bench.meter.lose_power(bench.now + 5)
    bench.wait(4)
    assert bench.meter.updates.due is None
    assert runs(bench) == DELIVERED  # said by nobody: it is off
    bench.wait(1)
    assert runs(bench) == UPDATED
    assert upgrades(bench) == [STARTED, COMPLETED]


def test_the_next_image_takes_the_place_of_one_that_waits() -> None:
    """The one that runs is never written over."""
    bench = image_bench(updates=UpdateSettings(activate_after_s=100))
    assert send(bench, with_mac("1.5.0")) == OK
    assert send(bench, with_mac("1.6.0")) == OK
    bench.wait(100)
    assert runs(bench) == (1, 6, 0, 1)
    send(bench, with_mac("1.7.0"))
    assert bench.result(ImageStart(length_bytes=9)) == OK
    bench.wait(1000)
    assert runs(bench) == (1, 6, 0, 1)


def test_a_line_wakes_up_for_it() -> None:
    """The meter of a line that is asked for the time changes its image in time."""
    simulated = Simulation(SimOptions(activate_after_s=30), START_UNIX_S)
    line = simulated.new_line("line")
    simulated.meter.updates.due = 30.0
    assert line.deadline == 30.0
    line.on_timer(30.0, START_UNIX_S + 30)
    assert simulated.new_line("other").deadline is None


# Who may


@pytest.mark.parametrize("role", Role)
def test_who_may_send_an_image(role: Role) -> None:
    """Under scheme 0 a guest may not, unless the bench gives it a role that may."""
    bench = image_bench(role)
    script: Script = [ImageStart(length_bytes=9), data(0, b"x"), ABORT, END]
    for command in script:
        is_refused = bench.result(command) == ResultCode.ACCESS_DENIED
        assert is_refused == (role not in UPLOADERS)
    is_uploader = role in (
        Role.SERVICE,
        Role.MANUFACTURER,
        Role.SOFTWARE_PROVIDER,
        Role.UTILITY_SUPPLIER,
    )
    assert (role in UPLOADERS) == is_uploader


def test_a_command_may_prove_its_role() -> None:
    """By a MAC, by a signature, under a session: a guest's line will do."""
    bench = image_bench(Role.GUEST, memory=knowing(SERVICE, MANUFACTURER))
    start = ImageStart(length_bytes=len(PACKAGE))
    assert told(bench, command_with_mac(bench, start, Role.USER)) == ResultCode.ACCESS_DENIED
    assert told(bench, command_with_mac(bench, start, Role.SERVICE)) == OK
    commander = Commander(bench, MANUFACTURER)
    for block in blocks(PACKAGE):
        assert commander.told(block) == OK
    assert told(bench, signed_by(bench, END, SERVICE)) == OK
    assert runs(bench) == UPDATED


# Order


def test_the_length_of_an_image() -> None:
    bench = image_bench()
    assert bench.result(ImageStart(length_bytes=0)) == ResultCode.INVALID_LENGTH
    assert bench.result(ImageStart(length_bytes=SLOT_BYTES + 1)) == ResultCode.TOO_LONG
    assert bench.result(ImageStart(length_bytes=0xFFFF_FFFF)) == ResultCode.TOO_LONG
    assert bench.result(data(0, b"x")) == NOT_UNDER_WAY
    assert bench.result(ImageStart(length_bytes=SLOT_BYTES)) == OK


def test_a_transfer_that_begins_anew() -> None:
    """13 says that another was under way; the new one begins with its first block all the same."""
    bench = begun()
    assert bench.result(blocks(PACKAGE)[0]) == OK
    assert bench.result(ImageStart(length_bytes=len(PACKAGE))) == RESTARTED
    assert bench.result(blocks(PACKAGE)[1]) == ResultCode.INVALID_VALUE
    assert send(bench, PACKAGE) == OK
    assert runs(bench) == UPDATED
    assert bench.result(ImageStart(length_bytes=9)) == OK  # the last one had ended


def test_a_start_that_is_refused_changes_nothing() -> None:
    bench = begun()
    first, *others = blocks(PACKAGE)
    assert bench.result(first) == OK
    assert bench.result(ImageStart(length_bytes=0)) == ResultCode.INVALID_LENGTH
    script: Script = [*others, END]
    for command in script:
        assert bench.result(command) == OK
    assert runs(bench) == UPDATED


def test_blocks_come_in_order() -> None:
    """A gap, or other bytes under the last number, are refused, and nothing is written."""
    bench = begun()
    first, second, third = blocks(PACKAGE)
    flash = bench.memory.flash
    assert bench.result(second) == ResultCode.INVALID_VALUE
    assert bench.result(first) == OK
    count = flash.count
    for wrong in (
        third,
        data(0, b"\0" + first.data[1:]),
        data(0, first.data[:-1]),
        data(0, b""),
        data(0xFFFF_FFFF, second.data),
    ):
        assert bench.result(wrong) == ResultCode.INVALID_VALUE
    assert flash.count == count
    assert [bench.result(block) for block in (second, third, END)] == [OK] * 3
    assert runs(bench) == UPDATED


def test_the_last_block_may_be_repeated_and_is_written_once() -> None:
    """Its answer was lost, with the session, or with the commander itself."""
    bench = begun()
    flash = bench.memory.flash
    for block in blocks(PACKAGE):
        assert bench.result(block) == OK
        count = flash.count
        assert bench.result(block) == OK
        assert bench.result(block) == OK
        assert flash.count == count
    assert bench.result(blocks(PACKAGE)[0]) == ResultCode.INVALID_VALUE
    assert bench.result(END) == OK


def test_every_block_but_the_last_has_the_same_length() -> None:
    bench = begun(100)
    wrong = ResultCode.INVALID_LENGTH
    assert bench.result(data(0, b"")) == wrong
    assert bench.result(data(0, bytes(101))) == wrong
    assert bench.result(data(0, bytes(40))) == OK
    assert bench.result(data(1, bytes(39))) == wrong
    assert bench.result(data(1, bytes(41))) == wrong
    assert bench.result(data(1, bytes(60))) == wrong
    assert bench.result(data(1, bytes(40))) == OK
    assert bench.result(data(2, bytes(19))) == wrong
    assert bench.result(data(2, bytes(21))) == wrong  # more than was announced
    assert bench.result(data(2, bytes(40))) == wrong
    assert bench.result(data(2, bytes(20))) == OK
    assert bench.result(data(3, b"x")) == wrong
    assert bench.result(data(3, b"")) == wrong


def test_a_block_may_be_too_long() -> None:
    bench = begun(1000, updates=UpdateSettings(max_block_bytes=64))
    assert bench.result(data(0, bytes(65))) == ResultCode.TOO_LONG
    assert bench.result(data(0, bytes(64))) == OK
    assert begun(40_000).result(data(0, bytes(16_385))) == ResultCode.TOO_LONG
    assert begun(40_000).result(data(0, bytes(16_384))) == OK


def test_nothing_goes_without_a_start() -> None:
    bench = image_bench()
    assert bench.result(data(0, b"x")) == NOT_UNDER_WAY
    assert bench.result(END) == NOT_UNDER_WAY
    assert bench.result(ABORT) == OK
    assert upgrades(bench) == []


def test_an_end_before_the_end() -> None:
    """14, and the transfer goes on: nothing is lost by asking too early."""
    bench = begun()
    for command in blocks(PACKAGE):
        assert bench.result(END) == NOT_UNDER_WAY
        assert bench.result(command) == OK
    assert bench.result(ImageEnd(is_valid=2)) == ResultCode.INVALID_VALUE
    assert bench.result(END) == OK
    assert upgrades(bench) == [STARTED, COMPLETED]


def test_a_transfer_is_aborted() -> None:
    bench = begun()
    for block in blocks(PACKAGE):
        assert bench.result(block) == OK
    assert bench.result(ABORT) == OK
    assert bench.result(ABORT) == OK
    assert bench.result(END) == NOT_UNDER_WAY
    assert bench.result(blocks(PACKAGE)[-1]) == NOT_UNDER_WAY
    assert upgrades(bench) == [STARTED, (2, 0)]
    assert runs(bench) == DELIVERED
    assert send(bench, PACKAGE) == OK


# What is refused, and why

HOUR_S = 3600
STRANGERS = replace(LABEL.targets, lowest=UmiId(5), highest=UmiId(9))
USER_MAKER = party(0xB2, Role.USER)
UNKNOWN_MAKER = party(0xB3, PROVIDER)
NARROW_MAKER = party(
    0xB4, PROVIDER, authorisation=replace(MAKER.certificate.body.authorisation, targets=STRANGERS)
)
ENDED_MAKER = party(
    0xB5, PROVIDER, valid_until=MAKER.certificate.body.valid_from.replace(month=11, day=1)
)
SECOND_MAKER = party(0xB6, Role.MANUFACTURER)
KNOWN = (USER_MAKER, NARROW_MAKER, ENDED_MAKER, SECOND_MAKER)


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


REJECTED: dict[str, tuple[bytes, ResultCode, int]] = {
    "wrong target": (with_mac(targets=STRANGERS), ResultCode.WRONG_IMAGE_TARGET, 3),
    "wrong model": (with_mac(model="EISGMv1"), ResultCode.WRONG_IMAGE_TARGET, 3),
    "wrong target, nobody's": (package(targets=STRANGERS), ResultCode.WRONG_IMAGE_TARGET, 3),
    "unknown key, wrong target": (
        sealed_with(with_mac(targets=STRANGERS)),
        ResultCode.WRONG_IMAGE_TARGET,
        3,
    ),
    "older": (with_mac("1.4.1"), BAD, 3),
    "the same": (with_mac("1.4.2"), BAD, 3),
    "expired": (with_mac(built_s=NOW_S - 9, not_after_s=NOW_S - 1), BAD, 3),
    "not signed": (package(), BAD, 3),
    "signed by a stranger": (by_maker(who=UNKNOWN_MAKER), BAD, 3),
    "signed by a user": (by_maker(who=USER_MAKER), BAD, 3),
    "signed for other devices": (by_maker(who=NARROW_MAKER), BAD, 3),
    "signed by one whose certificate has ended": (by_maker(who=ENDED_MAKER), BAD, 3),
    "signed in another role": (signed(package(), MAKER.key, Role.MANUFACTURER), BAD, 3),
    "MAC of a role that signs none": (with_mac(role=Role.SERVICE), BAD, 3),
    "MAC of another role": (signed(package(), role_key(Role.SERVICE), PROVIDER), BAD, 3),
    "MAC of a role without a key": (with_mac(role=Role.GUEST), BAD, 3),
    "a false signature": (flipped(by_maker(), len(by_maker()) - 70), BAD, 3),
    "a false MAC": (flipped(PACKAGE, len(PACKAGE) - 1), BAD, 3),
    "another image": (flipped(PACKAGE, PLAIN_BYTES + 2), BAD, 2),
    "cut off": (PACKAGE[:-1], BAD, 2),
    "too long": (PACKAGE + b"\0", BAD, 2),
    "no package": (b"#!/bin/sh\n", BAD, 2),
    "a byte": (b"U", BAD, 2),
    "unknown transport key": (
        sealed_with(PACKAGE, key_id=9),
        ResultCode.UNKNOWN_TRANSPORT_KEY_ID,
        3,
    ),
    "another transport key": (sealed_with(PACKAGE, role_key(Role.USER)), BAD, 2),
    "encrypted to another meter": (sealed_to(PACKAGE, RECIPIENT_KEY), BAD, 2),
    "an older product": (
        signed(product(with_mac("1.4.1")), role_key(PROVIDER), PROVIDER),
        BAD,
        3,
    ),
    "a product of which a part is not signed": (
        signed(product(package()), role_key(PROVIDER), PROVIDER),
        BAD,
        3,
    ),
    "a product that is not signed": (product(PACKAGE), BAD, 3),
    "a product for others": (
        signed(
            product(PACKAGE, label=replace(LABEL, targets=STRANGERS)),
            role_key(PROVIDER),
            PROVIDER,
        ),
        ResultCode.WRONG_IMAGE_TARGET,
        3,
    ),
}


@pytest.mark.parametrize("name", REJECTED)
def test_what_is_not_taken(name: str) -> None:
    """The result says why, the log says whether it was damaged, and the old image runs on."""
    content, result, reason = REJECTED[name]
    bench = image_bench(memory=knowing(*KNOWN))
    bench.memory.vault.transport_keys = {KEY_ID: TRANSPORT_KEY}
    assert send(bench, content) == result
    assert upgrades(bench) == [STARTED, (reason, result)]
    assert bench.result(END) == NOT_UNDER_WAY  # it is forgotten
    bench.meter.lose_power(bench.now)
    bench.wait(1)
    assert runs(bench) == DELIVERED
    assert send(bench, PACKAGE) == OK


TAKEN: dict[str, bytes] = {
    "scheme 1": PACKAGE,
    "scheme 1, manufacturer": with_mac(role=Role.MANUFACTURER),
    "scheme 2": by_maker(),
    "scheme 2, manufacturer": by_maker(who=SECOND_MAKER),
    "for ever": with_mac(not_after_s=0),
    "to the last second": with_mac(built_s=NOW_S - 9, not_after_s=NOW_S + 5),
    "encrypted to the meter": sealed_to(by_maker(), METER.key),
    "encrypted with a transport key": sealed_with(by_maker()),
    "encrypted, scheme 1": sealed_with(PACKAGE),
    "a product": signed(product(with_mac(model="other"), PACKAGE), role_key(PROVIDER), PROVIDER),
    "a product, encrypted, of encrypted parts": sealed_with(
        signed(product(sealed_to(by_maker(), METER.key)), MAKER.key, PROVIDER)
    ),
    "a product of another model": signed(
        product(PACKAGE, label=replace(LABEL, model="the set", version=Version(0, 0, 1))),
        role_key(PROVIDER),
        PROVIDER,
    ),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_taken(name: str) -> None:
    bench = image_bench(memory=knowing(*KNOWN))
    bench.memory.vault.transport_keys = {KEY_ID: TRANSPORT_KEY}
    assert send(bench, TAKEN[name]) == OK
    assert runs(bench) == UPDATED


def test_a_meter_without_keys_of_its_own() -> None:
    """It opens nothing that is encrypted, and believes no MAC; with no root it believes nobody."""
    bench = image_bench()
    bench.memory.vault.signer = None
    sealed = sealed_to(by_maker(), METER.key)
    assert send(bench, sealed) == ResultCode.UNKNOWN_TRANSPORT_KEY_ID
    bench.memory.store.values[KEYS] = bytes(256)
    assert send(bench, PACKAGE) == BAD
    bench.memory.vault.anchors = ()
    assert send(bench, by_maker()) == BAD
    bench.memory.vault.key_table.clear()
    assert send(bench, by_maker()) == BAD


def test_a_signer_that_was_revoked() -> None:
    bench = image_bench()
    bench.memory.vault.revoked[MAKER.certificate.body.name] = 0xFFFF_FFFF
    assert send(bench, by_maker()) == BAD


def test_a_signer_certified_by_an_authority_that_the_meter_knows() -> None:
    from tests.certificates.pki import AUTHORITY, AUTHORITY_ID, AUTHORITY_KEY

    maker = party(0xB7, PROVIDER, issuer=AUTHORITY_ID, signer=AUTHORITY_KEY)
    memory = knowing(maker)
    bench = image_bench(memory=memory)
    assert send(bench, by_maker(who=maker)) == BAD
    memory.vault.key_table[AUTHORITY_ID] = AUTHORITY
    assert send(bench, by_maker(who=maker)) == OK


def test_the_manufacturer_may_go_back() -> None:
    """It is the role of who commands that counts, not of who signed."""
    bench = image_bench()
    assert send(bench, with_mac("1.5.0")) == OK
    assert send(bench, with_mac("1.4.9", Role.MANUFACTURER)) == BAD
    bench.peer.role = Role.MANUFACTURER
    assert send(bench, with_mac("1.4.9")) == OK
    assert runs(bench) == (1, 4, 9, 0)
    assert send(bench, with_mac("1.4.9")) == OK
    assert runs(bench) == (1, 4, 9, 1)


def test_the_model_is_the_one_that_the_meter_tells() -> None:
    """A datasheet without one has no model to go by."""
    bench = image_bench()
    definition = bench.memory.store.find("manufacturer-id")
    assert definition is not None
    value = bench.memory.store.values
    value[definition.code] = b"G4\0\0\0\0\0\0" + value[definition.code][8:]
    assert send(bench, PACKAGE) == ResultCode.WRONG_IMAGE_TARGET
    assert send(bench, with_mac(model="G4")) == OK
    value[definition.code] = bytes(8) + value[definition.code][8:]
    assert send(bench, with_mac("1.6.0", model="any")) == OK


def test_a_datasheet_without_a_version(tmp_path: Path) -> None:
    """The meter takes images all the same; nobody can read which runs."""
    sheet = tmp_path / "small.toml"
    head = 'schema = "umi-datasheet/1"\nname = "s"\ntitle = "S"\nbanks = ["umi.1.7"]\n'
    version = """
[[object]]
code = "umi.1.7.0.1"
name = "active-software-version"
title = "T"
kind = "value"
type = "u16"
"""
    for text in (head, head + version):
        sheet.write_text(text)
        bench = Bench(datasheet=str(sheet), role=PROVIDER)
        bench.memory.vault = knowing().vault
        assert send(bench, by_maker(model="any")) == OK
        assert bench.meter.updates.running.version == Version(1, 5, 0)


# The parts of a product that are for other devices

FOR_OTHERS = [with_mac(targets=STRANGERS, image=b"one"), with_mac(model="other", image=b"two")]


def product_of(*parts: bytes) -> bytes:
    return signed(product(*parts), role_key(PROVIDER), PROVIDER)


def test_a_product_with_nothing_for_this_meter() -> None:
    """Nobody here knows its devices: NOT_IMPLEMENTED."""
    bench = image_bench()
    assert send(bench, product_of(*FOR_OTHERS)) == ResultCode.NOT_IMPLEMENTED
    assert upgrades(bench) == [STARTED, (3, 7)]


@pytest.mark.parametrize("with_own", [False, True])
def test_parts_are_offered_to_who_knows_other_devices(with_own: bool) -> None:
    """Each in turn, until one takes it; before anything is switched."""
    bench = image_bench()
    offered: list[tuple[str, Version, bytes]] = []

    def knows_none(header: ImageHeader, part: bytes) -> bool:
        return False

    def take(header: ImageHeader, part: bytes) -> bool:
        assert runs(bench) == DELIVERED
        offered.append((header.label.model, header.label.version, part))
        return True

    bench.meter.updates.receivers += [knows_none, take, lambda *_: pytest.fail("it was taken")]
    parts = [FOR_OTHERS[0], PACKAGE, FOR_OTHERS[1]] if with_own else FOR_OTHERS
    assert send(bench, product_of(*parts)) == OK
    assert [part for _, _, part in offered] == FOR_OTHERS
    assert [model for model, _, _ in offered] == ["EISGMv0", "other"]
    assert runs(bench) == (UPDATED if with_own else DELIVERED)
    assert upgrades(bench) == [STARTED, COMPLETED]
    assert bench.result(END) == NOT_UNDER_WAY


def test_who_takes_a_part_may_refuse_it() -> None:
    bench = image_bench()

    def refuse(header: ImageHeader, part: bytes) -> bool:
        raise Refusal(ResultCode.UNAVAILABLE)

    bench.meter.updates.receivers.append(refuse)
    assert send(bench, product_of(PACKAGE, *FOR_OTHERS)) == ResultCode.UNAVAILABLE
    assert runs(bench) == DELIVERED
    assert upgrades(bench) == [STARTED, (3, 10)]


# Power cuts


def restart(bench: Bench) -> None:
    bench.memory.flash.interrupt = uninterrupted
    bench.meter.lose_power(bench.now + 1)
    bench.peer = bench.meter.new_peer("line")
    bench.wait(2)


def test_a_transfer_is_still_under_way_after_a_power_cut() -> None:
    bench = begun()
    for block in blocks(PACKAGE):
        assert bench.result(block) == OK
        restart(bench)
        assert bench.result(block) == OK
    assert bench.result(END) == OK
    restart(bench)
    assert runs(bench) == UPDATED
    assert upgrades(bench) == [STARTED, COMPLETED]


def test_a_start_says_so_after_a_power_cut_as_well() -> None:
    bench = begun()
    restart(bench)
    assert bench.result(ImageStart(length_bytes=9)) == RESTARTED


def landings(length: int) -> set[int]:
    """Return each class of what may land of a write: nothing, a little, all but a little, all."""
    return {UNTOUCHED, 0, min(1, length), length // 2, max(0, length - 1), length}


def writes_of(prepare: Callable[[], Bench], script: Script) -> Iterator[tuple[int, int]]:
    bench, counter = prepare(), Cutter()
    bench.memory.flash.interrupt = counter
    for command in script:
        bench.result(command)
    for at, length in enumerate(counter.lengths):
        yield from ((at, landed) for landed in landings(length))


def cut_off(bench: Bench, script: Script, at: int, landed: int) -> int:
    """Run commands until the power is cut; return how many were answered."""
    bench.memory.flash.interrupt = Cutter(at, landed)
    for number, command in enumerate(script):
        try:
            bench.result(command)
        except PowerCut:
            return number
    raise AssertionError("the power was never cut")


def go_on(bench: Bench, script: Script, answered: int) -> None:
    """Do as a commander with a journal does: read the version, go on, or start anew.

    It goes on with the block that was not acknowledged, whether that was written or not.
    """
    if runs(bench)[:3] == (1, 5, 0):
        return
    first, *others = [bench.result(command) for command in script[answered:]]
    assert first in ((OK, RESTARTED) if answered == 0 else (OK,))
    assert set(others) <= {OK}


def delivered_bench() -> Bench:
    return image_bench()


def updated_bench() -> Bench:
    bench = image_bench()
    assert send(bench, with_mac("1.4.9")) == OK
    return bench


def deferring_bench() -> Bench:
    bench = image_bench(updates=UpdateSettings(activate_after_s=1000))
    assert send(bench, with_mac("1.4.9")) == OK
    return bench


@pytest.mark.parametrize("prepare", [delivered_bench, updated_bench, deferring_bench])
def test_cut_at_every_write_of_a_transfer(prepare: Callable[[], Bench]) -> None:
    """A whole image boots; what was acknowledged stands; going on ends with the right image."""
    script = commands(PACKAGE)
    seen = set()
    for at, landed in writes_of(prepare, script):
        bench = prepare()
        before = runs(bench)
        answered = cut_off(bench, script, at, landed)
        restart(bench)
        found = runs(bench)
        seen.add(found[:3])
        assert found[:3] in (before[:3], (1, 4, 9), (1, 5, 0))
        assert (found[:3] == (1, 5, 0)) <= (answered == len(script) - 1)
        transfer = Slots(bench.memory.flash).transfer
        if transfer and answered:
            assert transfer.blocks in (answered - 1, answered)
        go_on(bench, script, answered)
        restart(bench)
        assert runs(bench)[:3] == (1, 5, 0)
        assert upgrades(bench)[-1] == COMPLETED
    assert (1, 5, 0) in seen


def test_the_fault_of_the_power_strikes_while_flash_is_written() -> None:
    """Seeded; the command is not answered, the meter is off for a while, and boots."""
    injector = FaultInjector(FaultRates(power=1.0), 5)
    landed = [injector.tear(10) for _ in range(200)]
    assert set(landed) == set(range(UNTOUCHED, 11))
    again = FaultInjector(FaultRates(power=1.0), 5)
    assert [again.tear(10) for _ in range(200)] == landed
    assert injector.counts["power"] == 200
    assert FaultInjector(FaultRates(drop=1.0), 5).tear(10) is None


def test_on_the_optical_port_it_is_the_ports_fault() -> None:
    """The line behind the port has none of its own."""
    simulated = Simulation(SimOptions(faults=FaultRates(power=1.0)), START_UNIX_S)
    port = simulated.new_optical_port("port")
    assert port._line._supply is simulated.injectors[0]
    assert len(simulated.injectors) == 1


class Torn(FaultInjector):
    """Lets all pass, and cuts the power at one write to flash."""

    def __init__(self, at: int) -> None:
        super().__init__(FaultRates(), 0)
        self.cutter = Cutter(at, 3)

    def tear(self, length_bytes: int) -> int | None:
        return self.cutter(length_bytes)


def test_a_line_loses_its_power_while_flash_is_written() -> None:
    """Nothing is answered, and the link is gone; the command is taken when the power is back."""
    meter = VirtualMeter(MeterSettings(guest_role=PROVIDER), knowing())
    wire = Wire(meter, "line", Torn(4))
    start = len(PACKAGE).to_bytes(4, "little")
    first = bytes(4) + PACKAGE[:60]
    second = b"\1\0\0\0" + PACKAGE[60:120]
    assert wire.response(0x50, start, 1)[7:9] == b"\x51\0"
    assert wire.response(0x52, first, 2)[7:9] == b"\x53\0"
    assert meter.power_losses == 0
    with pytest.raises(NoAnswer):
        wire.response(0x52, second, 3)
    assert meter.power_losses == 1
    wire.wait(OFF_S[1])
    wire.reader.resync()
    assert wire.response(0x52, second, 4)[7:9] == b"\x53\0"
    transfer = meter.updates.slots.transfer
    assert transfer is not None
    assert transfer.blocks == 2
    assert meter.memory.flash.interrupt is uninterrupted


@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_an_upload_through_power_cuts(rate: float) -> None:
    """Seeded, again and again, in any write: in the end the new image runs."""
    for seed in range(5):
        injector = FaultInjector(FaultRates(power=rate), seed)
        bench = image_bench()
        script = commands(PACKAGE, 20)
        answered = 0
        while runs(bench)[:3] != (1, 5, 0):
            bench.memory.flash.interrupt = injector.tear
            try:
                result = bench.result(script[answered])
            except PowerCut:
                restart(bench)
                continue
            answered = answered + 1 if result in (OK, RESTARTED) else 0
            bench.memory.flash.interrupt = uninterrupted


# The state file and the file of the slots


def simulated(path: Path) -> Simulation:
    simulation = Simulation(SimOptions(guest_role=PROVIDER, state=path), START_UNIX_S)
    simulation.meter.memory.vault.key_table[MAKER.umi_id] = MAKER.certificate
    simulation.meter.memory.vault.anchors = knowing().vault.anchors
    return simulation


def on_bench(simulation: Simulation, now: float = 0.0) -> Bench:
    """Return a bench around the meter of a simulation."""
    bench = Bench(memory=simulation.meter.memory)
    bench.meter = simulation.meter
    bench.peer = bench.meter.new_peer("line")
    bench.now = now
    bench.wait(0)
    return bench


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


@pytest.fixture
def side(state: Path) -> Path:
    return state.with_name("state.json.slots")


SIGNED = by_maker()


def test_a_process_after_another_goes_on(state: Path, side: Path) -> None:
    """Each command in a process of its own: as if it had been one."""
    for number, command in enumerate(commands(SIGNED)):
        simulation = simulated(state)
        bench = on_bench(simulation, number)
        assert runs(bench) == DELIVERED
        assert bench.result(command) == OK
        if number % 2:
            simulation.close()
        else:  # killed
            simulation._slots.close()  # type: ignore[union-attr]
            simulation._file.close()  # type: ignore[union-attr]
    bench = on_bench(simulated(state), 99)
    assert runs(bench) == UPDATED
    assert upgrades(bench) == [STARTED, COMPLETED]
    assert side.stat().st_mode & 0o777 == 0o600


def test_the_state_file_does_not_grow_with_the_image(state: Path, side: Path) -> None:
    """A state is saved with every command; the slots are added to."""
    simulation = simulated(state)
    bench = on_bench(simulation)
    assert not side.exists()
    assert bench.result(ImageStart(length_bytes=10 << 20)) == OK
    small = state.stat().st_size
    for number in range(30):
        assert bench.result(data(number, bytes(16_384))) == OK
    assert state.stat().st_size < small + 10_000
    assert 30 * 16_384 < side.stat().st_size < 31 * 16_384
    simulation.close()
    again = simulated(state)
    transfer = again.meter.updates.slots.transfer
    assert transfer is not None
    assert transfer.blocks == 30


def test_a_file_that_was_cut_off_while_it_was_written(state: Path, side: Path) -> None:
    """Wherever it ends, a whole image boots, and nothing but the last write is missing."""
    simulation = simulated(state)
    bench = on_bench(simulation)
    first, *others = blocks(SIGNED)
    assert bench.result(ImageStart(length_bytes=len(SIGNED))) == OK
    begins = side.stat().st_size
    assert bench.result(first) == OK
    whole = side.read_bytes()
    simulation.close()
    for length in range(begins, len(whole)):
        side.write_bytes(whole[:length])
        again = simulated(state)
        transfer = again.meter.updates.slots.transfer
        assert transfer is not None
        assert transfer.blocks == 0
        again.close()
    bench = on_bench(simulated(state), 5)
    script: Script = [first, *others, END]
    for command in script:
        assert bench.result(command) == OK
    assert runs(bench) == UPDATED


def test_what_is_overwritten_is_cleared_away(state: Path, side: Path) -> None:
    """The file does not grow with the number of transfers."""
    simulation = simulated(state)
    bench = on_bench(simulation)
    for _ in range(12):
        bench.result(ImageStart(length_bytes=1 << 20))
        for number in range(20):
            assert bench.result(data(number, bytes(16_384))) == OK
    assert side.stat().st_size < 3 << 20
    simulation.close()
    assert on_bench(simulated(state), 5).result(data(20, bytes(16_384))) == OK


def test_a_state_file_from_before_there_were_slots(state: Path, side: Path) -> None:
    """Its meter runs the image that it was delivered with, and takes another."""
    old = json.loads(image_bench().memory.dump())
    del old["slots"], old["ran"], old["vault"]["transport_keys"]
    state.write_text(json.dumps(old))
    side.write_bytes(b"left behind by another meter")
    simulation = simulated(state)
    bench = on_bench(simulation)
    assert runs(bench) == DELIVERED
    assert upgrades(bench) == []
    assert send(bench, SIGNED) == OK
    simulation.close()
    assert runs(on_bench(simulated(state))) == UPDATED


def test_slots_of_another_meter(state: Path, side: Path) -> None:
    """What is missing, or does not belong to the state file, is not made up for."""
    simulation = simulated(state)
    assert on_bench(simulation).result(ImageStart(length_bytes=9)) == OK
    simulation.close()
    content = side.read_bytes()
    head, body = content[:24], content[24:]
    broken = body[:9] + b"\xff" + body[10:]
    for spoilt in (None, b"", head, head[:-1] + b"z" + body, b"x" + content[1:], head + broken):
        side.unlink(missing_ok=True)
        if spoilt is not None:
            side.write_bytes(spoilt)
        for _ in range(2):  # and the state file is let go of
            with pytest.raises(InputError, match="image slots") as caught:
                simulated(state)
            assert "move the state file away" in caught.value.hint
    side.write_bytes(content)
    simulated(state).close()


def test_a_file_of_slots_that_says_what_cannot_be(state: Path, side: Path) -> None:
    from zlib import crc32

    from umi_cli.virtual.slots_file import _HEAD

    simulation = simulated(state)
    assert on_bench(simulation).result(ImageStart(length_bytes=9)) == OK
    simulation.close()
    content = side.read_bytes()
    for head in ((9, 0, 0, 0), (2, 7, 0, 0), (2, 0, SLOT_BYTES, 1), (3, 4, 0, 0)):
        body = _HEAD.pack(*head) + bytes(head[3])
        side.write_bytes(content + body + crc32(body).to_bytes(4, "little"))
        with pytest.raises(InputError, match="image slots"):
            simulated(state)


@pytest.mark.parametrize("token", ["", "xyz", "0" * 15, "0" * 17, "A" * 16, 7, [], True])
def test_a_token_of_another_form(token: object) -> None:
    content = json.loads(image_bench().memory.dump())
    content["slots"] = token
    with pytest.raises(InputError):
        load_memory(json.dumps(content), "bench.json")


def test_slots_that_cannot_be_written(state: Path, side: Path) -> None:
    side.mkdir()
    with pytest.raises(InputError, match="cannot write"):
        on_bench(simulated(state)).result(ImageStart(length_bytes=9))


def test_the_vault_keeps_transport_keys() -> None:
    memory = knowing()
    memory.vault.transport_keys = {KEY_ID: TRANSPORT_KEY}
    again = load_memory(memory.dump(), "test")
    assert again.vault.transport_keys == {KEY_ID: TRANSPORT_KEY}
    assert "0102030405" not in repr(memory.vault)


# Against a model

IMAGES = {version: with_mac(version) for version in ("1.4.2", "1.4.3", "1.5.0", "2.0.0")}
IMAGES["damaged"] = flipped(with_mac("3.0.0"), PLAIN_BYTES + 2)


class ImageTransfers(RuleBasedStateMachine):
    """What a meter says and runs, against a model of it that keeps nothing but lists."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = image_bench(updates=UpdateSettings(activate_after_s=50))
        self.running: tuple[int, ...] = (1, 4, 2)
        self.waiting: tuple[tuple[int, ...], float] | None = None
        self.blocks: list[bytes] | None = None
        self.length = 0
        self.sending = b""

    @property
    def received(self) -> int:
        return sum(map(len, self.blocks or []))

    def told(self, command: Command[Any], *expected: ResultCode) -> bool:
        """Send a command; return whether it was answered, and not cut off."""
        try:
            result = self.bench.result(command)
        except PowerCut:
            restart(self.bench)
            if self.waiting:
                self.running, self.waiting = self.waiting[0], None
            return False
        assert result in expected
        return True

    @rule(version=st.sampled_from(sorted(IMAGES)))
    def start(self, version: str) -> None:
        content = IMAGES[version]
        expected = OK if self.blocks is None else RESTARTED
        if self.told(ImageStart(length_bytes=len(content)), expected):
            self.blocks, self.length, self.sending = [], len(content), content
            self.waiting = None
            return
        transfer = self.bench.meter.updates.slots.transfer  # it began, or did not
        began = transfer is not None and transfer.received_bytes == 0
        if transfer is None or began:
            self.blocks = [] if began else None
            self.length, self.sending = len(content), content
        self.running = runs(self.bench)[:3]

    @precondition(lambda self: self.blocks is not None)
    @rule(size=st.sampled_from([20, 50, 200]))
    def next_block(self, size: int) -> None:
        assert self.blocks is not None
        size = len(self.blocks[0]) if self.blocks else size
        piece = self.sending[self.received : self.received + size]
        number = len(self.blocks)
        if not piece:
            self.told(data(number, b"x"), ResultCode.INVALID_LENGTH)
            return
        if self.told(data(number, piece), OK):
            self.blocks.append(piece)
            return
        transfer = self.bench.meter.updates.slots.transfer
        assert transfer is not None
        if transfer.blocks > number:
            self.blocks.append(piece)

    @precondition(lambda self: self.blocks is not None)
    @rule(size=st.sampled_from([20, 50, 200]))
    def all_that_is_left(self, size: int) -> None:
        while self.received < self.length:
            self.next_block(size)
        self.end()

    @precondition(lambda self: self.blocks)
    @rule()
    def repeat(self) -> None:
        assert self.blocks
        self.told(data(len(self.blocks) - 1, self.blocks[-1]), OK)

    @precondition(lambda self: self.blocks is not None or self.waiting)
    @rule(number=st.integers(0, 6), content=st.sampled_from([b"", b"?", b"??????"]))
    def wrong_block(self, number: int, content: bytes) -> None:
        if self.blocks is None:
            expected = NOT_UNDER_WAY
        elif number != len(self.blocks):
            expected = ResultCode.INVALID_VALUE
        else:
            return
        self.told(data(number, content), expected)

    @precondition(lambda self: self.received > 20)
    @rule()
    def abort(self) -> None:
        if self.told(ABORT, OK):
            self.blocks = None
        else:
            self.blocks = None if self.bench.meter.updates.slots.transfer is None else self.blocks

    @precondition(lambda self: self.blocks or self.waiting)
    @rule()
    def end(self) -> None:
        if self.blocks is None or self.received < self.length:
            self.told(END, NOT_UNDER_WAY)
            return
        version = ImageHeader.decode(self.sending[:PLAIN_BYTES]).label.version
        number = (version.major, version.minor, version.bugfix)
        is_taken = number > self.running and self.sending != IMAGES["damaged"]
        if self.told(END, OK if is_taken else BAD):
            self.blocks = None
            if is_taken:
                self.waiting = (number, self.bench.now + 50)
            return
        found = runs(self.bench)[:3]
        assert found in (self.running, number if is_taken else self.running)
        if self.bench.meter.updates.slots.transfer is None:
            self.blocks = None
        self.running = found

    @rule(seconds=st.sampled_from([1, 30, 60]))
    def wait(self, seconds: int) -> None:
        self.bench.wait(seconds)
        if self.waiting and self.waiting[1] <= self.bench.now:
            self.running, self.waiting = self.waiting[0], None

    @rule()
    def lose_power(self) -> None:
        restart(self.bench)
        if self.waiting:
            self.running, self.waiting = self.waiting[0], None

    @rule(at=st.integers(0, 2), landed=st.integers(UNTOUCHED, 30))
    def cut_soon(self, at: int, landed: int) -> None:
        self.bench.memory.flash.interrupt = Cutter(at, landed)

    @rule()
    def new_process(self) -> None:
        """The state is loaded again; the flash is what it was."""
        old = self.bench
        flash = old.memory.flash
        flash.interrupt = uninterrupted
        memory = load_memory(old.memory.dump(), "test")
        memory.flash = flash
        self.bench = image_bench(memory=memory, updates=UpdateSettings(activate_after_s=50))
        self.bench.transaction = old.transaction
        self.bench.now = old.now
        self.bench.wait(1)
        if self.waiting:
            self.running, self.waiting = self.waiting[0], None

    @invariant()
    def it_runs_what_it_should(self) -> None:
        assert runs(self.bench)[:3] == self.running
        record = self.bench.meter.updates.running
        content = self.bench.memory.flash.content(record.slot, 0, record.length_bytes)
        assert crc(content) == record.crc or record.version == Version(1, 4, 2)

    @invariant()
    def it_knows_what_has_come(self) -> None:
        transfer = self.bench.meter.updates.slots.transfer
        if self.blocks is None:
            assert transfer is None
        else:
            assert transfer is not None
            assert self.bench.meter.updates.slots.package() == b"".join(self.blocks)


TestImageTransfers = ImageTransfers.TestCase
TestImageTransfers.settings = settings(
    derandomize=True, max_examples=100, stateful_step_count=40, deadline=None
)
