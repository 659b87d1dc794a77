"""Which test of the suite finds which defect of the virtual meter: all against all.

    python -m tests.certify.table
    python -m tests.certify.table --write

It fails unless every test fails on a defect, every defect fails a test, and a sound meter passes
all of them on every kind of line. `found.json` keeps enough of the table to show the same in
seconds: for each defect, tests that find it, each test with the defect that is most its own.
"""

import argparse
import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.certify.world import PLACES, World, cases_of
from umi_cli.certify.case import Level
from umi_cli.certify.run import STILL_GONE, Verdict
from umi_cli.certify.suite import CASES, chosen
from umi_cli.virtual.defects import DEFECTS

FOUND = Path(__file__).with_name("found.json")
SHOWN = 6  # numbers of a row; more are counted
Table = Mapping[str, frozenset[str]]
"""The tests that fail, by defect."""


def failed_on(world: World, defect: str, numbers: Iterable[str]) -> frozenset[str]:
    """Return which of some tests fail on a defect, where no others are run."""
    wanted = frozenset(numbers)
    failed: set[str] = set()
    for place in PLACES:
        if cases := [each for each in cases_of(place) if each.number in wanted]:
            results = world.results(place, cases, defect)
            failed |= {each.number for each in results if each.verdict is Verdict.FAILED}
    return frozenset(failed)


def row_of(world: World, defect: str) -> frozenset[str]:
    """Return the tests that fail on a defect, one that falls silent as often begun anew as needed.

    What is left out because the device had fallen silent may be what finds the defect best.
    """
    failed: set[str] = set()
    for place in PLACES:
        left = cases_of(place)
        while left:
            results = world.results(place, left, defect)
            failed |= {each.number for each in results if each.verdict is Verdict.FAILED}
            ran = {each.number for each in results if not each.message.startswith(STILL_GONE)}
            if not ran:  # not even the first
                break
            left = [each for each in left if each.number not in ran]
    return frozenset(failed)


def table_of(world: World, jobs: int) -> Table:
    """Return the whole table."""
    with ProcessPoolExecutor(jobs) as pool:
        rows = pool.map(partial(row_of, world), DEFECTS)
        return dict(zip(DEFECTS, rows, strict=True))


def cover_of(table: Table) -> dict[str, list[str]]:
    """Return for each defect tests that find it, so that every test is there.

    Each test stands with the defect that fails the fewest others; a defect that is left then, with
    the test that the fewest others fail.
    """
    cover: dict[str, set[str]] = {defect: set() for defect in table}
    defects_of = {
        number: [defect for defect, failed in table.items() if number in failed]
        for number in sorted(CASES)
    }
    for number, defects in defects_of.items():
        if defects:
            cover[min(defects, key=lambda defect: len(table[defect]))].add(number)
    for defect, numbers in cover.items():
        if not numbers and table[defect]:
            numbers.add(min(sorted(table[defect]), key=lambda each: len(defects_of[each])))
    return {defect: sorted(numbers) for defect, numbers in cover.items()}


def cover_that_holds(world: World, table: Table) -> dict[str, list[str]]:
    """Return such a cover whose tests fail without those that stand before them in the suite."""
    while True:
        cover = cover_of(table)
        holding = {each: failed_on(world, each, numbers) for each, numbers in cover.items()}
        if all(holding[defect] == set(numbers) for defect, numbers in cover.items()):
            return cover
        table = {
            defect: failed - (set(cover[defect]) - holding[defect])
            for defect, failed in table.items()
        }


def faults_of(table: Table) -> list[str]:
    """Return what is wrong with the table: a test that cannot fail, a defect that nobody finds."""
    seen = frozenset().union(*table.values())
    lines = [f"{defect} fails no test" for defect, failed in table.items() if not failed]
    return lines + [f"{number} fails on no defect" for number in CASES if number not in seen]


def faults_of_sound(world: World) -> list[str]:
    """Return which tests a sound meter does not pass, on any kind of line."""
    return [
        f"a sound meter fails {each.number} on {place}: {each.message}"
        for place in PLACES
        for each in world.results(place, chosen(Level))
        if each.verdict is Verdict.FAILED
    ]


def rows_of(table: Table) -> list[str]:
    """Return the table for people."""
    rows = []
    for defect, failed in table.items():
        numbers = sorted(failed)
        more = f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else ""
        rows.append(f"{defect:34} {' '.join(numbers[:SHOWN])}{more}")
    return rows


def load_found() -> dict[str, list[str]]:
    """Return what `found.json` keeps of the table."""
    found: dict[str, list[str]] = json.loads(FOUND.read_text(encoding="utf-8"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--write", action="store_true", help="write found.json anew")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        world = World.made(Path(folder))
        table = table_of(world, arguments.jobs)
        faults = faults_of(table) + faults_of_sound(world)
        if arguments.write and not faults:
            cover = cover_that_holds(world, table)
            faults = [
                f"{defect} fails no test that runs alone"
                for defect, numbers in cover.items()
                if not numbers
            ]
        if arguments.write and not faults:
            FOUND.write_text(json.dumps(cover, indent=1) + "\n", encoding="utf-8")
    print(*rows_of(table), *faults, sep="\n")
    pairs = sum(map(len, table.values()))
    print(f"{len(CASES)} tests, {len(DEFECTS)} defects, {pairs} failures; {len(faults)} faults")
    raise SystemExit(bool(faults))


if __name__ == "__main__":
    main()
