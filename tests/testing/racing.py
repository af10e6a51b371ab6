"""Two engines that want the same store at the same moment; one of them is killed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from sdl.testing import Acknowledgements, CheckReport, KillHarness, TruthJournal, check


class Raced(NamedTuple):
    """What became of a race.

    Parameters
    ----------
    was_killed
        Whether the first engine was killed; where it lost the race it may never come to the place.
    is_done
        Whether the other one came to the end.
    takeover
        Wall seconds from the kill to the first session after it; None where there was no kill.
    report
        What the checker says.
    """

    was_killed: bool
    is_done: bool
    takeover: float | None
    report: CheckReport


def race(engines: tuple[KillHarness, KillHarness], folder: Path, kill: str) -> Raced:
    """Start both at once, have the first killed at *kill*, and let the second go on to the end."""
    folder.mkdir()

    def first() -> tuple[bool, float]:
        return engines[0].run(folder, kill).was_killed, monotonic()

    with ThreadPoolExecutor(2) as pool:
        mortal, other = pool.submit(first), pool.submit(engines[1].run, folder)
        was_killed, died = mortal.result()
        ending = other.result()
    report = check(
        folder / "store.sdl",
        truth=TruthJournal(folder / "truth.jsonl"),
        acknowledged=Acknowledgements(folder / "acknowledged.jsonl"),
        are_runs_closed=True,
    )
    started = [float(line) for line in (folder / "started.txt").read_text().split()]
    after = [moment - died for moment in started if moment > died]
    return Raced(was_killed, ending.code == 0, after[0] if was_killed and after else None, report)
