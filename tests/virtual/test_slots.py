"""Two slots in flash: cut at any write, what boots is whole, and a transfer goes on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli import crypto
from umi_cli.images.header import PLAIN_BYTES, ImageHeader, Version
from umi_cli.link.crc import crc
from umi_cli.virtual.flash import (
    ERASED,
    MAX_RECORD_BYTES,
    SLOT_BYTES,
    UNTOUCHED,
    Flash,
    Place,
    PowerCut,
    Write,
    WriteKind,
)
from umi_cli.virtual.slots import (
    BOOT_PLACES,
    DELIVERED,
    BootRecord,
    NoImageError,
    Slots,
    Transfer,
    delivered_flash,
)

OLD, NEW, NEWER = DELIVERED.version, Version(1, 5, 0), Version(1, 6, 0)
PACKAGE = b"the new image, 29 bytes of it"
OTHER = b"another image, of another length altogether"
BLOCK = 8


@dataclass
class Cutter:
    """Cuts the power at one write, or counts all and remembers how long each is."""

    at: int | None = None
    landed: int = UNTOUCHED
    lengths: list[int] = field(default_factory=list)

    def __call__(self, length: int) -> int | None:
        self.lengths.append(length)
        return self.landed if len(self.lengths) - 1 == self.at else None


def send(slots: Slots, package: bytes = PACKAGE) -> None:
    """Go on with a transfer from what was acknowledged."""
    transfer = slots.transfer
    assert transfer is not None
    for start in range(transfer.received_bytes, len(package), BLOCK):
        slots.add(package[start : start + BLOCK])


def upload(slots: Slots, package: bytes = PACKAGE, version: Version = NEW) -> None:
    slots.begin(len(package))
    send(slots, package)
    slots.switch(version, "model")


def running(flash: Flash) -> tuple[Version, bytes]:
    """Boot, and return what runs: it must be whole."""
    record = Slots(flash).running
    content = flash.content(record.slot, 0, record.length_bytes)
    assert crypto.sha256(content) == record.sha256
    return record.version, content


# The states that a meter may be in when a transfer begins


def as_delivered() -> Flash:
    return delivered_flash()


def after_an_update() -> Flash:
    flash = delivered_flash()
    upload(Slots(flash), OTHER, Version(1, 4, 9))
    return flash


def in_a_transfer() -> Flash:
    flash = delivered_flash()
    slots = Slots(flash)
    slots.begin(len(OTHER))
    slots.add(OTHER[:BLOCK])
    return flash


def after_two_updates() -> Flash:
    flash = after_an_update()
    upload(Slots(flash), OTHER * 2, Version(1, 4, 10))
    return flash


STATES = [as_delivered, after_an_update, after_two_updates, in_a_transfer]


def plain(flash: Flash) -> None:
    upload(Slots(flash))


def over_one_that_waits(flash: Flash) -> None:
    """Another image was accepted and has not run: the next one takes its place."""
    slots = Slots(flash)
    upload(slots, OTHER, Version(1, 4, 99))
    upload(slots)


def begun_anew(flash: Flash) -> None:
    slots = Slots(flash)
    slots.begin(len(OTHER))
    slots.add(OTHER[:5])
    upload(slots)


SCRIPTS = [plain, over_one_that_waits, begun_anew]
Script = Callable[[Flash], None]


def cuts(prepare: Callable[[], Flash], script: Script) -> Iterator[tuple[int, int]]:
    """Yield every moment at which the power can be lost: before, in, and behind each write."""
    counter = Cutter()
    flash = prepare()
    flash.interrupt = counter
    script(flash)
    for at, length in enumerate(counter.lengths):
        for landed in range(UNTOUCHED, length + 1):
            yield at, landed


def cut_off(prepare: Callable[[], Flash], script: Script, at: int, landed: int) -> Flash:
    flash = prepare()
    flash.interrupt = Cutter(at, landed)
    with pytest.raises(PowerCut):
        script(flash)
    flash.interrupt = lambda _: None
    return flash


@pytest.mark.parametrize("prepare", STATES)
@pytest.mark.parametrize("script", SCRIPTS)
def test_cut_anywhere_a_whole_image_boots(prepare: Callable[[], Flash], script: Script) -> None:
    """At every byte of every write; and then the upload ends with the right image."""
    before = running(prepare())
    given_images = {before, (NEW, PACKAGE), (Version(1, 4, 99), OTHER)}
    booted = set()
    for at, landed in cuts(prepare, script):
        flash = cut_off(prepare, script, at, landed)
        booted.add(running(flash))
        slots = Slots(flash)
        if slots.running.version != NEW:
            transfer = slots.transfer
            if transfer and transfer.length_bytes == len(PACKAGE):
                assert slots.package() == PACKAGE[: transfer.received_bytes]
                send(slots)
                slots.switch(NEW, "model")
            else:
                upload(slots)
        assert running(flash) == (NEW, PACKAGE)
        assert Slots(flash).transfer is None
    assert {before, (NEW, PACKAGE)} <= booted <= given_images


def test_cut_twice() -> None:
    """While the transfer that was cut goes on, the power is lost once more, anywhere."""

    def go_on(flash: Flash) -> None:
        slots = Slots(flash)
        if slots.transfer:
            send(slots)
            slots.switch(NEW, "model")
        else:
            upload(slots)

    def is_done(flash: Flash) -> bool:
        return Slots(flash).running.version == NEW

    seen: set[tuple[bytes, ...]] = set()
    for at, landed in cuts(as_delivered, plain):
        first = cut_off(as_delivered, plain, at, landed)
        state = tuple(write.data for write in first.snapshot())
        if state in seen or is_done(first):
            continue
        seen.add(state)
        writes = first.snapshot()
        for again, torn in cuts(lambda: Flash(writes), go_on):  # noqa: B023 - run at once
            if torn > 1 and torn % 7:  # not each of them: it is a square of tests already
                continue
            second = cut_off(lambda: Flash(writes), go_on, again, torn)  # noqa: B023
            assert running(second) in (running(first), (NEW, PACKAGE))
            if not is_done(second):
                go_on(second)
            assert running(second) == (NEW, PACKAGE)
    assert len(seen) > 40


def test_what_was_acknowledged_stands_and_what_was_torn_does_not_count() -> None:
    """A block counts from the moment on at which its record is whole."""

    def transfer(flash: Flash) -> None:
        slots = Slots(flash)
        slots.begin(len(PACKAGE))
        send(slots)

    lengths = [0, 21, *[BLOCK, 21] * 3, 5, 21]
    for at, landed in cuts(as_delivered, transfer):
        flash = cut_off(as_delivered, transfer, at, landed)
        found = Slots(flash).transfer
        blocks = (at - 2) // 2 + (at % 2 and landed == lengths[at])
        if at < 2:
            assert (found is not None) == (landed == 21)
        else:
            assert found is not None
            assert found.blocks == blocks
            assert found.received_bytes == min(len(PACKAGE), blocks * BLOCK)


def test_the_slot_that_runs_is_never_touched() -> None:
    """Update after update, the slots take turns; the one that runs stays as it is."""
    flash = delivered_flash()
    for number in range(1, 6):
        slots = Slots(flash)
        own = slots.running.slot
        before = flash.content(own, 0, SLOT_BYTES)
        slots.begin(len(PACKAGE))
        send(slots)
        assert flash.content(own, 0, SLOT_BYTES) == before
        slots.switch(Version(2, 0, number), "model")
        assert flash.content(own, 0, SLOT_BYTES) == before
        record = Slots(flash).running
        assert (record.slot, record.version) == (1 - own, Version(2, 0, number))
        assert record.generation == number + 1


def test_a_newer_image_that_is_damaged_does_not_boot() -> None:
    """The older one does, and the next update goes over the damaged one."""
    flash = after_an_update()
    slot = Slots(flash).running.slot
    flash.write(slot, 3, b"!")
    assert running(flash)[0] == OLD
    upload(Slots(flash))
    assert running(flash) == (NEW, PACKAGE)


def test_no_whole_image_at_all() -> None:
    """That never happens to a meter by itself; a file of slots may be spoilt."""
    erased, forgotten = delivered_flash(), delivered_flash()
    erased.erase(0)
    forgotten.write_record(Place.BOOT_A, b"")
    for flash in (erased, forgotten):
        with pytest.raises(NoImageError):
            Slots(flash)
    with pytest.raises(NoImageError):
        Slots(Flash())


def test_an_image_that_waits_is_told_from_one_that_runs() -> None:
    flash = delivered_flash()
    slots = Slots(flash)
    upload(slots)
    waiting = slots.waiting
    assert waiting is not None
    assert (waiting.version, waiting.crc) == (NEW, crc(PACKAGE))
    assert (slots.running, slots.transfer) == (DELIVERED, None)
    assert slots.boot() == waiting
    assert Slots(flash).waiting is None
    assert Slots(delivered_flash()).waiting is None


def test_nothing_is_done_without_a_transfer() -> None:
    slots = Slots(delivered_flash())
    for act in (slots.package, slots.last_block, slots.forget, partial(slots.add, b"x")):
        with pytest.raises(ValueError, match="no transfer"):
            act()


def test_the_delivered_image_is_a_package_of_its_version() -> None:
    """What is in the slot says the same as its record."""
    version, package = running(delivered_flash())
    header = ImageHeader.decode(package[:PLAIN_BYTES])
    assert (header.label.version, header.label.slot) == (version, DELIVERED.slot)
    assert header.image_sha256 == crypto.sha256(package[PLAIN_BYTES:])


@pytest.mark.parametrize("prepare", STATES)
def test_a_snapshot_is_the_same_flash(prepare: Callable[[], Flash]) -> None:
    flash = prepare()
    again = Flash(flash.snapshot())
    assert again.snapshot() == flash.snapshot()
    assert running(again) == running(flash)
    assert Slots(again).transfer == Slots(flash).transfer


def test_torn_writes_land_in_part() -> None:
    """Data up to a place; a record alone, for its place was erased first; an erasure from ahead."""
    flash = Flash()
    flash.write(0, 0, b"abcdef")
    flash.write_record(Place.BOOT_A, b"record")
    told: list[Write] = []
    flash.listener = told.append
    flash.interrupt = lambda _: 2
    for act in (
        partial(flash.write, 0, 3, b"XYZ"),
        partial(flash.write_record, Place.BOOT_A, b"other"),
        partial(flash.erase, 0),
    ):
        with pytest.raises(PowerCut):
            act()
    assert flash.content(0, 0, 9) == ERASED * 2 + b"cXYf"
    assert flash.record(Place.BOOT_A) == b"ot"
    assert [write.data for write in told] == [b"XY", b"ot", ERASED * 2]
    flash.interrupt = lambda _: UNTOUCHED
    with pytest.raises(PowerCut):
        flash.erase(0)
    assert len(told) == 3
    assert flash.content(0, 0, 9) == ERASED * 2 + b"cXYf"
    assert flash.count == 6


def test_a_gap_in_a_slot_is_erased() -> None:
    flash = Flash()
    flash.write(1, 4, b"x")
    assert flash.content(1, 0, 9) == ERASED * 4 + b"x"


@pytest.mark.parametrize(
    ("kind", "number", "offset", "length"),
    [
        (WriteKind.DATA, 2, 0, 1),
        (WriteKind.DATA, -1, 0, 1),
        (WriteKind.DATA, 0, SLOT_BYTES, 1),
        (WriteKind.DATA, 0, -1, 1),
        (WriteKind.ERASE, 2, 0, 0),
        (WriteKind.RECORD, 4, 0, 0),
        (WriteKind.RECORD, 0, 0, MAX_RECORD_BYTES + 1),
    ],
)
def test_there_is_nothing_past_the_end(
    kind: WriteKind, number: int, offset: int, length: int
) -> None:
    with pytest.raises(ValueError, match=r"past the end|no slot"):
        Write(kind=kind, number=number, offset=offset, data=bytes(length))


@given(
    st.builds(
        BootRecord,
        generation=st.integers(0, 2**32 - 1),
        slot=st.integers(0, 1),
        length_bytes=st.integers(0, SLOT_BYTES),
        sha256=st.binary(min_size=32, max_size=32),
        version=st.builds(Version, *[st.integers(0, 255)] * 3),
        crc=st.integers(0, 0xFFFF),
        details=st.text(st.characters(min_codepoint=1, max_codepoint=127), max_size=65),
    )
)
def test_boot_records_round_trip(record: BootRecord) -> None:
    data = record.encode()
    assert len(data) <= MAX_RECORD_BYTES
    assert BootRecord.unpack(data[:-4]) == record


@pytest.mark.parametrize(
    "record",
    [
        lambda: replace(DELIVERED, slot=2),
        lambda: replace(DELIVERED, length_bytes=SLOT_BYTES + 1),
        lambda: Transfer(generation=1, slot=2, length_bytes=1),
        lambda: Transfer(generation=1, slot=0, length_bytes=SLOT_BYTES + 1),
        lambda: Transfer(generation=1, slot=0, length_bytes=9, received_bytes=4),
        lambda: Transfer(generation=1, slot=0, length_bytes=9, block_bytes=4),
    ],
)
def test_records_that_say_what_cannot_be(record: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"no image|no transfer"):
        record()


@given(st.sampled_from(BOOT_PLACES), st.binary(max_size=MAX_RECORD_BYTES))
def test_garbage_is_no_record(place: Place, data: bytes) -> None:
    """A meter whose other place holds anything at all boots what it has."""
    flash = delivered_flash()
    upload(Slots(flash))
    flash.write_record(place, data)
    assert running(flash)[0] in (OLD, NEW)
