"""A campaign that begins with nothing: minimise the resistance of a film on the simulated sputter system.

Run it twice: the second run goes on where the first one stopped, and has nothing left to do.
"""

from __future__ import annotations

import sdl
from sdl.planners import BayesianPlanner
from sdl.simulators import ThinFilmLab


def main() -> None:
    """Run sixteen trials, some 35 hours of laboratory time."""
    with ThinFilmLab(seed=7) as lab:
        campaign = sdl.Campaign(
            "cold-start",
            space=lab.space(),
            objective=lab.objective,
            planner=BayesianPlanner(seed=7),
            experiment=lab.deposit_and_measure,
            lab=lab,
        )
        campaign.run(trials=16)
        print(campaign.best)


if __name__ == "__main__":
    main()
