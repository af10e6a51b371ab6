"""The campaign that the resume tests run, kill and run again, as ``arguments.json`` in its folder says."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
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


def main(folder: str) -> None:
    """Run the campaign; where nothing says how, one trial."""
    told = Path(folder) / "arguments.json"
    arguments: list[Any] = json.loads(told.read_text()) if told.exists() else [f"{folder}/store.sdl", 1]
    run(*arguments)


def run(
    store: str, trials: int, kind: str = "", trial: int = 0, on_unknown: str = "redo", how: str = "SIGKILL"
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
        progress=Killer(kind, trial, how),
    )
    print(campaign.run(trials=trials))
    lab.close()
