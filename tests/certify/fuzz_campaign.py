"""Fuzz cases in any number: devices that are fuzzed by the toolkit, and the toolkit as a reader.

    python -m tests.certify.fuzz_campaign --cases 100000 --jobs 2

Half of the cases go to a virtual meter: a third of those as a guest who may change nothing, the
others with keys, certificates and images, where all may be changed. It must survive: no exception
in it, and all that `umi fuzz` watches. The other half has the toolkit read, write, authenticate and
upload against a meter that spoils its answers (`umi_cli.reader_fuzz`). The rate and the count are
printed, and everything that did not hold.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import Pool

from tests.certify.fuzz_world import FuzzWorld
from umi_cli.certify.fuzz_case import FuzzLayer
from umi_cli.reader_fuzz import ReaderFuzz

BATCH = 500  # cases of a task, each with a meter and a seed of its own
GUEST_LAYERS = (FuzzLayer.LINK, FuzzLayer.PACKET, FuzzLayer.PAYLOAD)
KINDS = ("guest", "reader", "keys", "reader", "keys", "reader")
REPORT_EVERY_S = 10.0
MAX_SHOWN = 20


@dataclass(frozen=True)
class Task:
    """Some cases of one kind."""

    kind: str
    seed: int
    cases: int


@dataclass
class Outcome:
    """What came of tasks."""

    cases: Counter[str] = field(default_factory=Counter)
    """By kind and layer, or how operations ended."""
    spoilt: int = 0
    violations: list[str] = field(default_factory=list)

    def add(self, other: "Outcome") -> None:
        self.cases += other.cases
        self.spoilt += other.spoilt
        self.violations += other.violations

    @property
    def total(self) -> int:
        return self.cases.total()


def tasks(cases: int, first_seed: int) -> Iterator[Task]:
    """Yield tasks of that many cases in all."""
    for number, begun in enumerate(range(0, cases, BATCH)):
        kind = KINDS[number % len(KINDS)]
        yield Task(kind, first_seed + number, min(BATCH, cases - begun))


def run_task(task: Task) -> Outcome:
    return fuzz_reader(task) if task.kind == "reader" else fuzz_meter(task)


def fuzz_meter(task: Task) -> Outcome:
    has_keys = task.kind == "keys"
    world = FuzzWorld(has_keys=has_keys)
    found = world.run(
        seed=task.seed,
        cases=task.cases,
        layers=tuple(FuzzLayer) if has_keys else GUEST_LAYERS,
        changes=has_keys,
        minimises=False,
    )
    outcome = Outcome()
    outcome.cases.update({f"{task.kind} {layer}": n for layer, n in found.layers.items()})
    outcome.violations += [
        f"{each.first.name} ({task.kind}): the meter {each.message}" for each in found.failures
    ]
    return outcome


def fuzz_reader(task: Task) -> Outcome:
    found = ReaderFuzz(task.seed, time.monotonic).run(0, task.cases)
    outcome = Outcome(spoilt=found.spoilt.total())
    outcome.cases.update({f"reader {name}": count for name, count in found.ended.items()})
    outcome.violations += [
        f"--seed {task.seed} --replay {each.number} ({each.title}): {each.message}"
        for each in found.violations
    ]
    return outcome


def run_campaign(cases: int, first_seed: int = 0, jobs: int = 1) -> Outcome:
    """Run that many cases; progress goes to stderr."""
    outcome, begun_s, told_s = Outcome(), time.monotonic(), time.monotonic()
    with Pool(jobs) as pool:
        for part in pool.imap_unordered(run_task, tasks(cases, first_seed)):
            outcome.add(part)
            now_s = time.monotonic()
            if now_s - told_s >= REPORT_EVERY_S:
                told_s = now_s
                rate = outcome.total / (now_s - begun_s)
                print(f"{outcome.total} cases, {rate:.0f}/s", file=sys.stderr, flush=True)
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--cases", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0, help="of the first task")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    arguments = parser.parse_args()
    begun_s = time.monotonic()
    outcome = run_campaign(arguments.cases, arguments.seed, arguments.jobs)
    took_s = time.monotonic() - begun_s
    for name, count in sorted(outcome.cases.items()):
        print(f"{count:8} {name}")
    print(f"{outcome.spoilt} answers to the reader were spoilt")
    print(f"{outcome.total} cases in {took_s:.0f} s, {outcome.total / took_s:.0f}/s")
    for text in outcome.violations[:MAX_SHOWN]:
        print(text)
    print(f"{len(outcome.violations)} violations")
    raise SystemExit(bool(outcome.violations))


if __name__ == "__main__":
    main()
