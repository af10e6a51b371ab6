"""Opening a campaign in a journal, or making sure that it is the one that the journal has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from pydantic import JsonValue

from sdl.campaign.concluding import Rules
from sdl.campaign.planner import Planner
from sdl.campaign.view import CampaignView
from sdl.errors import CampaignError
from sdl.journal.protocol import Journal
from sdl.journal.records import CampaignChanged, CampaignOpened, Entry, SeedAdded, SeedRow
from sdl.journal.seeds import SeedData
from sdl.lab import Experiment
from sdl.problem import Problem
from sdl.problem.value import Value


@dataclass(frozen=True)
class Opening:
    """What a campaign says of itself when it opens.

    Parameters
    ----------
    name, problem, seed
        What is asked: that stays.
    seed_data
        What the planner learns from.
    planner, lab, settings
        How it is asked: a later session may do it otherwise.
    """

    name: str
    problem: Problem
    seed: int
    seed_data: Sequence[SeedData]
    planner: Mapping[str, JsonValue]
    lab: Mapping[str, JsonValue]
    settings: Mapping[str, JsonValue]

    def record(self, journal: Journal, view: CampaignView) -> None:
        """Record what the journal does not have. Raises CampaignError where it has another campaign of that name."""
        opened = view.opened
        if opened is None:
            body = CampaignOpened(
                problem=self.problem,
                problem_digest=self.problem.digest,
                seed=self.seed,
                planner=self.planner,
                lab=self.lab,
                settings=self.settings,
            )
            journal.append(Entry(body=body, campaign=self.name))
        else:
            self._check_same(opened)
            if (view.planner, view.lab, view.settings) != (self.planner, self.lab, self.settings):
                changed = CampaignChanged(planner=self.planner, lab=self.lab, settings=self.settings)
                journal.append(Entry(body=changed, campaign=self.name))
        journal.append(*[self._seed_entry(data) for data in self.seed_data if data.name not in view.seed_names])
        view.catch_up(journal)

    def _check_same(self, opened: CampaignOpened) -> None:
        if opened.problem_digest != self.problem.digest:
            raise CampaignError(
                f"campaign {self.name!r} was begun with another problem: {_differences(opened.problem, self.problem)}",
                hint="give the changed campaign another name, or seed it with the old one's data",
            )
        if opened.seed != self.seed:
            raise CampaignError(
                f"campaign {self.name!r} was begun with seed {opened.seed}, not {self.seed}",
                hint="give the changed campaign another name",
            )

    def _seed_entry(self, data: SeedData) -> Entry:
        rows = tuple(SeedRow(values=values, outcomes=outcomes) for values, outcomes in data.for_problem(self.problem))
        body = SeedAdded(name=data.name, origin=data.origin, licence=data.licence, rows=rows)
        return Entry(body=body, campaign=self.name)


def settings_of(
    rules: Rules, experiment: Experiment, deadline: float, fallback: Planner | None
) -> dict[str, JsonValue]:
    """Return what the journal keeps of the settings of a campaign."""
    unknown = rules.on_unknown
    settings: dict[str, JsonValue] = {
        "in_flight": rules.in_flight,
        "steps": [step.name for step in experiment.steps],
        "budget": rules.budget.model_dump(mode="json"),
        "stopping": [
            rule.model_dump(mode="json") if isinstance(rule, Value) else repr(rule) for rule in rules.stopping
        ],
        "on_failure": rules.on_failure.model_dump(mode="json"),
        "on_unknown": unknown if isinstance(unknown, str) else unknown.model_dump(mode="json"),
        "planner_deadline": deadline,
        "fallback": None if fallback is None else fallback.name,
    }
    if rules.quality is not None:
        settings["quality"] = rules.quality.model_dump(mode="json")
        settings["checks"] = [getattr(check, "__name__", type(check).__name__) for check in rules.checks]
    return settings


def _differences(old: Problem, new: Problem) -> str:
    """Name the first thing in which two problems differ."""
    for label, a, b in (
        ("parameters", old.space.parameters, new.space.parameters),
        ("constraints", old.space.constraints, new.space.constraints),
        ("candidate pool", old.space.pool, new.space.pool),
        ("objectives", old.objectives, new.objectives),
        ("outcome constraints", old.outcome_constraints, new.outcome_constraints),
    ):
        if a == b:
            continue
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            named_a, named_b = cast("Mapping[str, object]", a), cast("Mapping[str, object]", b)
            changed = [name for name in {**named_a, **named_b} if named_a.get(name) != named_b.get(name)]
            return f"{label} differ in {', '.join(changed) or 'their order'}"
        return f"{label} differ"
    return "they differ"
