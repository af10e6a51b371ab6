"""The Bayesian planner: learns from the trials, and proposes where most improvement can be expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field

from sdl.campaign.planner import History, HistoryEntry, Situation, Suggestion
from sdl.errors import PlannerError
from sdl.journal.beliefs import ModelSummary
from sdl.journal.records import Decision, ParameterValue, Prediction
from sdl.journal.trust import Role
from sdl.planners.approximations import cheapest, settled
from sdl.planners.assumed import Additive, Assumptions, Mode, Monotonic, Reference, Watch
from sdl.planners.domain import Domain
from sdl.planners.encoding import Encoding
from sdl.planners.first_points import check_named, favoured_points, named_points
from sdl.planners.framing import Question, framed, with_pending
from sdl.planners.space_filling import blank_decision, placed, sobol_points
from sdl.problem import Price, Problem
from sdl.problem.value import FrozenMap, Tuple, Value

if TYPE_CHECKING:
    from sdl.planners.gaussian_process import BotorchModel
    from sdl.planners.proposal import Request
    from sdl.planners.robust import Risk


MOST_INITIAL = 20
"""So many first points at most: where parameters are many, a model that knows little chooses better than chance."""


class BayesianPlanner(Value):
    """Proposes where Gaussian processes expect the most improvement.

    Begins with a Sobol sequence. From then on every outcome is modelled by a Gaussian process, on a linear or a bent
    scale, whichever the data speak for, and the suggestion is the point of the greatest expected improvement: log EI
    for one objective, its noisy form under noise, constraints or pending trials, hypervolume improvement for several.
    Standard errors of measurements are used where they are given; noise beyond them is inferred, from repeated
    measurements of a point above all. Failed trials make their neighbourhood less attractive.

    Parameters
    ----------
    seed
        Makes two planners in one campaign differ.
    n_initial
        How many trials are completed or under way before the model decides; seed data count. None: between 4 and 20,
        by the number of free parameters, more of them in a finite space or with a choice among more than two.
    expert_points
        Points that a person wants tried first, in his order, before any other: mappings of the free parameters to
        values in their units, or to texts with a unit. They count as trials before the model.
    prior_mean
        Outcome to ``"package.module:function"``: a model of your own. It is called with a list of points (mappings of
        all parameters to values in their units) and returns one number for each, in the outcome's unit. The planner
        learns where the outcome differs from it, and drops it where it misleads.
    monotonic
        Outcomes that only rise or only fall with a parameter.
    additive
        Outcomes that are sums of functions of groups of parameters.
    drift
        Whether outcomes may change with time by themselves: predictions are then for now. ``"auto"``: where the data
        speak for it.
    outliers
        Whether single measurements may be wrong beyond all noise; those that seem to be get less weight, and the
        summary of the model names them. One that is better than expected is never among them. From 12 measurements on.
    noise
        Whether the noise may depend on the place. From 12 measurements on; ``"auto"``: where the data speak for it
        clearly, ``"yes"``: where they speak for it at all.
    price
        What a trial costs. None: what the experiment says, where its ``cost`` is a :class:`~sdl.Price`.
    thrift
        How much the price counts: 0 for value alone, 1 for value for money. None: with a budget of cost, the part of it
        that is left; 1 where approximations of a target can be chosen; else 0.
    missed_by
        Continuous parameter to the standard deviation with which its set-point is missed: in its unit, relative (0.05
        for 5 %) for a logarithmic one. What is sought is then good although set-points are missed.
    worst
        With *missed_by*, the part of the outcomes around a set-point that counts: 1 for their mean, 0.1 for the mean of
        the worst tenth.
    """

    seed: Annotated[int, Field(ge=0)] = 0
    n_initial: Annotated[int, Field(ge=2)] | None = None
    expert_points: Tuple[FrozenMap[ParameterValue]] = ()
    prior_mean: FrozenMap[Reference] = Field(default_factory=dict[str, str])
    monotonic: Tuple[Monotonic] = ()
    additive: Tuple[Additive] = ()
    drift: Mode = "auto"
    outliers: Watch = "no"
    noise: Mode = "no"
    price: Price | None = None
    thrift: Annotated[float, Field(ge=0, le=1)] | None = None
    missed_by: FrozenMap[Annotated[float, Field(gt=0)]] = Field(default_factory=dict[str, float])
    worst: Annotated[float, Field(gt=0, le=1)] = 1.0
    version: ClassVar[str] = "1"

    @property
    def name(self) -> str:
        """The name that decision records carry."""
        return "Bayesian"

    def check(self, problem: Problem) -> None:
        """Raise :class:`~sdl.errors.PlannerError` where what this planner was told does not fit *problem*."""
        check_named(problem.space, self.expert_points)
        self._assumptions.check(problem)

    def suggest(
        self, problem: Problem, history: History, n: int, *, situation: Situation, seed: int
    ) -> list[Suggestion]:
        """Return *n* suggestions; fewer where the space holds no more new points."""
        situation = situation if self.price is None else situation.replace(price=self.price)
        return framed(Question(problem, history, n, situation, seed), self._answer)

    def _answer(self, question: Question) -> list[Suggestion]:
        """Return suggestions with the values that the question holds."""
        problem, history, n = question.problem, question.history, question.n
        domain = Domain(problem.space, question.situation.context, self._held(question))
        decision = blank_decision(self.name, self.version, history, question.seed, "")
        suggestions = self._named(domain, history, n, decision)
        propose = partial(self._propose, situation=question.situation)
        for more in (self._favoured, self._fill, propose):
            missing = n - len(suggestions)
            if missing:
                suggestions += more(problem, with_pending(history, suggestions), missing, domain, decision)
        return suggestions

    def _held(self, question: Question) -> Mapping[str, ParameterValue]:
        """Return the values that are settled: those of a batch, and at which approximation the first trials are."""
        problem, situation = question.problem, question.situation
        if not problem.space.targets:
            return question.held
        at_first = {**cheapest(problem.space, situation.price), **question.held}
        domain = Domain(problem.space, situation.context, at_first)
        is_filling = self._n_filling(problem, question.history, 1, domain) > 0
        return {**settled(problem.space, question.history, situation, is_filling=is_filling), **question.held}

    def _named(self, domain: Domain, history: History, n: int, decision: Decision) -> list[Suggestion]:
        """Return up to *n* of the points that a person wants tried first."""
        points = named_points(domain, history, self.expert_points, n)
        named = decision.replace(note="Named by a person, to be tried before anything else.")
        return [Suggestion(values=point, decision=named) for point in points]

    def _favoured(
        self, problem: Problem, history: History, n: int, domain: Domain, decision: Decision
    ) -> list[Suggestion]:
        """Return what the user's model favours, for every second of the points that come before ours decides."""
        objective = problem.objectives[0]
        model = self._assumptions.of(problem)[objective.outcome].model
        n_favoured = -(-self._n_filling(problem, history, n, domain) // 2)
        if model is None or not n_favoured or (n == 1 and len(history.entries) % 2):
            return []
        rng = np.random.default_rng([self.seed, decision.seed, len(history.entries)])
        points = favoured_points(domain, history, model, objective, n=n_favoured, rng=rng)
        favoured = decision.replace(note="Before there are enough data. The prior mean favours this point.")
        return [Suggestion(values=point, decision=favoured) for point in points]

    def predict(
        self, problem: Problem, history: History, points: Sequence[Mapping[str, ParameterValue]]
    ) -> list[dict[str, Prediction]]:
        """Return what a measurement at each of *points* is expected to give; deviations include the noise.

        Raises
        ------
        PlannerError
            An outcome was never measured.
        """
        _require_measurements(problem, history)
        from sdl.planners import proposal  # noqa: PLC0415 # an import that only a model pays for

        return proposal.predict(problem, history, points, self._assumptions.of(problem))

    def explain(
        self, problem: Problem, history: History, *, context: Mapping[str, ParameterValue] | None = None
    ) -> dict[str, ModelSummary]:
        """Return what the model of every outcome is like: lengthscales, noise, calibration, sensitivity to parameters.

        Raises
        ------
        PlannerError
            An outcome was never measured.
        """
        _require_measurements(problem, history)
        from sdl.planners import proposal  # noqa: PLC0415 # an import that only a model pays for

        context = context if context is not None else history.completed[-1].values
        domain = Domain(problem.space, {name: context[name] for name in problem.space.contextual})
        return proposal.explain(problem, history, domain, self._assumptions.of(problem))

    def to_botorch(self, problem: Problem, history: History) -> BotorchModel:
        """Return the model of what *history* says in BoTorch's form, for an acquisition function of your own.

        Importing PyTorch takes seconds; the planner itself does without.

        Raises
        ------
        PlannerError
            An outcome was never measured, or the history cannot be modelled.
        """
        _require_measurements(problem, history)
        from sdl.planners import gaussian_process, proposal  # noqa: PLC0415 # imports that only a model pays for

        surrogate = proposal.model_of(problem, history, self._assumptions.of(problem))
        return gaussian_process.BotorchModel.of(surrogate, Encoding(problem.space))

    def recommend(self, problem: Problem, history: History) -> HistoryEntry:
        """Return the trial to rely on: that of the best expected outcome, without the luck of its own measurement.

        With :attr:`missed_by`, that of the best outcomes around it. Only trials of the campaign itself that keep the
        constraints, and were measured at what counts, come into question.

        Raises
        ------
        PlannerError
            There is no such trial, or there are several objectives.
        """
        _require_measurements(problem, history)
        if len(problem.objectives) > 1:
            raise PlannerError("several objectives have no single best trial", hint="ask the campaign for its pareto")
        from sdl.planners import proposal  # noqa: PLC0415 # an import that only a model pays for

        return proposal.recommended(problem, history, self._risk, self._assumptions.of(problem))

    @property
    def _assumptions(self) -> Assumptions:
        return Assumptions(**{name: getattr(self, name) for name in Assumptions.model_fields})

    def _n_filling(self, problem: Problem, history: History, n: int, domain: Domain) -> int:
        """Return how many of *n* points are still to fill the space."""
        wanted = self.n_initial or _n_first(domain)
        completed = [entry for entry in placed(domain, history.completed) if entry.measures(problem.outcomes)]
        n_different = len(np.unique(domain.encoding.encode([entry.values for entry in completed]), axis=0))
        # While most of the first points are still being measured, a model of the few others would choose badly.
        if n_different < 2 or len(completed) < wanted / 2:
            return n
        # Controls and replicates tell of the noise, and leave the space as empty as it was.
        n_tried = sum(entry.role is Role.SEARCH for entry in (*completed, *history.pending))
        return min(n, max(0, wanted - n_tried))

    def _fill(self, problem: Problem, history: History, n: int, domain: Domain, decision: Decision) -> list[Suggestion]:
        n = self._n_filling(problem, history, n, domain)
        if not n:
            return []
        points, note = sobol_points(domain, history, n, own_seed=self.seed, seed=decision.seed)
        decision = decision.replace(note=f"Before there is a model. {note}")
        return [Suggestion(values=point, decision=decision) for point in points]

    def _propose(  # noqa: PLR0917 # as its siblings, and the situation
        self,
        problem: Problem,
        history: History,
        n: int,
        domain: Domain,
        decision: Decision,
        situation: Situation,
    ) -> list[Suggestion]:
        from sdl.planners import price, proposal  # noqa: PLC0415 # as above

        chance = np.random.SeedSequence([self.seed, decision.seed, len(history.entries)]).generate_state(1)[0]
        request = proposal.Request.of(problem, history, domain, int(chance), self._assumptions.of(problem))
        spending = price.Spending.of(problem, history, situation, self.thrift)
        return proposal.propose(self._prepared(request.paying(spending, self._risk)), n, decision)

    def _prepared(self, request: Request) -> Request:
        """Return what is asked of the models; other planners ask for something else."""
        return request

    @property
    def _risk(self) -> Risk | None:
        from sdl.planners.robust import Risk  # noqa: PLC0415 # as above

        return Risk(self.missed_by, self.worst) if self.missed_by else None


def _n_first(domain: Domain) -> int:
    """Return how many trials there are before the model.

    A model of few points chooses better than chance where neighbours resemble each other; in a finite space, and where
    there is a choice among more than two, it must have seen some of them first.
    """
    n = domain.n_free
    wanted = min(2 * n, n + 4) if domain.encoding.has_levels else 2 + -(-n // 2)
    return min(MOST_INITIAL, max(4, wanted))


def _require_measurements(problem: Problem, history: History) -> None:
    encoding = Encoding(problem.space)
    known = [entry for entry in history.completed if encoding.can_encode(entry.values) and entry.observation]
    for name in problem.outcomes:
        if not any(entry.observation and name in entry.observation.outcomes for entry in known):
            raise PlannerError(f"outcome {name!r} cannot be predicted: it was never measured", hint="run a trial")
