"""Make powders of a list of compounds; after each firing, look by X-rays what formed, and improve the recipe.

The planner is written here, in forty lines: any object with a name and ``suggest`` is one. It works through the targets
that are not made yet, the least tried first, and draws its conclusions as a chemist would: too little reacted, fire
hotter; no better for being hotter, take another source.
"""

from __future__ import annotations

from collections.abc import Mapping

import sdl
from sdl.campaign.planner import History, HistoryEntry, Situation, Suggestion
from sdl.journal.records import Decision
from sdl.problem import Problem
from sdl.simulators import PowderLab

GOAL = 0.5
SOURCES = (("usual", "usual"), ("other", "usual"), ("usual", "other"), ("other", "other"))
Recipe = dict[str, float | str]


class TargetByTarget:
    """Improves the recipe of one target after the other until each has been made."""

    name = "target by target"

    def __init__(self, targets: tuple[str, ...]) -> None:
        self.targets = targets

    def suggest(
        self,
        problem: Problem,  # noqa: ARG002 # the protocol's arguments: this planner knows its problem
        history: History,
        n: int,
        *,
        situation: Situation,  # noqa: ARG002 # likewise
        seed: int,
    ) -> list[Suggestion]:
        """Return up to *n* recipes, each for another target."""
        tried: dict[str, list[HistoryEntry]] = {target: [] for target in self.targets}
        for entry in history.entries:
            tried[str(entry.values["target"])].append(entry)
        waiting = {entry.values["target"] for entry in history.pending}
        open_targets = [t for t in tried if t not in waiting and not any(yield_of(e) >= GOAL for e in tried[t])]
        chosen = sorted(open_targets, key=lambda target: len(tried[target]))[:n]
        return [self._suggestion(target, tried[target], history, seed) for target in chosen]

    def _suggestion(self, target: str, entries: list[HistoryEntry], history: History, seed: int) -> Suggestion:
        recipe, note = improved(entries)
        decision = Decision(
            planner=self.name,
            version="1",
            seed=seed,
            n_observed=len(history.completed),
            n_pending=len(history.pending),
            note=note,
        )
        return Suggestion(values={"target": target, **recipe}, decision=decision)


def yield_of(entry: HistoryEntry) -> float:
    return 0.0 if entry.observation is None else entry.observation.outcomes["yield"].value


def improved(entries: list[HistoryEntry]) -> tuple[Recipe, str]:
    """Return the next recipe for a target, and why."""
    if not entries:
        return recipe_at(0, 900.0), "first try"
    last = entries[-1]
    n_changes = len({(e.values["first"], e.values["second"]) for e in entries})
    same = [e for e in entries if sources_of(e.values) == sources_of(last.values)]
    hotter = float(last.values["temperature"]) + 100.0
    is_stuck = len(same) > 1 and yield_of(last) < yield_of(same[-2]) + 0.05
    if hotter <= 1200.0 and not is_stuck:
        return {**recipe_at(0, hotter), **sources_of(last.values)}, f"{yield_of(last):.0%} made: hotter"
    cooler = 700.0 if yield_of(last) < yield_of(same[0]) else 1000.0
    return recipe_at(n_changes, cooler), "no better for being hotter: another source"


def sources_of(values: Mapping[str, float | str]) -> Recipe:
    return {"first": values["first"], "second": values["second"]}


def recipe_at(choice: int, temperature: float) -> Recipe:
    first, second = SOURCES[choice % len(SOURCES)]
    return {"first": first, "second": second, "temperature": temperature, "hours": 8.0}


def main() -> None:
    """Try up to thirty recipes for six targets."""
    targets = ("BaTiO3", "LaFeO3", "MgAl2O4", "ZnFe2O4", "LiMn2O4", "LiCoO2")
    with PowderLab(seed=4) as lab:
        campaign = sdl.Campaign(
            "powders",
            space=lab.space(*targets),
            objective=lab.objective,
            planner=TargetByTarget(targets),
            experiment=lab.make_and_measure,
            lab=lab,
            progress=False,
        )
        campaign.run(trials=20)
        for target in targets:
            trials = [trial for trial in campaign.trials if trial.values["target"] == target]
            best = max(trials, key=lambda t: t.observation.outcomes["yield"].value if t.observation else 0.0)
            print(f"{target}: {len(trials)} recipes, best {best}")
        print(f"{len(campaign.trials)} trials in {campaign.view.lab_seconds / 86_400:.1f} days")


if __name__ == "__main__":
    main()
