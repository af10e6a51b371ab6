"""Eight mini-reactors, and two ways to measure: cheap and rough for all, dear and exact for those that are worth it.

What the soft sensor finds hopeless is not sent to the chromatograph; the planner gets the estimate instead, with its
large standard error. A contaminated reactor fails its own trial, and no other.
"""

from __future__ import annotations

import sdl
from sdl.planners import BayesianPlanner
from sdl.simulators import BioprocessFaults, BioprocessLab


def main() -> None:
    """Cultivate four times eight."""
    with BioprocessLab(seed=7, faults=BioprocessFaults(contamination=0.05)) as lab:
        campaign = sdl.Campaign(
            "titre",
            space=lab.space(),
            objective=lab.objective,
            planner=BayesianPlanner(seed=7),
            experiment=lab.experiment(hopeless=2.0),
            lab=lab,
            in_flight=8,
            progress=False,
        )
        campaign.run(trials=32)
        failed = sum(trial.failure is not None for trial in campaign.trials)
        print(campaign.best)
        days = campaign.view.lab_seconds / 86_400
        print(f"{len(campaign.trials)} trials in {days:.1f} days, {failed} contaminated")


if __name__ == "__main__":
    main()
