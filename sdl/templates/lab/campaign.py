"""The campaign: what is varied, what is wanted, and who proposes. Run it again: it goes on where it stopped."""

import sys

from lab import NAME, make_lab
from plan import mix_and_measure

from sdl import Campaign, Continuous, Lab, Maximize, SearchSpace
from sdl.planners import BayesianPlanner


def make_campaign(lab: Lab, **more) -> Campaign:
    """Return the campaign on *lab*; *more* goes to `Campaign`."""
    return Campaign(
        NAME,
        space=SearchSpace(
            temperature=Continuous(15, 65, unit="degC"),
            ligand=Continuous(0.05, 0.95),  # the fraction that comes from the ligand's bottle
        ),
        objective=Maximize("absorbance"),
        planner=BayesianPlanner(),
        experiment=mix_and_measure,
        lab=lab,
        seed=7,
        **more,
    )


def main(trials: int) -> None:
    """Run the campaign in simulation, and print the best trial."""
    with make_lab(simulated=True, seed=7) as lab:
        campaign = make_campaign(lab)
        print(campaign.run(trials=trials))
        print(campaign.best)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
