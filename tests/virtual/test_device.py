"""What a virtual meter answers to a packet: errors, binding, limits, deferral."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.virtual.bench import START_S, Bench, opened
from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import (
    Complete,
    NoOperation,
    ReadObject,
    Wait,
    WriteObject,
)
from umi_cli.application.packet import Envelope, Message
from umi_cli.security.scheme0 import Scheme0
from umi_cli.types import UNKNOWN_DEVICE, Role, UmiCode, UmiId
from umi_cli.virtual.delivered import VIRTUAL_METER_ID
from umi_cli.virtual.device import HOST_ALIAS, Answer

COUNTER = UmiCode.parse("umi.255.0.0.65")
VALVE = UmiCode.parse("umi.255.0.0.32")
SERIAL = UmiCode.parse("umi.1.1.0.0")
PROFILE_TABLE = UmiCode.parse("umi.1.1.194.23")
GOOD = Bench().packet(NoOperation(), transaction=0x1234)


def patched(offset: int, value: int) -> bytes:
    return GOOD[:offset] + bytes([value]) + GOOD[offset + 1 :]


UNPARSABLE = [
    ("version 2", patched(1, 0x02), ResultCode.UNKNOWN_VERSION),
    ("protocol type 1", patched(1, 0x11), ResultCode.UNKNOWN_VERSION),
    ("no such packet type", patched(28, 0x7E), ResultCode.UNKNOWN_PACKET_TYPE),
    ("a response as a command", patched(28, 0x01), ResultCode.UNKNOWN_PACKET_TYPE),
    ("payload longer than said", GOOD + b"\x00", ResultCode.INVALID_PACKET_FORMAT),
    ("payload shorter than said", patched(30, 1), ResultCode.INVALID_PACKET_FORMAT),
    ("payload of another form", patched(28, 0x30), ResultCode.INVALID_PACKET_FORMAT),
    ("signature of another scheme", patched(32, 2), ResultCode.INVALID_PACKET_FORMAT),
    ("cut in the header", GOOD[:30], ResultCode.INVALID_PACKET_FORMAT),
    ("to nobody here", patched(12, 0x77), ResultCode.UNAVAILABLE),
    (
        "signed under scheme 3",
        patched(21, 3)[:32] + b"\x03\x02",
        ResultCode.UNKNOWN_SIGNATURE_SCHEME,
    ),
    ("a response under scheme 3 wanted", patched(29, 3), ResultCode.UNKNOWN_SIGNATURE_SCHEME),
    ("sealed under scheme 1", patched(0, 1), ResultCode.UNKNOWN_ENCRYPTION_SCHEME),
    ("sealed under scheme 3", patched(0, 3), ResultCode.UNKNOWN_ENCRYPTION_SCHEME),
    ("sealed under scheme 9", patched(0, 9), ResultCode.UNKNOWN_ENCRYPTION_SCHEME),
]


@pytest.mark.parametrize(
    ("packet", "code"), [case[1:] for case in UNPARSABLE], ids=[case[0] for case in UNPARSABLE]
)
def test_a_packet_that_cannot_be_parsed_is_answered_with_the_reason(
    packet: bytes, code: ResultCode
) -> None:
    """Type 0xFF with the result code that says why; transaction and swapped IDs as in any other."""
    answer = Bench().execute(packet)
    assert answer.packet is not None
    envelope, message = Scheme0().open(answer.packet)
    asked = Envelope.decode(packet)
    assert (envelope.source, envelope.destination) == (asked.destination, asked.source)
    assert (message.packet_type, message.argument) == (PacketType.ERROR, code)
    assert (message.transaction, message.payload) == (0x1234, b"")


def test_what_is_no_packet_at_all_is_answered_to_everybody() -> None:
    """Without an envelope there is no source to answer: all ones stands for it."""
    answer = Bench().execute(GOOD[:20])
    assert answer.packet is not None
    envelope, message = Scheme0().open(answer.packet)
    assert (envelope.source, envelope.destination) == (VIRTUAL_METER_ID, UNKNOWN_DEVICE)
    assert (message.packet_type, message.argument, message.transaction) == (0xFF, 3, 0)


BENCH = Bench()


@given(
    st.binary(max_size=80)
    | st.binary(max_size=50).map(lambda tail: GOOD[:28] + tail)
    | st.builds(
        lambda kind, payload: Scheme0().seal(
            Envelope(source=UmiId(4), destination=UNKNOWN_DEVICE),
            Message(transaction=9, created_s=0, packet_type=kind, payload=payload),
        ),
        st.integers(0, 255),
        st.binary(max_size=30),
    )
)
def test_garbage_gets_an_answer(packet: bytes) -> None:
    """Whatever comes, the meter answers with a whole packet or keeps silent; it never breaks."""
    answer = BENCH.execute(packet, BENCH.meter.new_peer("garbage"))
    if answer.packet is not None:
        message = Scheme0().open(answer.packet)[1]
        assert message.packet_type % 2 == 1


@pytest.mark.parametrize("destination", [UNKNOWN_DEVICE, VIRTUAL_METER_ID, HOST_ALIAS])
@pytest.mark.parametrize("source", [UmiId(0x0023_7EFE_0000_0004), UmiId(7), UNKNOWN_DEVICE])
def test_the_response_swaps_source_and_destination_literally(
    source: UmiId, destination: UmiId
) -> None:
    """All ones and the Host's alias come back as they were sent (protocol 3.1, field fact)."""
    bench = Bench()
    packet = bench.packet(NoOperation(), source=source, destination=destination, transaction=0xFFFF)
    answer = bench.execute(packet)
    assert answer == Answer(packet=answer.packet, is_busy=False)
    assert answer.packet is not None
    assert answer.packet[4:12] == packet[12:20]
    assert answer.packet[12:20] == packet[4:12]
    assert answer.packet[20] == 0
    message = opened(answer)
    assert message == Message(
        transaction=0xFFFF, created_s=START_S, packet_type=0x01, payload=b"", argument=0
    )


def test_another_id_is_the_meters_own() -> None:
    """After its UMI ID was written the meter answers to the new one, and not to the old."""
    bench = Bench(role=Role.MANUFACTURER)
    assert bench.write("umi-id", UmiId(0x0102_0304_0506_0708)) == ResultCode.OK
    assert bench.value("umi-id") == UmiId(0x0102_0304_0506_0708)
    old, new = (
        bench.message(bench.packet(NoOperation(), destination=destination)).argument
        for destination in (VIRTUAL_METER_ID, UmiId(0x0102_0304_0506_0708))
    )
    assert (old, new) == (ResultCode.UNAVAILABLE, ResultCode.OK)
    assert bench.write("umi-id", UNKNOWN_DEVICE) == ResultCode.INVALID_VALUE


@pytest.mark.parametrize("room", [128, 1000, 4073, 4074, 65_536])
def test_a_response_that_is_too_long_is_refused(room: int) -> None:
    """The whole profile makes 4,074 bytes: 336 entries of 12, 8 before them, 34 around them."""
    bench = Bench(max_packet_bytes=room)
    expected = ResultCode.OK if room >= 4074 else ResultCode.TOO_LONG
    assert bench.result(ReadObject(code=PROFILE_TABLE)) == expected


LARGE = """
schema = "umi-datasheet/1"
name = "large"
title = "Large"
banks = ["umi.1.7"]

[[object]]
code = "umi.1.7.0.1"
name = "large"
title = "Longer than any packet"
kind = "array"
type = "u32"
write = ["all"]
"""


@pytest.mark.parametrize("elements", [16_373, 16_374, 16_383, 16_384, 60_000])
def test_a_value_longer_than_any_packet_is_refused(
    elements: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """65,494 bytes of value fill a packet; beyond, and beyond the length fields, it is TOO_LONG."""
    path = tmp_path_factory.mktemp("sheet") / "large.toml"
    path.write_text(LARGE)
    bench = Bench(datasheet=str(path))
    for first in range(0, elements, 10_000):
        last = min(first + 10_000, elements) - 1
        part = f"large[{first}:{last}]"
        assert bench.write(part, bytes(4 * (last - first + 1))) == ResultCode.OK
    result = bench.result(ReadObject(code=UmiCode.parse("umi.1.7.0.1")))
    assert result == (ResultCode.OK if elements == 16_373 else ResultCode.TOO_LONG)


DEFERRING = {COUNTER: 500, SERIAL: 300}


def write_counter(number: int) -> WriteObject:
    return WriteObject(code=COUNTER, value=number.to_bytes(4, "little"))


def test_a_deferred_response_comes_with_complete() -> None:
    """WAIT says how long; COMPLETE too early gets what is left; then the response that was due."""
    bench = Bench(defer_ms=DEFERRING)
    written: list[bytes] = []
    bench.memory.store.on_write("counter", written.append)
    command = bench.packet(write_counter(7), transaction=40)
    first = bench.execute(command)
    assert first.is_busy
    assert opened(first).packet_type == PacketType.WAIT
    assert opened(first).transaction == 40
    assert Wait.decode(opened(first).payload) == Wait(wait_ms=500)
    bench.wait(0.2)
    early = bench.execute(bench.packet(Complete(), transaction=40))
    assert early.is_busy
    assert Wait.decode(opened(early).payload) == Wait(wait_ms=300)
    assert bench.memory.store.values[COUNTER] == bytes(4)
    bench.wait(0.3)
    assert bench.changes == 1  # it has run: a state file is written now, not when it is fetched
    for _ in range(2):  # the link may lose it: it can be fetched again
        done = bench.execute(bench.packet(Complete(), transaction=40))
        assert not done.is_busy
        assert (opened(done).packet_type, opened(done).argument) == (0x35, ResultCode.OK)
    assert written == [b"\x07\x00\x00\x00"]


def test_a_read_may_be_deferred_and_be_refused_late() -> None:
    """The response that was due may be a value, or a refusal."""
    bench = Bench(defer_ms=DEFERRING)
    assert opened(bench.execute(bench.packet(ReadObject(code=SERIAL)))).packet_type == 0x03
    bench.wait(0.3)
    packet = bench.packet(Complete(), transaction=bench.transaction)
    assert opened(bench.execute(packet)).payload[-8:] == b"31733978"
    command = bench.packet(WriteObject(code=COUNTER, value=b"\x01"))
    assert opened(bench.execute(command)).packet_type == 0x03
    bench.wait(1)
    late = bench.message(bench.packet(Complete(), transaction=bench.transaction))
    assert (late.packet_type, late.argument) == (0x35, ResultCode.INVALID_LENGTH)


def test_a_wait_is_never_zero_and_fits_its_field() -> None:
    """65,535 ms at most, 1 ms at least: a commander that comes on time is asked for more."""
    bench = Bench(defer_ms={COUNTER: 100_000})
    packet = bench.packet(write_counter(1), transaction=1)
    assert Wait.decode(bench.message(packet).payload).wait_ms == 65_535
    bench.wait(99.9999)
    message = bench.message(bench.packet(Complete(), transaction=1))
    assert Wait.decode(message.payload).wait_ms == 1


def test_complete_without_its_command_is_a_defer_error() -> None:
    """Nothing was deferred, or under another transaction number."""
    bench = Bench(defer_ms=DEFERRING)
    nothing = bench.message(bench.packet(Complete(), transaction=3))
    assert (nothing.packet_type, nothing.argument) == (PacketType.WAIT, ResultCode.DEFER_ERROR)
    bench.execute(bench.packet(write_counter(1), transaction=4))
    other = bench.message(bench.packet(Complete(), transaction=5))
    assert (other.transaction, other.argument) == (5, ResultCode.DEFER_ERROR)
    bench.wait(1)
    assert bench.result(NoOperation()) == ResultCode.OK
    over = bench.message(bench.packet(Complete(), transaction=4))
    assert over.argument == ResultCode.DEFER_ERROR


def test_a_meter_at_work_is_busy_for_this_peer_alone() -> None:
    """Another command of the peer is not taken (link ERROR 5); another peer is served."""
    bench = Bench(defer_ms=DEFERRING)
    other = bench.meter.new_peer("other line")
    bench.execute(bench.packet(write_counter(1)))
    busy = Answer(packet=None, is_busy=True)
    assert bench.execute(bench.packet(NoOperation())) == busy
    assert bench.execute(bench.packet(write_counter(2))) == busy
    assert bench.result(NoOperation(), other) == ResultCode.OK
    assert bench.execute(bench.packet(write_counter(3)), other).is_busy
    bench.wait(0.5)
    assert bench.changes == 2
    assert bench.result(NoOperation()) == ResultCode.OK
    assert bench.memory.store.values[COUNTER] == b"\x03\x00\x00\x00"


def test_what_was_deferred_is_done_though_its_line_is_gone() -> None:
    """The command was taken: hanging up does not undo it."""
    bench = Bench(defer_ms=DEFERRING)
    bench.execute(bench.packet(write_counter(9)))
    bench.meter.forget(bench.peer)
    bench.wait(0.5)
    assert bench.memory.store.values[COUNTER] == b"\x09\x00\x00\x00"


def test_a_power_cut_ends_what_was_deferred() -> None:
    """What had not been done never is, and the meter is off until the power is back."""
    bench = Bench(defer_ms=DEFERRING)
    bench.execute(bench.packet(write_counter(9)))
    bench.meter.lose_power(bench.now + 2)
    assert bench.meter.is_off(bench.now)
    bench.wait(2)
    assert not bench.meter.is_off(bench.now)
    assert bench.memory.store.values[COUNTER] == bytes(4)
    assert bench.meter.power_losses == 1


def test_only_changes_are_reported_as_changes() -> None:
    """A state file is written for what changes the meter, and for nothing else."""
    bench = Bench(role=Role.SERVICE)
    bench.read("manufacturer-id")
    assert bench.result(NoOperation()) == ResultCode.OK
    assert bench.changes == 0
    assert bench.write("valve", "closed") == ResultCode.OK
    assert bench.changes == 1


def test_a_broken_packet_is_answered_while_the_meter_is_at_work() -> None:
    bench = Bench(defer_ms=DEFERRING)
    bench.execute(bench.packet(write_counter(1)))
    assert opened(bench.execute(GOOD + b"\x00")).argument == ResultCode.INVALID_PACKET_FORMAT


def test_settings_are_the_defaults_of_the_field() -> None:
    """A peer without authentication is guest, responses may be as long as packets can be."""
    settings = Bench().meter.settings
    assert settings == replace(
        settings, guest_role=Role.GUEST, defer_ms={}, max_packet_bytes=65_536
    )
