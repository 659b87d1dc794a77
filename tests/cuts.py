"""Every cut of an upload, the way bootloaders are tested: at every frame, byte and flash write.

    python -m tests.cuts
    python -m tests.cuts --points 20000 --scheme 2 --seed 7

Without `--points` there are cuts at both ends of every frame, after every byte of START, of one
block and of END, and in the middle of every write to flash; under each scheme, in each case of
`cut_world`. More points are the other bytes, and cuts of the run after a cut.

What must hold at every point:

1. a meter that has lost its power boots one of the two images, whole;
2. the journal is never ahead of the meter;
3. the same upload, tried again, ends with the right image running, to the byte;
4. nothing is reported to be accepted, or to run, before it is;
5. every run ends within its bound of (simulated) time;
6. under scheme 2, no key and nonce ever seal two texts.
"""

import argparse
import os
import random
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from zlib import crc32

from tests.campaign import Outcome, watched_nonces
from tests.cut_world import Case, Cut, Kind, World, reference, seeded
from umi_cli.virtual.flash import UNTOUCHED

SCHEMES = (0, 1, 2)
LINE_KINDS = (Kind.POWER, Kind.KILL, Kind.HANG_UP)
PAUSES_S = {
    Kind.POWER: (0.2, 4.0, 30.0, 150.0),  # within a timeout, within an exchange, within a block …
    Kind.TORN: (0.2, 4.0, 30.0, 150.0),
    Kind.KILL: (0.0, 2.0, 400.0),  # the last is past the life of a session
    Kind.HANG_UP: (0.0, 2.0, 400.0),
}
DENSE = ("ImageStart", "ImageData 1", "ImageEnd")
"""The commands that are cut after every byte."""
SECOND_FRAMES = 24  # of the run after a cut; fewer pass where little is left
CHUNK = 50  # points at a time, for each process
# Where a journal costs no wait for a disk: what is lost with the power is not tested here.
FAST = Path("/dev/shm")  # noqa: S108 - its directories are made by tempfile


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One thing to try."""

    scheme: int
    case: Case
    cuts: tuple[Cut, ...]
    """Of one run after the other; the next one is whole."""
    seed: int

    @property
    def kind(self) -> str:
        return self.cuts[0].kind.value if len(self.cuts) == 1 else "twice"


@dataclass(slots=True, kw_only=True)
class Tally:
    """What came of all points."""

    points: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By kind and scheme."""
    failures: list[tuple[Point, list[str]]] = field(default_factory=list)

    @classmethod
    def of(cls, plan: Sequence[Point], jobs: int = 1) -> "Tally":
        """Try all points of a plan."""
        tally = cls()
        for point, violations in zip(plan, _tried(plan, jobs), strict=True):
            tally.points[point.kind, point.scheme] += 1
            if violations:
                tally.failures.append((point, violations))
        return tally

    def __str__(self) -> str:
        failed = Counter((point.kind, point.scheme) for point, _ in self.failures)
        lines = [f"{self.points.total()} cut points, {len(self.failures)} failures"]
        for (kind, scheme), count in sorted(self.points.items()):
            lines.append(f"  {kind}, scheme {scheme}: {count}, {failed[kind, scheme]} failures")
        return "\n".join(lines)


def _tried(plan: Iterable[Point], jobs: int) -> Iterator[list[str]]:
    if jobs == 1:
        yield from map(try_point, plan)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(try_point, plan, chunksize=CHUNK)


def try_point(point: Point) -> list[str]:
    """Cut there, and try again; return what did not hold."""
    outcome = Outcome()
    directory = FAST if FAST.is_dir() else None
    with (
        TemporaryDirectory(dir=directory) as place,
        seeded(point.seed),
        watched_nonces(outcome),
    ):
        try:
            world = World(point.scheme, point.case, Path(place))
            for number, cut in enumerate(point.cuts):
                has_struck = world.run_cut(cut)
                if not (has_struck or number):
                    world.violations.append("nothing passed where the cut was to be")
            world.check_done(world.run())
        except Exception:  # whatever it is, it is a failure at this point, and others follow
            return [*outcome.violations, traceback.format_exc()]
    return outcome.violations + world.violations


def _places(scheme: int, case: Case) -> Iterator[tuple[int, int, bool, bool]]:
    """Yield every place on the line: frame, offset, is it an end, is it dense.

    That all of ours was sent is that nothing of the answer came.
    """
    for number, frame in enumerate(reference(scheme, case).frames):
        last = frame.length_bytes - frame.is_ours
        for offset in range(last + 1):
            is_end = offset == 0 or offset == frame.length_bytes
            yield number, offset, is_end, frame.during in DENSE


def _tears(scheme: int, case: Case) -> Iterator[tuple[int, int, bool]]:
    """Yield every place in a write to flash: write, how many bytes land, is it one of a few."""
    for number, length in enumerate(reference(scheme, case).writes):
        few = {UNTOUCHED, 0, 1, length // 2, length - 1, length}
        for landed in range(UNTOUCHED, length + 1):
            yield number, landed, landed in few


class Planner:
    """Says where to cut.

    Args:
        schemes: under which schemes.
        seed: of the pauses, and of what is chosen where not all is.
    """

    def __init__(self, schemes: Sequence[int], seed: int) -> None:
        self._schemes = schemes
        self._seed = seed

    def plan(self, points: int | None) -> list[Point]:
        """Return that many points; those that must be if None."""
        chance = random.Random(self._seed)
        due, others = self._all()
        if points is None:
            return due
        if points <= len(due):
            return chance.sample(due, points)
        more = points - len(due)
        chosen = chance.sample(others, min(len(others), more - more // 4))
        twice = [self._twice(chance) for _ in range(more - len(chosen))]
        return due + chosen + twice

    def _all(self) -> tuple[list[Point], list[Point]]:
        due: list[Point] = []
        others: list[Point] = []
        for scheme, case in product(self._schemes, Case):
            is_first = case is Case.FRESH
            for place, offset, is_end, is_dense in _places(scheme, case):
                into = due if is_end or (is_first and is_dense) else others
                into += (self._point(scheme, case, kind, place, offset) for kind in LINE_KINDS)
            for place, landed, is_of_few in _tears(scheme, case):
                into = due if is_of_few else others
                into.append(self._point(scheme, case, Kind.TORN, place, landed))
        return due, others

    def _point(self, scheme: int, case: Case, kind: Kind, place: int, offset: int) -> Point:
        name = f"{self._seed} {scheme} {case.value} {kind.value} {place} {offset}"
        number = crc32(name.encode())  # so that a point is the same in every plan
        pause_s = PAUSES_S[kind][number % len(PAUSES_S[kind])]
        cut = Cut(kind=kind, place=place, offset=offset, pause_s=pause_s)
        return Point(scheme=scheme, case=case, cuts=(cut,), seed=number)

    def _twice(self, chance: random.Random) -> Point:
        """Return a point at which the run after a cut is cut as well."""
        scheme, case = chance.choice(self._schemes), chance.choice(list(Case))
        known = reference(scheme, case)
        cuts = []
        for frames in (len(known.frames), SECOND_FRAMES):
            kind = chance.choice(list(Kind))
            is_torn = kind is Kind.TORN
            place = chance.randrange(len(known.writes) if is_torn else frames)
            limit = known.writes[place] if is_torn else known.frames[place].length_bytes
            offset = chance.randint(UNTOUCHED if is_torn else 0, limit)
            pause_s = chance.choice(PAUSES_S[kind])
            cuts.append(Cut(kind=kind, place=place, offset=offset, pause_s=pause_s))
        return Point(scheme=scheme, case=case, cuts=tuple(cuts), seed=chance.randrange(1 << 32))


def run_cuts(
    points: int | None = None, schemes: Sequence[int] = SCHEMES, seed: int = 0, jobs: int = 1
) -> Tally:
    """Try that many points, or those that must be."""
    return Tally.of(Planner(schemes, seed).plan(points), jobs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--points", type=int, help="how many; default: those that must be")
    parser.add_argument("--scheme", type=int, choices=SCHEMES, help="default: each")
    parser.add_argument("--seed", type=int, default=0, help="of pauses, salts and choice")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    arguments = parser.parse_args()
    schemes = SCHEMES if arguments.scheme is None else (arguments.scheme,)
    tally = run_cuts(arguments.points, schemes, arguments.seed, arguments.jobs)
    print(tally)
    for point, violations in tally.failures[:20]:
        print(point, *violations, sep="\n    ")
    raise SystemExit(bool(tally.failures))


if __name__ == "__main__":
    main()
