"""How much a campaign may do without asking, and the gate that holds trials back until somebody has approved them.

=====  ===============================================================================================================
level  means
=====  ===============================================================================================================
0      it suggests only: nothing is executed
1      each trial is approved
2      each batch is approved: the trials that the planner suggested together
3      trials inside an envelope and a budget begin without asking; all others are approved
4      free within the limits of the laboratory
=====  ===============================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, JsonValue

from sdl.campaign.approvals import Approval
from sdl.campaign.budget import Budget
from sdl.campaign.planner import TrialState
from sdl.campaign.view import CampaignView
from sdl.errors import CampaignError
from sdl.failpoints import fail_point
from sdl.journal.orders import ApprovalAnswer, ApprovalAsked, ApprovalGiven
from sdl.journal.records import Body, ParameterValue, TrialAbandoned
from sdl.lab.latches import NOBODY
from sdl.problem import Categorical, SearchSpace
from sdl.problem.value import FrozenMap, Tuple, Value, listing

Level = Literal[0, 1, 2, 3, 4]

Range = Annotated[tuple[float, float] | Tuple[str], Field(union_mode="left_to_right")]

HINT = "sdl approve lists them, and takes the answer"


class Autonomy(Value):
    """How much a campaign may do without asking.

    Parameters
    ----------
    level
        0: suggest only. 1: each trial is approved. 2: each batch is approved. 3: trials inside *envelope* and *budget*
        begin without asking. 4: free within the limits of the laboratory.
    envelope
        For level 3, which needs this or a *budget*: the range of each parameter named, in its declared unit:
        ``{"temperature": (20, 300)}``; for a categorical one the choices: ``{"solvent": ("water",)}``. The others are
        free.
    budget
        For level 3, how much of the campaign needs no asking: its first trials, laboratory time, cost.
    """

    if TYPE_CHECKING:

        def __init__(
            self,
            level: int = 4,
            *,
            envelope: Mapping[str, Sequence[float] | Sequence[str]] | None = None,
            budget: Budget | None = None,
        ) -> None: ...

    level: Level = 4
    envelope: FrozenMap[Range] = Field(default_factory=dict[str, Range])
    budget: Budget = Budget()
    positional: ClassVar[tuple[str, ...]] = ("level",)

    @classmethod
    def recorded(cls, given: JsonValue) -> Autonomy:
        """Return it as a journal has it; free where it has none."""
        return cls() if given is None else cls.from_data(given)

    def check(self, space: SearchSpace) -> None:
        """Raise :class:`~sdl.errors.CampaignError` for an envelope that does not fit *space*, and for a level 3 that
        bounds nothing.
        """
        if self.level == 3 and not self.envelope and self.budget == Budget():
            raise CampaignError(
                "autonomy level 3 has neither an envelope nor a budget: nothing would be asked",
                hint="say envelope: {temperature: [20, 300]} or budget: {trials: 10}; or level 2, or 4",
            )
        for name, bounds in self.envelope.items():
            if name not in space.parameters:
                raise CampaignError(
                    f"the envelope names {name!r}, which is no parameter", hint=f"there is {listing(space.names)}"
                )
            parameter = space.parameters[name]
            is_text = any(isinstance(bound, str) for bound in bounds)
            if is_text is not isinstance(parameter, Categorical):
                raise CampaignError(
                    f"the envelope of {name} is {listing(bounds)}",
                    hint=f"name some of {listing(parameter.choices)}"
                    if isinstance(parameter, Categorical)
                    else "give two numbers, in the unit of the parameter",
                )
            if not is_text and not bounds[0] <= bounds[1]:  # type: ignore[operator] # two numbers
                raise CampaignError(f"the envelope of {name} is {listing(bounds)}, the wrong way round")

    def outside(self, values: Mapping[str, ParameterValue]) -> str:
        """Say where *values* leave the envelope; empty where they do not."""
        for name, bounds in self.envelope.items():
            value = values[name]
            if isinstance(value, str):
                if value not in bounds:
                    return f"{name} = {value} is none of {listing(bounds)}"
            elif not (isinstance(bounds[0], float) and bounds[0] <= value <= float(bounds[1])):
                return f"{name} = {value:g} is outside {listing(bounds)}"
        return ""


class Gate:
    """Lets trials of one campaign begin, or asks for their approval first. Used by the campaign's thread.

    Parameters
    ----------
    view
        The campaign.
    cost_of
        What trial *n* costs.
    record
        Records bodies, for a trial.
    """

    def __init__(self, view: CampaignView, cost_of: Callable[[int], float], record: Callable[..., None]) -> None:
        self._view = view
        self._cost_of = cost_of
        self._record = record
        self._read: tuple[JsonValue, Autonomy] = (None, Autonomy())

    @property
    def autonomy(self) -> Autonomy:
        """How much the campaign may do now."""
        given = self._view.approvals.autonomy
        if given is not self._read[0]:
            self._read = (given, Autonomy.recorded(given))
        return self._read[1]

    def objection(self, number: int, autonomy: Autonomy) -> str:
        """Say why trial *number* may not begin without an approval; empty where it may."""
        if autonomy.level == 4 or (autonomy.level > 0 and self._view.approvals.is_approved(number)):
            return ""
        match autonomy.level:
            case 0:
                return "the campaign only suggests"
            case 1:
                return "each trial is approved"
            case 2:
                return "each batch is approved"
            case _:
                return self._beyond(number, autonomy)

    def _beyond(self, number: int, autonomy: Autonomy) -> str:
        view, budget = self._view, autonomy.budget
        outside = autonomy.outside(view.record(number).proposal.values)
        if outside:
            return f"{outside}, which needs no approval"
        if budget.trials is not None and number > budget.trials:
            return f"the first {budget.trials} trials need no approval, and this is trial {number}"
        if budget.cost is not None and view.cost + self._cost_under_way(number) > budget.cost:
            return f"a cost of {budget.cost:g} needs no approval, and it would be more"
        if budget.lab_time is not None and view.lab_seconds >= budget.lab_time:
            return f"{budget.lab_time / 3600:.6g} laboratory hours need no approval, and they are over"
        return ""

    def _cost_under_way(self, number: int) -> float:
        """Return what trial *number* and those that run cost."""
        running = {trial.number for trial in self._view.in_state(TrialState.RUNNING)}
        return sum(map(self._cost_of, running | {number}))

    def admit(self, waiting: Iterable[int]) -> int | None:
        """Return the first of the *waiting* trials that may begin; None where none may. Ask for the others."""
        autonomy = self.autonomy
        for number in waiting:
            if not self.objection(number, autonomy):
                return number
        return None

    def ask(self, waiting: Sequence[int]) -> None:
        """Ask for the approval of those *waiting* trials that need it, and that nobody was asked for."""
        autonomy = self.autonomy
        if autonomy.level in {0, 4}:
            return
        known = self._view.approvals
        why = {number: self.objection(number, autonomy) for number in waiting if known.of_trial(number) is None}
        new = [number for number, objection in why.items() if objection]
        batches = [new] if autonomy.level == 2 else [[number] for number in new]
        for batch in filter(None, batches):
            asked = ApprovalAsked(
                request=f"{self._view.name}/{batch[0]}",
                level=autonomy.level,
                trials=tuple(batch),
                because=why[batch[0]],
                cost=sum(map(self._cost_of, batch)),
            )
            fail_point("gate.before_asking")
            self._record(asked, trial=batch[0])
            fail_point("gate.asked")

    def reason(self, waiting: Sequence[int]) -> str:
        """Say what the waiting trials wait for."""
        trials = f"trial{'s' if len(waiting) > 1 else ''} {listing(waiting)}"
        if self.autonomy.level == 0:
            return f"{trials} suggested; at autonomy level 0 nothing is executed"
        return f"{trials} wait{'' if len(waiting) > 1 else 's'} for approval ({HINT})"


def answer_bodies(
    view: CampaignView, request: str, answer: ApprovalAnswer, *, by: str, because: str
) -> list[tuple[int, list[Body]]]:
    """Return the events that answer *request*, by trial: all of them are recorded together.

    Raises
    ------
    CampaignError
        There is no such request, it was answered, no trial waits for it any more, or nobody is named.
    """
    approval = open_request(view, request)
    if by.strip().lower() in NOBODY:
        raise CampaignError(f"{by!r} is no person who can approve", hint="say who you are")
    if answer == "refused" and not because.strip():
        raise CampaignError("a refusal needs a reason", hint="say what speaks against it")
    trials = approval.asked.trials
    given = ApprovalGiven(request=request, answer=answer, because=because)
    bodies: dict[int, list[Body]] = {trials[0]: [given]}
    if answer == "refused":
        reason = f"refused by {by}: {because}"
        for number in trials:
            if view.record(number).state is TrialState.PROPOSED:
                bodies.setdefault(number, []).append(TrialAbandoned(reason=reason))
    return list(bodies.items())


def open_requests(view: CampaignView) -> list[Approval]:
    """Return the requests of a campaign that nobody has answered, oldest first."""
    return view.approvals.open(lambda number: _is_proposed(view, number))


def _is_proposed(view: CampaignView, number: int) -> bool:
    return view.record(number).state is TrialState.PROPOSED


def open_request(view: CampaignView, request: str) -> Approval:
    """Return the request of that name. Raises CampaignError where it is not open."""
    found = view.approvals.requests.get(request)
    if found is None:
        known = listing(each.request for each in open_requests(view))
        raise CampaignError(f"campaign {view.name} has no request {request!r}", hint=f"open: {known or 'none'}")
    if found.answer is not None:
        raise CampaignError(f"request {request} was {found.answer} by {found.by} already")
    if not any(_is_proposed(view, number) for number in found.asked.trials):
        raise CampaignError(f"no trial waits for request {request} any more")
    return found
