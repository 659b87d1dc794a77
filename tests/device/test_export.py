"""Reading a whole device: progress, objects that do not decode, and what ends it."""

from pathlib import Path

import pytest

import umi_cli
from umi_cli.device.export import Export, LeftOut, read_export
from umi_cli.device.meter import UndecodableError
from umi_cli.errors import LostError, NoAnswerError
from umi_cli.types import ObjectPart

AT = "time=2026-11-22T10:00:00Z"
SERVICE = f"sim:?as=service&{AT}"
NARROW = f"{SERVICE}&max-packet=600"  # a table comes in several responses


def read(address: str, *parts: str, datasheet: str = "ei4", tables: bool = True) -> Export:
    with umi_cli.connect(address, datasheet=datasheet) as meter:
        only = [meter.catalogue.resolve(part) for part in parts] or None
        return read_export(meter, only=only, tables=tables)


def test_progress_goes_from_nothing_to_all() -> None:
    told: dict[str, list[tuple[int, int]]] = {}
    with umi_cli.connect(NARROW) as meter:
        read_export(meter, tell=lambda what, *at: told.setdefault(what, []).append(at))
    assert set(told) == {"objects", "entries"}
    for steps in told.values():
        assert steps == sorted(steps)
        assert (steps[0][0], steps[-1][0]) == (0, steps[-1][1])
        assert len({total for _, total in steps}) == 1
    assert len(told["entries"]) > 5, "a long table tells of itself on the way"


def test_without_a_status_nobody_knows_how_long_a_table_is() -> None:
    told: list[str] = []
    with umi_cli.connect(NARROW) as meter:
        part = meter.catalogue.resolve("profile-table")
        found = read_export(meter, only=[part], tell=lambda what, *at: told.append(what))
    assert set(told) == {"objects"}
    [table] = found.parts
    assert table.found is not None
    assert len(table.found.raw) == 336 * 12


def test_the_same_in_one_response_or_many() -> None:
    assert read(NARROW, "profile-table").parts == read(SERVICE, "profile-table").parts


def test_bytes_that_the_datasheet_does_not_foresee(tmp_path: Path) -> None:
    """It is said of that object, and the others are read all the same."""
    sheet = tmp_path / "wrong.toml"
    sheet.write_text(
        'schema = "umi-datasheet/1"\nname = "wrong"\ntitle = "x"\nextends = "ei4"\n[[object]]\n'
        'code = "umi.1.1.0.0"\nname = "manufacturer-id"\ntitle = "x"\nkind = "value"\n'
        'type = "u16"\n'
    )
    found = read(SERVICE, "manufacturer-id", "valve", datasheet=str(sheet))
    spoilt, valve = found.parts
    assert spoilt.found is None
    assert isinstance(spoilt.error, UndecodableError)
    assert spoilt.error.raw.startswith(b"EISGMv0")
    assert valve.found is not None
    assert found.failure is None


def test_what_is_left_out() -> None:
    found = read(SERVICE, "scheme-1-keys", "profile-table", "valve", tables=False)
    assert dict(found.left_out) == {
        ObjectPart.parse("umi.255.0.0.16"): LeftOut.SECRET,
        ObjectPart.parse("umi.1.1.194.23"): LeftOut.TABLE,
    }
    assert [each.part for each in found.parts] == [ObjectPart.parse("umi.255.0.0.32")]


@pytest.mark.parametrize("seed", range(12))
def test_a_line_that_hangs_up_loses_the_rest_and_nothing_else(seed: int) -> None:
    whole = {each.part: each.found for each in read(SERVICE).parts}
    with umi_cli.connect(f"{SERVICE}&fault=hangup:0.02&seed={seed}") as meter:
        try:
            found = read_export(meter)
        except (LostError, NoAnswerError):
            return  # before anything had come
    for each in found.parts:
        is_clock = each.found is not None and each.found.name == "metrology-clock"
        assert each.error is found.failure if each.found is None else each.error is None
        assert each.found is None or is_clock or each.found == whole[each.part]
    assert found.failure is not None or all(each.found for each in found.parts)
