"""Asking planners again what they were asked then: a planner is a function, so the same answers must come.

A request is made of recorded data alone: the problem, the history before the proposal, the campaign's seed. Where the
answer differs from what is in the journal, the software is another, or the planner is no function of its arguments.
Values are compared bit for bit; that can be expected of the same versions on the same kind of processor.
"""

from __future__ import annotations

import json
import platform
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pydantic import JsonValue

from sdl.campaign.budget import Budget
from sdl.campaign.fallback import SpaceFillingFallback
from sdl.campaign.planner import History, Planner, Situation
from sdl.campaign.planning import Request, request_seed, spec_of
from sdl.campaign.recorder import installed
from sdl.campaign.view import FOLDED, CampaignView, only_campaign
from sdl.errors import SdlError
from sdl.journal.protocol import Journal
from sdl.journal.records import Divergence, Event, ParameterValue, ProposalsReplayed, TrialProposed
from sdl.journal.trust import TrialAssigned

OURS = ("sdl",)
"""Packages from which a replay imports planners unless told otherwise: importing a module runs it."""

_N_KEPT = 32
"""A planner on the wall clock thinks while trials end; so many states of the history are looked through for its own."""

_STILL = frozenset({"trial.started", "trial.assigned"})
"""What happens to a trial and changes nothing that a planner is told."""


class Asked(NamedTuple):
    """One request of a campaign as the journal tells it, and what was answered.

    Parameters
    ----------
    request
        What the planner was given.
    described
        The planner, as it is in the journal.
    trials, proposals
        The answer.
    """

    request: Request
    described: Mapping[str, JsonValue]
    trials: tuple[int, ...]
    proposals: tuple[TrialProposed, ...]


def replay_proposals(
    journal: Journal, campaign: str | None = None, *, planner: Planner | None = None, modules: Sequence[str] = OURS
) -> ProposalsReplayed:
    """Ask again for every proposal of a campaign, and compare.

    Parameters
    ----------
    campaign
        Which; the only one, where it is left out.
    planner
        Who is asked; by default each planner that the journal names is made anew.
    modules
        From which packages planners are imported.

    Returns
    -------
    ProposalsReplayed
        What agreed and what did not; append it to the journal to have it on record.
    """
    makers = _Makers(planner, tuple(modules))
    n_same = 0
    divergences: list[Divergence] = []
    left_out: dict[str, str] = {}
    for asked in requests(journal, campaign):
        made = makers.planner_of(asked)
        if isinstance(made, str):
            left_out |= {str(trial): made for trial in asked.trials}
            continue
        found = _differing(asked, made)
        divergences += found
        n_same += len(asked.trials) - len(found)
    return ProposalsReplayed(
        n_same=n_same,
        divergences=tuple(divergences),
        left_out=left_out,
        versions=installed(),
        machine=f"{platform.system()} {platform.machine()}",
    )


def requests(journal: Journal, campaign: str | None = None) -> Iterator[Asked]:
    """Yield every request that a planner of *campaign* was given, oldest first."""
    name = campaign or only_campaign(journal)
    events = list(journal.read(campaign=name, kinds=FOLDED))
    assigned = {event.trial for event in events if isinstance(event.body, TrialAssigned)}
    view = CampaignView(name)
    histories: deque[History] = deque(maxlen=_N_KEPT)
    for index, event in enumerate(events):
        if _is_answer(event, assigned) and not (index and _follows(events[index - 1], event, assigned)):
            yield _asked(view, histories, _batch(events[index:], assigned))
        if event.kind.startswith("trial.") and event.kind not in _STILL:
            histories.append(view.history)
        view.apply(event)


def _is_answer(event: Event, assigned: set[int | None]) -> bool:
    return event.kind == "trial.proposed" and event.trial not in assigned


def _follows(before: Event, event: Event, assigned: set[int | None]) -> bool:
    """Tell whether *event* is of the same answer as the one before it: they were recorded together."""
    return _is_answer(before, assigned) and event.sequence == before.sequence + 1


def _batch(events: Sequence[Event], assigned: set[int | None]) -> list[Event]:
    batch = [events[0]]
    for event in events[1:]:
        if not (_is_answer(event, assigned) and _follows(batch[-1], event, assigned)):
            break
        batch.append(event)
    return batch


def _asked(view: CampaignView, before: Sequence[History], batch: Sequence[Event]) -> Asked:
    proposals = tuple(event.body for event in batch if isinstance(event.body, TrialProposed))
    first, n = proposals[0], len(proposals)
    budget = Budget.from_data(view.settings.get("budget") or {})
    context = {name: first.values[name] for name in view.problem.space.contextual}
    request = Request(
        problem=view.problem,
        history=_known_then([view.history, *reversed(before)], first),
        n=n,
        situation=Situation(context=context, n_free_slots=n, n_trials_left=budget.trials_left(view)),
        seed=request_seed(view.seed, view.n_proposed),
    )
    return Asked(request, view.planner, tuple(event.trial or 0 for event in batch), proposals)


def _known_then(histories: Sequence[History], first: TrialProposed) -> History:
    """Return the latest of *histories*, newest first, that has as many trials as the decision says it has seen."""
    for history in histories:
        seen = (len(history.completed), len(history.pending))
        if seen == (first.decision.n_observed, first.decision.n_pending):
            return history
    return histories[0]


def _differing(asked: Asked, planner: Planner) -> list[Divergence]:
    request, error = asked.request, ""
    found: list[Mapping[str, ParameterValue]] = []
    try:
        answer = planner.suggest(
            request.problem, request.history, request.n, situation=request.situation, seed=request.seed
        )
        found = [each.values for each in answer]
    except Exception as raised:  # noqa: BLE001 # the border: whatever the planner raises now is what it answers
        error = f"{type(raised).__name__}: {raised}"
    replayed = [*found, *[None] * len(asked.trials)]
    return [
        Divergence(trial=trial, recorded=proposed.values, replayed=now, error=error)
        for trial, proposed, now in zip(asked.trials, asked.proposals, replayed, strict=False)
        if now is None or dict(now) != dict(proposed.values)
    ]


class _Makers:
    """Makes each planner once."""

    def __init__(self, planner: Planner | None, modules: tuple[str, ...]) -> None:
        self._given = planner
        self._modules = modules
        self._made: dict[str, Planner | str] = {}

    def planner_of(self, asked: Asked) -> Planner | str:
        """Return who answered, or why nobody can be asked again."""
        decision = asked.proposals[0].decision
        if decision.fallback_from is not None:
            fallback = SpaceFillingFallback()
            return fallback if decision.planner == fallback.name else f"a fall-back answered: {decision.planner}"
        if self._given is not None:
            return self._given
        key = json.dumps(dict(asked.described), sort_keys=True)
        if key not in self._made:
            self._made[key] = self._make(asked.described)
        return self._made[key]

    def _make(self, described: Mapping[str, JsonValue]) -> Planner | str:
        spec = spec_of(described)
        if spec is None:
            return f"planner {described.get('name')} is no value of an importable module"
        if not any(spec.module == name or spec.module.startswith(f"{name}.") for name in self._modules):
            return f"module {spec.module} is not among {', '.join(self._modules)}"
        try:
            return spec.make()
        except (SdlError, ImportError, AttributeError, ValueError) as error:
            return f"{spec.module}:{spec.name} cannot be made: {error}"
