"""What nothing lost and nothing done twice costs: per commit, per act and per trial, with the guarantees on and off.

Compared, in one process and one run, on the same seed, taking turns:

* a commit of the journal with ``synchronous=FULL`` (what a store has), with NORMAL and with OFF, and in memory;
* an act that may not be repeated, recorded before and after, against the same act declared as repeatable;
* a trial of a pump in virtual time, with its store on the disk and acts recorded; the same with the journal in memory;
  the same with no act that needs recording.

Wall time, medians and quartiles. A disk that lies about its syncs makes the first table look better than it is.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import bluesky.plan_stubs as bps
from harness import Spread, alternate, environment, parser, print_environment, print_table, write_json

import sdl
from sdl.campaign.fallback import SpaceFillingFallback
from sdl.journal import MemoryJournal, open_journal, sqlite
from sdl.journal.protocol import Journal
from sdl.journal.records import Comment, Entry
from sdl.lab.clock import current_time

SEED = 11
LEVELS = {"FULL": 2, "NORMAL": 1, "OFF": 0}
Plan = Generator[Any, Any, Any]


class Done:
    """A status that ends with a task."""

    def __init__(self, seconds: float) -> None:
        self._task = asyncio.get_running_loop().create_task(asyncio.sleep(seconds))

    def add_callback(self, callback: Callable[[Any], None]) -> None:
        self._task.add_done_callback(lambda _: callback(self))

    def exception(self, timeout: float | None = 0.0) -> BaseException | None:  # noqa: ARG002 # bluesky's protocol
        return self._task.exception()

    @property
    def done(self) -> bool:
        return self._task.done()

    @property
    def success(self) -> bool:
        return self._task.done() and self._task.exception() is None


class Pump:
    """Gives a volume; whether that may be repeated is what is compared."""

    parent = None
    action_classes: ClassVar[dict[str, str]] = {"trigger": "cumulative"}

    def __init__(self) -> None:
        self.name = "pump"

    def trigger(self) -> Done:
        return Done(1.0)

    def read(self) -> dict[str, Any]:
        return {"pump": {"value": 1.0, "timestamp": current_time()}}

    def describe(self) -> dict[str, Any]:
        return {"pump": {"source": "sim", "dtype": "number", "shape": []}}


class HarmlessPump(Pump):
    """The same, said to be harmless."""

    action_classes: ClassVar[dict[str, str]] = {"trigger": "read"}


class BenchLab(sdl.Lab):
    """A pump."""

    is_simulated = True


@contextmanager
def store(level: str) -> Generator[Journal]:
    """Yield a journal: of a new store that syncs as *level* says, or in memory."""
    if level == "memory":
        yield MemoryJournal()
        return
    pragmas = {"journal_mode": "wal", "synchronous": LEVELS[level], "foreign_keys": 1, "mmap_size": 0}
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(sqlite, "_WRITER_PRAGMAS", pragmas),
        open_journal(Path(folder) / "bench.sdl") as journal,
    ):
        yield journal


def commits(level: str, n: int) -> Callable[[], float]:
    """Return what measures milliseconds per commit."""

    def measure() -> float:
        with store(level) as journal:
            started = time.perf_counter()
            for i in range(n):
                journal.append(Entry(Comment(text=str(i)), "bench"))
            return 1e3 * (time.perf_counter() - started) / n

    return measure


def trials(level: str, pump: type[Pump], n: int, n_acts: int) -> Callable[[], float]:
    """Return what measures milliseconds per trial of *n_acts* acts."""

    def experiment(lab: Any, s: Any) -> Plan:
        for _ in range(n_acts):
            yield from bps.trigger(lab.pump, wait=True)
        return {"y": sdl.Measurement(s["x"])}

    def measure() -> float:
        with store(level) as journal, BenchLab("bench", clock=sdl.VirtualClock(), pump=pump()) as lab:
            campaign = sdl.Campaign(
                "bench",
                space=sdl.SearchSpace(x=sdl.Continuous(0.0, 1.0)),
                objective=sdl.Minimize("y"),
                planner=SpaceFillingFallback(),
                experiment=experiment,
                lab=lab,
                seed=SEED,
                journal=journal,
                progress=False,
            )
            campaign.run(trials=1)
            started = time.perf_counter()
            campaign.run(trials=1 + n)
            return 1e3 * (time.perf_counter() - started) / n

    return measure


def main() -> None:
    """Measure, print, write."""
    given = parser(__doc__).parse_args()
    n_repeats, n_commits, n_trials = (1, 20, 2) if given.smoke else (3, 300, 10) if given.quick else (7, 1000, 20)
    found = environment()
    print_environment(found)
    print(f"seed {SEED}, {n_repeats} repeats, {n_commits} commits, {n_trials} trials\n")

    levels = (*LEVELS, "memory")
    by_level = alternate(n_repeats, *(commits(level, n_commits) for level in levels))
    per_commit = {level: Spread.of(values) for level, values in zip(levels, by_level, strict=True)}
    print_table(
        "Milliseconds per commit",
        ["synchronous", "ms"],
        [[level, spread.written()] for level, spread in per_commit.items()],
    )

    n_acts = 10
    cases: dict[str, tuple[str, type[Pump], int]] = {
        "one act, on the disk, recorded": ("FULL", Pump, 1),
        "one act, in memory, recorded": ("memory", Pump, 1),
        "one act, on the disk, not recorded": ("FULL", HarmlessPump, 1),
        "one act, in memory, not recorded": ("memory", HarmlessPump, 1),
        f"{n_acts} acts, on the disk, recorded": ("FULL", Pump, n_acts),
        f"{n_acts} acts, on the disk, not recorded": ("FULL", HarmlessPump, n_acts),
    }
    measured = alternate(n_repeats, *(trials(level, pump, n_trials, acts) for level, pump, acts in cases.values()))
    per_trial = {case: Spread.of(values) for case, values in zip(cases, measured, strict=True)}
    print_table(
        "Milliseconds per trial", ["trial", "ms"], [[case, spread.written()] for case, spread in per_trial.items()]
    )
    *_, recorded, plain = per_trial.values()
    per_act = (recorded.median - plain.median) / n_acts
    print(f"An act that may not be repeated costs {per_act:.3g} ms more than one that may: two commits, mostly.")
    results = {
        "environment": found,
        "seed": SEED,
        "ms_per_commit": {level: spread.median for level, spread in per_commit.items()},
        "ms_per_trial": {case: spread.median for case, spread in per_trial.items()},
        "ms_per_act": per_act,
    }
    write_json(given.json, results)


if __name__ == "__main__":
    main()
