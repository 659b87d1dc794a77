"""The exhaustive cuts in the small: `python -m tests.cuts` runs all of them."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.cut_world import Case, Kind, reference
from tests.cuts import Planner, Tally, run_cuts
from umi_cli.device.upload_journal import UploadJournal
from umi_cli.images.upload import Upload, UploadState
from umi_cli.virtual.flash import UNTOUCHED
from umi_cli.virtual.slots import Slots


@pytest.mark.parametrize("scheme", [0, 1, 2])
def test_no_cut_leaves_a_wrong_image_or_an_upload_that_cannot_go_on(scheme: int) -> None:
    tally = run_cuts(120, [scheme], seed=scheme)
    assert tally.failures == []
    assert tally.points.total() == 120
    assert {kind for kind, _ in tally.points} == {kind.value for kind in Kind}


def test_no_second_cut_does_either() -> None:
    plan = Planner([0, 1, 2], 1).plan(20_000)
    twice = [point for point in plan if len(point.cuts) == 2]
    assert len(twice) > 2000
    assert Tally.of(twice[:40]).failures == []


def test_every_frame_byte_and_write_is_cut_that_is_to_be() -> None:
    plan = Planner([0], 0).plan(None)
    cuts = [point.cuts[0] for point in plan if point.case is Case.FRESH]
    known = reference(0, Case.FRESH)
    for kind in (Kind.POWER, Kind.KILL, Kind.HANG_UP):
        places = {(cut.place, cut.offset) for cut in cuts if cut.kind is kind}
        assert {place for place, _ in places} == set(range(len(known.frames)))
        for place, frame in enumerate(known.frames):
            if frame.during in ("ImageStart", "ImageData 1", "ImageEnd"):
                due = range(frame.length_bytes + 1 - frame.is_ours)
                assert {(place, offset) for offset in due} <= places
    torn = {(cut.place, cut.offset) for cut in cuts if cut.kind is Kind.TORN}
    for place, length in enumerate(known.writes):
        assert {(place, landed) for landed in (UNTOUCHED, 0, length // 2, length)} <= torn
    assert len(Planner([0, 1, 2], 0).plan(None)) > 5000


def test_blocks_are_fragmented_and_there_are_several() -> None:
    for scheme in (0, 1, 2):
        frames = reference(scheme, Case.FRESH).frames
        ours = [frame.during for frame in frames if frame.is_ours]
        assert ours.count("ImageData 0") == ours.count("ImageData 1") == 2
        assert "ImageData 2" in ours


def test_the_same_seed_gives_the_same_points_and_the_same_end() -> None:
    assert Planner([2], 5).plan(100) == Planner([2], 5).plan(100)
    assert Planner([2], 5).plan(100) != Planner([2], 6).plan(100)
    assert str(run_cuts(10, [2], 5)) == str(run_cuts(10, [2], 5))


# What it finds: a guarantee that is broken on purpose


def keep_ahead(journal: UploadJournal, state: UploadState, reason: str | None = None) -> None:
    """Say that the next block has been taken as well."""
    kept(journal, replace(state, next_number=state.next_number + 1), reason)


def note_first(slots: Slots, data: bytes) -> None:
    """Note that a block has come, and write it then."""
    transfer = slots.transfer
    assert transfer is not None
    received_bytes = transfer.received_bytes + len(data)
    block_bytes = transfer.block_bytes or len(data)
    slots._note(replace(transfer, block_bytes=block_bytes, received_bytes=received_bytes))
    slots._flash.write(transfer.slot, transfer.received_bytes, data)


def end_blindly(upload: Upload) -> bool:
    """Take it for granted that the device accepts what it has."""
    return True


kept = UploadJournal.keep
SABOTAGES: dict[str, tuple[type, str, Callable[..., object], str]] = {
    "a journal that is ahead": (UploadJournal, "keep", keep_ahead, "the journal says"),
    "a block that is noted before it is written": (Slots, "add", note_first, "BAD_IMAGE"),
    "a success that nobody has told": (Upload, "end", end_blindly, "and is not there"),
}


@pytest.mark.parametrize("name", SABOTAGES)
def test_a_broken_guarantee_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reference(0, Case.FRESH)  # of the right ones
    plan = [point for point in Planner([0], 0).plan(None) if point.case is Case.FRESH]
    owner, attribute, sabotage, told = SABOTAGES[name]
    monkeypatch.setattr(owner, attribute, sabotage)
    tally = Tally.of(plan[::25] + [point for point in plan if point.cuts[0].kind is Kind.TORN])
    assert any(told in text for _, violations in tally.failures for text in violations)
    assert f"{len(tally.failures)} failures" in str(tally)
