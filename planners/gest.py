"""Other people's generators as our planners: any generator of gest-api, and so every one of Xopt."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

import numpy as np
from pydantic import Field, JsonValue

from sdl.campaign.planner import History, Situation, Suggestion
from sdl.errors import PlannerError, SdlError
from sdl.journal.records import ParameterValue
from sdl.planners.domain import Candidates, Domain, is_among
from sdl.planners.encoding import Point
from sdl.planners.framing import Question, framed
from sdl.planners.space_filling import blank_decision, sobol_points, tried_rows
from sdl.planners.vocs import coded, decoded, outcomes_for, vocs_of
from sdl.problem import Problem
from sdl.problem.value import FrozenMap, Value, listing

N_CANDIDATES = 2048
"""Among so many legal points the nearest one to an illegal proposal is looked for."""


class GestPlanner(Value):
    """Asks a generator of gest-api, made anew for every question and told of every completed trial.

    So it has no hidden state, as every planner: a generator that learns from data that it did not propose itself works
    here; one that wants its own proposals back, such as a simplex, does not. It hears of outcomes' values only:
    standard errors, failed trials and trials under way are nothing that the protocol has words for.

    Where the space has constraints among its parameters or a pool of candidates, a proposal that breaks them gives way
    to the nearest legal point, and the decision says so. Parameters that a batch shares and contextual ones are
    constants to the generator.

    Parameters
    ----------
    generator
        The class, as ``module:Class``.
    options
        Its arguments beside the VOCS, as plain data.
    n_initial
        So many trials are first spread over the space by a Sobol sequence, until they have outcomes.
    seed
        Makes two planners in one campaign differ.
    """

    generator: str
    options: FrozenMap[JsonValue] = Field(default_factory=dict[str, JsonValue])
    n_initial: Annotated[int, Field(ge=0)] = 5
    seed: Annotated[int, Field(ge=0)] = 0
    version: ClassVar[str] = "1"
    positional: ClassVar[tuple[str, ...]] = ("generator", "options")

    if TYPE_CHECKING:

        def __init__(
            self,
            generator: str,
            options: Mapping[str, JsonValue] | None = None,
            *,
            n_initial: int = 5,
            seed: int = 0,
        ) -> None: ...

    @property
    def name(self) -> str:
        """The name that decision records carry."""
        return self.generator.rpartition(":")[2]

    def suggest(
        self, problem: Problem, history: History, n: int, *, situation: Situation, seed: int
    ) -> list[Suggestion]:
        """Return *n* suggestions; fewer where the generator gives fewer.

        Raises :class:`~sdl.errors.PlannerError` where there is no such generator, or it does not take the problem.
        """
        return framed(Question(problem, history, n, situation, seed), self._answer)

    def found(self) -> Any:
        """Return the generator's class. Raises :class:`~sdl.errors.PlannerError` where there is none."""
        return imported(self.generator)

    def _answer(self, question: Question) -> list[Suggestion]:
        domain, history, n, seed = question.domain, question.history, question.n, question.seed
        if len(history.completed) < self.n_initial or not domain.n_free:
            points, note = sobol_points(domain, history, n, own_seed=self.seed, seed=seed)
            decision = blank_decision(self.name, self.version, history, seed, note)
            return [Suggestion(values=point, decision=decision) for point in points]
        made = self.found()
        with seeded([self.seed, seed]), self._explained():
            generator = made(vocs=vocs_of(question.problem, domain.context), **self.options)
            rows = told(question.problem, history)
            if rows:
                generator.ingest(rows)
            proposed = generator.suggest(n)
            points = [_point(question.problem, domain.context, each) for each in cast("Iterable[Any]", proposed)]
        return self._legal(question, domain, points)

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except SdlError:
            raise
        except Exception as error:  # other people's code: whatever it raises is the planner's error
            raise PlannerError(f"{self.name}: {type(error).__name__}: {error}") from error

    def _legal(self, question: Question, domain: Domain, points: Sequence[Point]) -> list[Suggestion]:
        found: list[Suggestion] = []
        for point in points:
            earlier = question.after(found, 1).history
            values, note = (point, "") if domain.space.contains(point) else _nearest(question, domain, earlier, point)
            if values is not None:
                said = f"Proposed by {self._source}{note}."
                decision = blank_decision(self.name, self.version, question.history, question.seed, said)
                found.append(Suggestion(values=values, decision=decision))
        return found

    @property
    def _source(self) -> str:
        package = self.generator.partition(":")[0].partition(".")[0]
        try:
            return f"{self.name} of {package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            return f"{self.name} of {package}"


class XoptPlanner(GestPlanner):
    """Asks a generator of Xopt: ``XoptPlanner("expected_improvement")``.

    Parameters
    ----------
    generator
        Its name in Xopt, such as ``upper_confidence_bound``, ``expected_improvement`` or ``mobo``; or ``module:Class``.
    """

    if TYPE_CHECKING:

        def __init__(
            self,
            generator: str,
            options: Mapping[str, JsonValue] | None = None,
            *,
            n_initial: int = 5,
            seed: int = 0,
        ) -> None: ...

    @property
    def _source(self) -> str:
        return f"{self.name} of Xopt {metadata.version('xopt')}"

    def found(self) -> Any:
        """Return the generator's class. Raises :class:`~sdl.errors.PlannerError` where Xopt has none of that name."""
        if ":" in self.generator:
            return super().found()
        try:
            xopt: Any = importlib.import_module("xopt.generators")  # takes seconds
        except ImportError:
            raise PlannerError("Xopt is not installed", hint="pip install xopt") from None
        known = sorted({"random"}.union(*xopt.all_generator_names.values()))
        if self.generator not in known:
            raise PlannerError(f"Xopt has no generator {self.generator!r}", hint=f"it has {listing(known, len(known))}")
        found = xopt.get_generator(self.generator)
        if issubclass(found, importlib.import_module("xopt.generator").StateOwner):
            raise PlannerError(
                f"{self.generator} of Xopt goes by what it proposed before, which a planner does not keep",
                hint="take one that learns from data, such as expected_improvement",
            )
        return found


def told(problem: Problem, history: History) -> list[dict[str, Any]]:
    """Return what a generator is told of the completed trials."""
    parameters = problem.space.parameters
    return [
        {name: coded(parameters.get(name), value) for name, value in entry.values.items()}
        | outcomes_for(problem, entry.observation.outcomes)
        for entry in history.completed
        if entry.observation is not None and set(problem.space.names) <= set(entry.values)
    ]


def _point(problem: Problem, given: Mapping[str, ParameterValue], proposed: Mapping[str, Any]) -> Point:
    def value(name: str) -> ParameterValue:
        return given[name] if name in given else decoded(problem.space.parameters[name], proposed.get(name))

    return {name: value(name) for name in problem.space.names}


def _nearest(question: Question, domain: Domain, history: History, point: Point) -> tuple[Point | None, str]:
    """Return the legal point that is nearest to *point* in coordinates, untried ones only; None where there is none."""
    rng = np.random.default_rng([question.seed, len(history.entries)])
    tried, row = tried_rows(domain, history), domain.encoding.encode([point])[0]
    if domain.is_listable:
        candidates = domain.unseen(tried, N_CANDIDATES, rng)
    else:
        rows = domain.draw(N_CANDIDATES, rng)
        candidates = Candidates(rows[~is_among(rows, tried)])
    for index in np.argsort(np.abs(candidates.rows - row).max(axis=1, initial=0.0)):
        legal = domain.point(candidates, int(index))
        if legal is not None:
            return legal, "; what it proposed is not in the space, and this is the nearest point found that is"
    return None, ""


def imported(reference: str) -> Any:
    """Import ``module:Class``. Raises :class:`~sdl.errors.PlannerError` that says what is missing."""
    module, _, name = reference.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise PlannerError(f"generator {reference!r}: {error}", hint='name it as "module:Class"') from None


@contextmanager
def seeded(seed: Sequence[int]) -> Generator[None]:
    """Seed the sources of chance that others' code takes from thin air, and give them back as they were."""
    number = int(np.random.SeedSequence(seed).generate_state(1)[0])
    before = np.random.get_state()  # noqa: NPY002 # it is others' code that draws from it
    with ExitStack() as stack:
        stack.callback(partial(np.random.set_state, before))
        np.random.seed(number)  # noqa: NPY002
        if "torch" in sys.modules:  # a generator that uses it has imported it by now
            torch: Any = sys.modules["torch"]
            stack.enter_context(torch.random.fork_rng())
            torch.manual_seed(number)
        yield
