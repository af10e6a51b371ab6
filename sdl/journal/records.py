"""What the journal says: decisions, observations, failures, and the body of every kind of event."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from sdl.errors import JournalCorrupt
from sdl.journal.acts import ActBody
from sdl.journal.beliefs import Fraction, Influences, Models, ModelSummary
from sdl.journal.materials import MaterialBody
from sdl.journal.orders import OrderBody
from sdl.journal.safety import SafetyBody
from sdl.journal.trust import TrustBody
from sdl.problem import Measurement, Problem
from sdl.problem.value import FrozenMap, Tuple, Value

ParameterValue = float | str


class Prediction(Value):
    """What a planner expects of one outcome, in the outcome's unit."""

    mean: float = Field(kw_only=False)
    standard_deviation: Annotated[float, Field(ge=0)] = Field(kw_only=False)
    positional: ClassVar[tuple[str, ...]] = ("mean", "standard_deviation")


class RunnerUp(Value):
    """A point that was considered and not chosen."""

    values: FrozenMap[ParameterValue]
    acquisition: float | None = None
    predicted: FrozenMap[Prediction] = Field(default_factory=dict[str, Prediction])


class Decision(Value):
    """Why a suggestion was made: enough to explain it, and to make it again.

    Parameters
    ----------
    planner, version
        Who proposed it.
    seed
        The seed that the planner was given for this request.
    n_observed, n_pending
        How many completed and how many pending trials the planner had seen.
    predicted
        Mean and standard deviation of each outcome at the suggested point, before it is measured.
    acquisition, acquisition_name
        The value that was maximised, and its name.
    expected_improvement
        By how much the first objective is expected to improve on the best so far, in its unit; stopping rules use it.
    exploration
        How much of the expected improvement comes from doubt rather than from the expected value itself, from 0 (the
        planner exploits) to 1 (it explores); None where the goal has no such figure.
    influences
        The earlier trials that speak most for what is predicted, greatest share first.
    models
        What the model of every outcome was like.
    runners_up
        The best points that were not chosen, best first.
    fallback_from
        The error of the planner that should have answered, where a fall-back planner answered in its place.
    price
        What the trial is expected to cost, in the campaign's unit of cost; None where the planner does not know.
    note
        One plain sentence.
    """

    planner: str
    version: str
    seed: int
    n_observed: int
    n_pending: int
    predicted: FrozenMap[Prediction] = Field(default_factory=dict[str, Prediction])
    acquisition: float | None = None
    acquisition_name: str | None = None
    expected_improvement: float | None = None
    exploration: Fraction | None = None
    influences: Influences = ()
    models: Models = Field(default_factory=dict[str, ModelSummary])
    runners_up: Tuple[RunnerUp] = ()
    fallback_from: str | None = None
    price: Annotated[float, Field(ge=0)] | None = None
    note: str = ""


class Artifact(Value):
    """A file of the store, named by the SHA-256 of its bytes."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0)]
    name: str
    media_type: str = "application/octet-stream"


class Observation(Value):
    """Measured outcomes of one trial, and the runs that they came from."""

    outcomes: FrozenMap[Measurement]
    runs: Tuple[str] = ()


class FailureCategory(StrEnum):
    """Where a trial failed."""

    LIMIT = "limit"  # refused before anything moved, or at the act
    INTERLOCK = "interlock"  # an interlock forbade it, or tripped
    DEVICE = "device"  # an instrument reported an error
    TIMEOUT = "timeout"  # something did not finish in time
    READBACK = "readback"  # an instrument is not where it was sent
    MEASUREMENT = "measurement"  # the result is no valid observation
    PLAN = "plan"  # the user's plan or evaluation raised
    ABORTED = "aborted"  # aborted on request
    SAMPLE = "sample"  # a step before it left the sample in doubt
    LATE = "late"  # a step could not begin within its window
    INTERRUPTED = "interrupted"  # cut off by a crash, and marked failed by policy


class Failure(Value):
    """Why a trial gave no observation, and what was kept of it."""

    category: FailureCategory
    reason: str
    step: str | None = None
    partial: FrozenMap[Measurement] = Field(default_factory=dict[str, Measurement])
    runs: Tuple[str] = ()
    raw: Artifact | None = None


# --- the events -------------------------------------------------------------------------------------------------------


class CampaignOpened(Value):
    """The first event of a campaign: what is asked, by which planner, on which laboratory."""

    kind: Literal["campaign.opened"] = "campaign.opened"
    problem: Problem
    problem_digest: str
    planner: FrozenMap[JsonValue]
    lab: FrozenMap[JsonValue]
    settings: FrozenMap[JsonValue] = Field(default_factory=dict[str, JsonValue])
    seed: int


class CampaignChanged(Value):
    """A later session runs the campaign with another planner, laboratory or settings."""

    kind: Literal["campaign.changed"] = "campaign.changed"
    planner: FrozenMap[JsonValue]
    lab: FrozenMap[JsonValue]
    settings: FrozenMap[JsonValue] = Field(default_factory=dict[str, JsonValue])


class SeedRow(Value):
    """One measurement that was made before the campaign: values and outcomes in the problem's units."""

    values: FrozenMap[ParameterValue]
    outcomes: FrozenMap[Measurement]


class SeedAdded(Value):
    """Prior data that the planner learns from, with where they come from."""

    kind: Literal["campaign.seeded"] = "campaign.seeded"
    name: str
    origin: str
    licence: str = ""
    rows: Tuple[SeedRow]


class SessionStarted(Value):
    """A process began to run the campaign. ``session`` counts from 1.

    ``user`` is whom the operating system says the process belongs to; empty in journals from before it was recorded.
    """

    kind: Literal["session.started"] = "session.started"
    session: int
    is_virtual: bool
    host: str
    pid: int
    versions: FrozenMap[str]
    user: str = ""


class SessionEnded(Value):
    """A process stopped to run the campaign in order; a session without this event was killed."""

    kind: Literal["session.ended"] = "session.ended"
    session: int
    status: Literal["finished", "stopped", "aborted", "paused", "error"]
    reason: str


class PlannerFailed(Value):
    """The planner raised, hung, or proposed something illegal."""

    kind: Literal["planner.failed"] = "planner.failed"
    planner: str
    attempt: int
    error: str
    action: Literal["retry", "fall back", "pause"]


class Divergence(Value):
    """A planner that was asked again did not answer what it had answered then.

    ``replayed`` is None where it gave fewer points, or none: then ``error`` says why, where it raised.
    """

    trial: int
    recorded: FrozenMap[ParameterValue]
    replayed: FrozenMap[ParameterValue] | None = None
    error: str = ""


class ProposalsReplayed(Value):
    """Planners were asked again for what is in the journal, from the recorded data alone.

    Parameters
    ----------
    n_same
        How many proposals came out the same, bit for bit.
    divergences
        Those that did not.
    left_out
        By the number of the trial, why nobody could be asked again.
    versions, machine
        The software and the machine that were asked.
    """

    kind: Literal["proposals.replayed"] = "proposals.replayed"
    n_same: int
    divergences: Tuple[Divergence] = ()
    left_out: FrozenMap[str] = Field(default_factory=dict[str, str])
    versions: FrozenMap[str] = Field(default_factory=dict[str, str])
    machine: str = ""


class TrialProposed(Value):
    """A new trial, with its parameter values in the declared units and the decision that led to them.

    ``planner_wait``: for how many seconds of the laboratory there was room for it, and no proposal yet.
    """

    kind: Literal["trial.proposed"] = "trial.proposed"
    values: FrozenMap[ParameterValue]
    decision: Decision
    planner_wait: float = 0.0


class TrialStarted(Value):
    """An attempt at the trial begins."""

    kind: Literal["trial.started"] = "trial.started"
    attempt: int


class StepStarted(Value):
    """A station begins a step.

    Parameters
    ----------
    members
        The trials that the run treats together, the one that its documents and acts are recorded under first; empty
        where it treats one.
    needs
        The stations that are held as well.
    setup_key
        What the station is made ready for; empty where the step needs no changeover.
    late_seconds
        By how much it begins after its window, where it goes on all the same.
    """

    kind: Literal["step.started"] = "step.started"
    step: str
    station: str
    attempt: int
    members: Tuple[int] = ()
    needs: Tuple[str] = ()
    setup_key: str = ""
    late_seconds: float = 0.0


class StepEnded(Value):
    """A station ended a step. ``returned`` is what the step's plan returned, as plain data.

    ``returned_as`` names the values in it that are something else than JSON has, so that they come back as what they
    were; None where that cannot be. ``members``, ``needs`` and ``setup_key`` are those of its start; ``setup_seconds``
    of its seconds went into the changeover; ``keeps`` names the stations that stay with the trial.
    """

    kind: Literal["step.ended"] = "step.ended"
    step: str
    station: str
    attempt: int
    is_success: bool
    seconds: float
    runs: Tuple[str] = ()
    returned: JsonValue = None
    returned_as: FrozenMap[str] | None = None
    members: Tuple[int] = ()
    needs: Tuple[str] = ()
    keeps: Tuple[str] = ()
    setup_key: str = ""
    setup_seconds: float = 0.0


class StepSkipped(Value):
    """A step is not done, because its condition does not hold."""

    kind: Literal["step.skipped"] = "step.skipped"
    step: str
    attempt: int
    reason: str


class StepQueued(Value):
    """A step could not begin at once. ``reason`` says why in a sentence, ``because`` in a word, as of this moment."""

    kind: Literal["step.queued"] = "step.queued"
    step: str
    because: str
    reason: str


class ScheduleChosen(Value):
    """Who decides from now on what begins on the stations: the dispatching rule, or a schedule made ahead; and why."""

    kind: Literal["schedule.chosen"] = "schedule.chosen"
    by: str
    reason: str


class DocumentEmitted(Value):
    """One bluesky document, as it came."""

    kind: Literal["document"] = "document"
    name: str
    document: FrozenMap[JsonValue]


class AttemptFailed(Value):
    """An attempt failed, and the trial will be tried again."""

    kind: Literal["trial.attempt_failed"] = "trial.attempt_failed"
    attempt: int
    failure: Failure
    cost: float = 0.0


class TrialCompleted(Value):
    """The trial has an observation."""

    kind: Literal["trial.completed"] = "trial.completed"
    observation: Observation
    cost: float = 0.0


class TrialFailed(Value):
    """The trial has none, and will not be tried again."""

    kind: Literal["trial.failed"] = "trial.failed"
    failure: Failure
    cost: float = 0.0


class TrialAbandoned(Value):
    """The trial was given up before it was executed."""

    kind: Literal["trial.abandoned"] = "trial.abandoned"
    reason: str


class TrialUnknown(Value):
    """Nobody knows what became of the trial: the process that ran it is gone."""

    kind: Literal["trial.unknown"] = "trial.unknown"
    attempt: int
    reason: str
    cost: float = 0.0


class TrialResolved(Value):
    """What is to become of an unknown trial, and who said so. The event that carries it out follows.

    ``continue``: what was unknown is known now, and it goes on where it was cut off.
    """

    kind: Literal["trial.resolved"] = "trial.resolved"
    answer: Literal["redo", "failed", "abandoned", "continue"]
    reason: str


class TrialsCompared(Value):
    """A person likes the outcomes of one trial better than those of another; planners learn from it."""

    kind: Literal["trials.compared"] = "trials.compared"
    better: int
    worse: int
    by: str


class Comment(Value):
    """Something a person wants on record."""

    kind: Literal["comment"] = "comment"
    text: str


Body = Annotated[
    CampaignOpened
    | CampaignChanged
    | SeedAdded
    | SessionStarted
    | SessionEnded
    | PlannerFailed
    | ProposalsReplayed
    | TrialProposed
    | TrialStarted
    | StepStarted
    | StepEnded
    | StepSkipped
    | StepQueued
    | ScheduleChosen
    | DocumentEmitted
    | AttemptFailed
    | TrialCompleted
    | TrialFailed
    | TrialAbandoned
    | TrialUnknown
    | TrialResolved
    | TrialsCompared
    | Comment
    | ActBody
    | MaterialBody
    | OrderBody
    | SafetyBody
    | TrustBody,
    Field(discriminator="kind"),
]


class Entry(Value):
    """Something to be recorded: a body, and whom it concerns. The journal adds the rest and makes it an Event."""

    body: Body = Field(kw_only=False)
    campaign: str = Field(kw_only=False)
    trial: int | None = Field(default=None, kw_only=False)
    actor: str = "engine"
    positional: ClassVar[tuple[str, ...]] = ("body", "campaign", "trial")


_body = TypeAdapter[Body](Body).validator


class _Columns(NamedTuple):
    sequence: int
    campaign: str
    trial: int | None
    kind: str
    actor: str
    timestamp: str
    monotonic: float
    boot_id: str
    version: str
    text: str
    previous_hash: str
    hash: str


class Event(_Columns):
    """One row of the journal: the columns as they are stored.

    ``sequence`` counts from 1 without gaps. ``kind`` is the kind of the body. ``timestamp`` is ISO 8601 in UTC, with
    microseconds; ``monotonic`` seconds compare only within one ``boot_id``. ``text`` is the JSON text of the body.
    ``hash`` is the SHA-256 of ``previous_hash`` and the canonical text of all other fields.

    The body is read when it is first asked for, and kept then. A fold over a long journal looks at ``kind``, asks for
    few bodies, and keeps texts instead of what is in them: that of a decision takes a tenth of the memory.
    """

    @property
    def time(self) -> datetime:
        """When it was recorded, in UTC."""
        return datetime.fromisoformat(self.timestamp)

    @property
    def body(self) -> Body:
        """What happened. Raises :class:`~sdl.errors.JournalCorrupt` where the text is no body of an event."""
        kept: Body | None = self.__dict__.get("body")
        if kept is None:
            kept = self.__dict__["body"] = read_body(self.text, self.sequence, self.kind)
        return kept

    @property
    def known_body(self) -> Body | None:
        """The body, where it has been read already."""
        return self.__dict__.get("body")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"an event is frozen: {name} cannot be set")


def read_body(text: str, sequence: int, kind: str) -> Body:
    """Return the body of event *sequence*. Raises :class:`~sdl.errors.JournalCorrupt` where *text* is none."""
    try:
        body: Body = _body.validate_json(text)
    except ValueError as error:
        raise JournalCorrupt(
            f"event {sequence} ({kind}) cannot be read: {_first_line(error)}",
            hint="sdl verify says what else is wrong with the store; a backup may still have it",
        ) from error
    return body


def _first_line(error: ValueError) -> str:
    """Say in one line what is wrong with a body."""
    if isinstance(error, ValidationError):
        item = error.errors(include_url=False, include_input=False)[0]
        return ": ".join(filter(None, (".".join(map(str, item["loc"])), item["msg"])))
    return str(error).partition("\n")[0]
