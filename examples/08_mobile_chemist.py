"""A mobile robot looks for a photocatalyst: batches on stations that work side by side.

Ten components, eight places, one robot. While four vials are measured, the next four are lit and four more are weighed;
the planner hears of each batch as soon as it is done, and knows of those that are still under way.
"""

from __future__ import annotations

import sdl
from sdl.planners import BayesianPlanner
from sdl.simulators import MobileChemistLab


def main() -> None:
    """Make 60 mixtures, in less than a day of laboratory time; one by one they would take four."""
    with MobileChemistLab(seed=7) as lab:
        campaign = sdl.Campaign(
            "photocatalysts",
            space=lab.space(),
            objective=lab.objective,
            planner=BayesianPlanner(seed=7),
            experiment=lab.experiment(size=4, patience="5 min"),
            lab=lab,
            in_flight=12,
            progress=False,
        )
        campaign.run(trials=60)
        print(campaign.best)
        print(f"{len(campaign.trials)} trials in {campaign.view.lab_seconds / 86_400:.2f} days")


if __name__ == "__main__":
    main()
