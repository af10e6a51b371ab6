"""The script that the resume tests run, kill and run again: resumed.py STORE TRIALS [KILL_AT_EVENT KILL_AT_TRIAL]."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from toy import SPACE, ToyLab, measure

import sdl
from sdl.campaign.fallback import SpaceFillingFallback


class Killer:
    """Kills this process, as hard as can be, when a certain event of a certain trial has been recorded."""

    def __init__(self, kind: str, trial: int, how: str) -> None:
        self.kind, self.trial, self.how = kind, trial, how

    def notify(self, event: Any, view: Any) -> None:
        """Look for the moment."""
        if event.kind == self.kind and event.trial == self.trial:
            os.kill(os.getpid(), signal.Signals[self.how])

    def close(self, view: Any) -> None:
        """Nothing to end."""


def main(
    store: str, trials: str, kind: str = "", trial: str = "0", on_unknown: str = "redo", how: str = "SIGKILL"
) -> None:
    """Run the campaign."""
    lab = ToyLab(seed=3)
    lab.detector0.noise = 0.05
    if on_unknown != "redo":  # a measurement that uses something up: nobody can tell what a crash left of it
        lab.detector0.action_classes = {"trigger": "cumulative"}
    campaign = sdl.Campaign(
        "resumed",
        space=SPACE,
        objective=sdl.Minimize("signal", unit="V"),
        planner=SpaceFillingFallback(),
        experiment=measure,
        lab=lab,
        seed=11,
        journal=store,
        on_unknown=on_unknown,  # type: ignore[arg-type]
        progress=Killer(kind, int(trial), how),
    )
    print(campaign.run(trials=int(trials)))
    lab.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
