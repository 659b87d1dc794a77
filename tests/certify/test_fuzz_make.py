"""From a seed to bytes: the same ones each time, never harmful, and of valid exchanges."""

import hashlib
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from tests.certify.fuzz_world import CATALOGUE
from tests.cli.conftest import environment
from umi_cli.application.commands import NoOperation, WriteObject
from umi_cli.application.packet import Message
from umi_cli.application.security_commands import S1AuthReply, S2GenerateKeypair
from umi_cli.certify.fuzz_bases import Subject, message_of, packet_of
from umi_cli.certify.fuzz_case import Carrier, CaseName, FuzzCase, FuzzLayer, Patch
from umi_cli.certify.fuzz_make import make_case
from umi_cli.certify.fuzz_model import Addresses, SoundDevice
from umi_cli.certify.fuzz_safety import CHANGING, FINAL, TYPE_AT, is_harmless
from umi_cli.certify.fuzz_verdict import why_message_refused, why_refused
from umi_cli.link.frame import FrameType
from umi_cli.types import DEFAULT_READER_ID, Role, UmiCode, UmiId

CASES = 150
ADDRESSES = Addresses(own=5, peer=0)
GUEST = Subject(
    addresses=ADDRESSES,
    own_id=DEFAULT_READER_ID,
    device_id=UmiId(0x0023_7EFE_0000_0001),
    objects=CATALOGUE.objects,
    model="EISGMv0",
)
SERVICE = replace(GUEST, sealed_id=DEFAULT_READER_ID, role=Role.SERVICE)
SAFE = tuple(layer for layer in FuzzLayer if not layer.changes)


def made(
    layer: FuzzLayer, subject: Subject = GUEST, *, seed: int = 7, changes: bool = False
) -> list[FuzzCase]:
    return [make_case(subject, CaseName(seed, layer, n, changes)) for n in range(CASES)]


def digest(layer: FuzzLayer) -> str:
    text = repr([case.record for case in made(layer, SERVICE, changes=True)])
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("layer", FuzzLayer)
def test_the_same_seed_makes_the_same_bytes(layer: FuzzLayer) -> None:
    """In another process as well, whatever its hashes are seeded with."""
    script = (
        f"from tests.certify.test_fuzz_make import *\nprint(digest(FuzzLayer({layer.value!r})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment({"PYTHONHASHSEED": "12345"}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == digest(layer)


@pytest.mark.parametrize("layer", FuzzLayer)
def test_another_seed_makes_other_bytes(layer: FuzzLayer) -> None:
    first, second = ({case.pieces for case in made(layer, seed=seed)} for seed in (7, 8))
    assert len(first) > 0.95 * CASES
    assert len(first & second) < 0.05 * CASES


@pytest.mark.parametrize("layer", FuzzLayer)
@pytest.mark.parametrize("subject", [GUEST, SERVICE])
def test_every_case_is_spoilt_and_named(layer: FuzzLayer, subject: Subject) -> None:
    for number, case in enumerate(made(layer, subject)):
        assert case.pieces != case.valid or case.patch is not None
        assert all(case.pieces)
        assert case.base
        assert (case.layer, case.number, case.seed) == (layer, number, 7)


@pytest.mark.parametrize("layer", SAFE)
@pytest.mark.parametrize("subject", [GUEST, SERVICE])
def test_nothing_that_changes_the_device_is_sent_unasked(
    layer: FuzzLayer, subject: Subject
) -> None:
    for case in made(layer, subject):
        for piece in case.pieces:
            at = TYPE_AT
            at += {Carrier.FRAMES: 4, Carrier.PACKETS: 0, Carrier.SEALED: -21}[case.carrier]
            assert piece[at : at + 1] not in [bytes([kind]) for kind in CHANGING]


@pytest.mark.parametrize("layer", FuzzLayer)
def test_what_cannot_be_undone_is_never_sent(layer: FuzzLayer) -> None:
    types = Counter[int]()
    for case in made(layer, SERVICE, changes=True):
        at = TYPE_AT - (21 if case.carrier is Carrier.SEALED else 0)
        if case.carrier is not Carrier.FRAMES:
            types.update(piece[at] for piece in case.pieces if len(piece) > at)
    assert not FINAL & set(types)


@pytest.mark.parametrize("layer", FuzzLayer)
@pytest.mark.parametrize("subject", [GUEST, SERVICE])
def test_what_is_spoilt_is_a_valid_exchange(layer: FuzzLayer, subject: Subject) -> None:
    for case in made(layer, subject, changes=True):
        device = SoundDevice(ADDRESSES)
        for piece in case.valid:
            if case.carrier is Carrier.FRAMES:
                assert device.take(piece).frames == 1
            elif case.carrier is Carrier.PACKETS:
                assert why_refused(piece) in ("", "its signature is nobody's")
            else:
                assert why_message_refused(piece) in ("", "its signature is nobody's")


def test_with_keys_packets_are_spoilt_before_they_are_sealed_and_after() -> None:
    cases = made(FuzzLayer.PACKET, SERVICE)
    sealed = [case for case in cases if case.carrier is Carrier.SEALED]
    patched = [case for case in sealed if case.patch is not None]
    assert len(cases) > len(sealed) > len(patched) > 10
    assert all(case.pieces == case.valid for case in patched)


def test_writes_are_of_what_our_role_may_write() -> None:
    guest, service = ({each.name for each in who.writable} for who in (GUEST, SERVICE))
    assert "counter" in guest < service
    assert not {"clock-control", "scheme-1-keys", "umi-id"} & service


def a_case(*pieces: bytes, **fields: object) -> FuzzCase:
    empty = FuzzCase(
        seed=0,
        layer=FuzzLayer.PACKET,
        number=0,
        base="",
        carrier=Carrier.PACKETS,
        pieces=pieces,
    )
    return replace(empty, **fields)  # type: ignore[arg-type]


def message(command: object, **fields: object) -> Message:
    return message_of(command, Random(0), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("command", [S1AuthReply(tag_a=bytes(16)), S2GenerateKeypair()])
def test_a_harmful_packet_is_seen_on_every_carrier(command: object) -> None:
    packet = packet_of(GUEST, message(command))
    frame = ADDRESSES.frame(3, FrameType.SIMPLE, packet).encode()
    wrong_crc = frame[:-1] + bytes([frame[-1] ^ 1])
    assert not is_harmless(a_case(packet), GUEST)
    assert not is_harmless(a_case(packet[21:], carrier=Carrier.SEALED), GUEST)
    for piece in (frame, wrong_crc, b"\x00" + frame):
        assert not is_harmless(a_case(piece, carrier=Carrier.FRAMES), GUEST)


def test_a_patch_makes_no_command_of_another_type_where_changes_are_not_allowed() -> None:
    sealed = a_case(
        message(NoOperation()).encode(), carrier=Carrier.SEALED, patch=Patch(at=TYPE_AT, flip=4)
    )
    assert not is_harmless(sealed, GUEST)
    assert is_harmless(replace(sealed, changes=True), GUEST)


@pytest.mark.parametrize(("code", "may"), [("umi.255.0.0.65", True), ("umi.0.0.0.0", False)])
def test_the_identity_is_not_written_even_where_changes_are_allowed(code: str, may: bool) -> None:
    write = WriteObject(code=UmiCode.parse(code), value=bytes(4))
    packet = packet_of(GUEST, message(write))
    assert is_harmless(a_case(packet, changes=True), GUEST) == may
    assert not is_harmless(a_case(packet), GUEST)


def test_short_packets_harm_nobody() -> None:
    assert all(is_harmless(a_case(bytes(length)), GUEST) for length in range(TYPE_AT + 1))
