"""Align a pair of focusing mirrors by themselves, then map a sample with the spot.

Both campaigns run on the same simulated beamline: first eight axes, a picture each time; then two axes and a counter,
where the planner looks for the whole map and not for its highest point.
"""

from __future__ import annotations

import sdl
from sdl.planners import ActiveLearningPlanner, BayesianPlanner
from sdl.simulators import BeamlineLab


def main() -> None:
    """Run 48 settings of the mirrors, a few minutes of beam time, and 16 points of the map."""
    with BeamlineLab(seed=7) as lab:
        alignment = sdl.Campaign(
            "alignment",
            space=lab.space(),
            objective=lab.objective,
            planner=BayesianPlanner(seed=7),
            experiment=lab.align,
            lab=lab,
            progress=False,
        )
        alignment.run(trials=48)
        best = alignment.best
        assert best is not None
        print(f"alignment: {best}")
        print(f"  {alignment.view.lab_seconds / 60:.1f} minutes; perfect mirrors would have {lab.best():.2f}")

        lab.run(lab.align, best.values)  # leave the mirrors there
        mapping = sdl.Campaign(
            "map",
            space=lab.mapping_space(),
            objective=lab.mapping_objective,
            planner=ActiveLearningPlanner(seed=7),
            experiment=lab.map_point,
            lab=lab,
            progress=False,
        )
        mapping.run(trials=16)
        print(f"map: {len(mapping.trials)} points in {mapping.view.lab_seconds / 60:.1f} minutes")


if __name__ == "__main__":
    main()
