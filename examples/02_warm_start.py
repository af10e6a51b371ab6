"""The same campaign, begun with twelve prior films: the planner skips the space-filling trials.

The prior films lie in ``seeds/thin-film-prior``, with their origin and licence. They were made by the simulated
laboratory itself, and say so.
"""

from __future__ import annotations

from pathlib import Path

import sdl
from sdl.planners import BayesianPlanner
from sdl.simulators import ThinFilmLab

PRIOR = Path(__file__).parent.parent / "seeds" / "thin-film-prior"


def main() -> None:
    """Run ten trials after the twelve of the seed."""
    with ThinFilmLab(seed=7) as lab:
        campaign = sdl.Campaign(
            "warm-start",
            space=lab.space(),
            objective=lab.objective,
            planner=BayesianPlanner(seed=7),
            experiment=lab.deposit_and_measure,
            lab=lab,
            seed_data=[sdl.load_seed(PRIOR)],
        )
        campaign.run(trials=10)
        print(campaign.best)


if __name__ == "__main__":
    main()
