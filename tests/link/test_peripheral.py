"""A Peripheral's end of a link: its address is the Host's to give, and many commanders reach it."""

from random import Random

import pytest

from tests.independent import IndependentReader, NoAnswer
from umi_cli.link.connection import LinkConnection
from umi_cli.link.events import (
    CommandReceived,
    ExchangeFailed,
    LinkAddresses,
    LinkSettings,
    Resynchronised,
)
from umi_cli.link.fragment import split
from umi_cli.link.frame import Frame, FrameType, LinkErrorCode

HOST, READER, OTHER = 0, 5, 9
OWN = 3
LONG = bytes(range(250)) * 3


def peripheral(own: int = OWN) -> LinkConnection:
    settings = LinkSettings(accepts_commands=True, takes_address=True)
    return LinkConnection(settings, LinkAddresses(own=own, peer=HOST))


def frame(
    source: int,
    sequence: int,
    payload: bytes = b"",
    kind: FrameType = FrameType.SIMPLE,
    destination: int = OWN,
) -> bytes:
    return Frame(
        sequence=sequence,
        frame_type=kind,
        destination=destination,
        source=source,
        payload=payload,
    ).encode()


def resync(source: int, destination: int = OWN) -> bytes:
    return frame(source, 0, kind=FrameType.RESYNC, destination=destination)


def frames_of(link: LinkConnection) -> list[Frame]:
    return [Frame.decode(data) for data in link.frames_to_send()]


def run(link: LinkConnection, data: bytes) -> list[tuple[int, bytes]]:
    """Hand over bytes, and answer each command with its reverse; return who commanded what."""
    commands = [each for each in link.receive_data(data, 0.0) if isinstance(each, CommandReceived)]
    for command in commands:
        link.respond(command.packet[::-1], commander=command.source)
    return [(command.source, command.packet) for command in commands]


# Its address


@pytest.mark.parametrize("given", range(1, 16))
def test_it_takes_the_address_that_a_resync_is_sent_to(given: int) -> None:
    link = peripheral(own=1)
    assert link.receive_data(resync(HOST, given), 0.0) == [Resynchronised()]
    [answer] = frames_of(link)
    assert answer == Frame(
        sequence=0, frame_type=FrameType.RESYNC_RESPONSE, destination=HOST, source=given
    )
    assert link.addresses == LinkAddresses(own=given, peer=HOST)


def test_a_resync_to_nobody_leaves_its_address() -> None:
    link = peripheral()
    link.receive_data(resync(HOST, 0), 0.0)
    assert frames_of(link)[0].source == OWN


def test_it_commands_the_host_from_the_address_that_it_was_given_last() -> None:
    link = peripheral()
    for given in (7, 12):
        link.receive_data(resync(HOST, given), 0.0)
        frames_of(link)
        link.command(b"time?", 0.0)
        [command] = frames_of(link)
        assert (command.source, command.destination, command.sequence) == (given, HOST, 1)
        link.receive_data(frame(HOST, 1, b"noon", FrameType.SIMPLE_RESPONSE, given), 0.0)
        assert link.is_idle


def test_a_command_to_another_address_is_error_3() -> None:
    link = peripheral()
    link.receive_data(resync(HOST, 7), 0.0)
    frames_of(link)
    assert link.receive_data(frame(HOST, 1, b"ask", destination=OWN), 0.0) == []
    [answer] = frames_of(link)
    assert (answer.frame_type, answer.payload) == (FrameType.ERROR, b"\x03\x00")


def test_who_is_no_peripheral_keeps_its_address() -> None:
    settings = LinkSettings(accepts_commands=True)
    link = LinkConnection(settings, LinkAddresses(own=OWN, peer=READER))
    assert link.receive_data(resync(READER, 7), 0.0) == []
    assert frames_of(link)[0].frame_type == FrameType.ERROR
    assert link.addresses.own == OWN


# Its commanders


def test_each_commander_has_its_own_sequences() -> None:
    link = peripheral()
    for source in (HOST, READER, OTHER):
        link.receive_data(resync(source), 0.0)
        assert [answer.destination for answer in frames_of(link)] == [source]
    for source in (HOST, READER, OTHER):
        asked = frame(source, 1, b"ask %d" % source)
        assert run(link, asked) == [(source, b"ask %d" % source)]
        [answer] = frames_of(link)
        assert (answer.destination, answer.payload) == (source, (b"ask %d" % source)[::-1])
    for source in (OTHER, HOST, READER):
        assert run(link, frame(source, 1, b"ask %d" % source)) == []  # a repeat runs nothing
        [answer] = frames_of(link)
        assert (answer.destination, answer.payload) == (source, (b"ask %d" % source)[::-1])


def test_the_resync_of_one_commander_forgets_nothing_of_another() -> None:
    link = peripheral()
    run(link, frame(READER, 1, b"write"))
    stored = link.frames_to_send()
    link.receive_data(resync(OTHER), 0.0)
    link.receive_data(resync(HOST), 0.0)
    frames_of(link)
    assert run(link, frame(READER, 1, b"write")) == []
    assert link.frames_to_send() == stored


def test_the_resync_of_the_host_alone_ends_our_own_exchange_with_it() -> None:
    link = peripheral()
    link.receive_data(resync(HOST), 0.0)
    link.command(b"time?", 0.0)
    assert link.receive_data(resync(OTHER), 0.0) == [Resynchronised()]
    assert not link.is_idle
    _, ended = link.receive_data(resync(HOST), 0.0)
    assert isinstance(ended, ExchangeFailed)
    assert link.is_idle


def test_commands_that_come_together_are_answered_each_to_its_commander() -> None:
    link = peripheral()
    together = frame(READER, 1, b"one") + frame(OTHER, 1, b"two") + frame(HOST, 1, b"three")
    assert run(link, together) == [(READER, b"one"), (OTHER, b"two"), (HOST, b"three")]
    answers = {answer.destination: answer.payload for answer in frames_of(link)}
    assert answers == {READER: b"eno", OTHER: b"owt", HOST: b"eerht"}


def test_one_is_refused_and_another_ignored_and_the_third_is_answered() -> None:
    link = peripheral()
    link.receive_data(b"".join(frame(each, 1) for each in (READER, OTHER, HOST)), 0.0)
    link.ignore(commander=OTHER)
    link.respond(b"yes", commander=HOST)
    link.refuse(LinkErrorCode.BUSY, commander=READER)
    assert [(each.destination, each.payload) for each in frames_of(link)] == [
        (HOST, b"yes"),
        (READER, b"\x05\x00"),
    ]
    assert link.is_idle
    assert run(link, frame(OTHER, 1)) == [(OTHER, b"")]  # as if it had never come


def test_who_waits_for_an_answer_keeps_nobody_else_waiting() -> None:
    link = peripheral()
    [waiting] = link.receive_data(frame(READER, 1, b"slow"), 0.0)
    assert run(link, frame(OTHER, 1, b"fast")) == [(OTHER, b"fast")]
    assert [answer.destination for answer in frames_of(link)] == [OTHER]
    assert not link.is_idle
    assert isinstance(waiting, CommandReceived)
    link.respond(b"done", commander=waiting.source)
    assert [(each.destination, each.payload) for each in frames_of(link)] == [(READER, b"done")]
    assert link.is_idle


def test_fragments_of_two_commanders_are_joined_apart() -> None:
    link = peripheral()
    first, second = LONG, LONG[::-1]
    ran = []
    for sequence, pair in enumerate(zip(split(first), split(second), strict=True), 1):
        for source, payload in zip((READER, OTHER), pair, strict=True):
            ran += run(link, frame(source, sequence, payload, FrameType.FRAGMENT))
    assert ran == [(READER, first), (OTHER, second)]


def test_a_power_cut_forgets_every_commander() -> None:
    link = peripheral()
    for source in (READER, OTHER):
        run(link, frame(source, 1, b"write"))
    link.reset()
    assert link.frames_to_send() == []
    for source in (READER, OTHER):
        assert run(link, frame(source, 1, b"write")) == [(source, b"write")]


@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_independent_commanders_in_any_order(loss: float) -> None:
    """Each has its own address, as behind a Host; none is kept from its answers by another."""
    link = peripheral()
    random = Random(5)
    executed: list[bytes] = []

    def send(data: bytes) -> None:
        if random.random() >= loss:
            executed.extend(packet for _, packet in run(link, data))

    def receive() -> bytes:
        link.on_timer(0.0)
        return b"".join(each for each in link.frames_to_send() if random.random() >= loss)

    readers = []
    for address in range(16):
        reader = IndependentReader(send, receive)
        reader.own, reader.peer = address, OWN
        readers.append(reader)
    packets = [b"%d" % tag + bytes(random.choice((1, 100, 600))) for tag in range(1000)]
    taken = 0
    for packet in packets:
        reader = random.choice(readers)
        if loss:
            taken += _is_answered(reader, packet)
        else:
            assert reader.exchange(packet) == packet[::-1]
    assert len(set(executed)) == len(executed), "a command ran twice"
    assert executed == packets if not loss else taken > 900


def _is_answered(reader: IndependentReader, packet: bytes) -> bool:
    try:
        return reader.exchange(packet) == packet[::-1]
    except NoAnswer:
        reader.sequence = 15  # it re-syncs
        return False
