"""What the server answers."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field, JsonValue

from sdl.campaign.autonomy import Autonomy
from sdl.campaign.budget import Budget
from sdl.journal.orders import Visibility
from sdl.journal.records import Decision, Failure
from sdl.journal.trust import Finding
from sdl.problem import Measurement
from sdl.problem.value import FrozenMap, Tuple, Value
from sdl.server.dossiers import State
from sdl.server.identities import Role
from sdl.server.rehearsal import Rehearsal

EPOCH = dt.datetime.fromtimestamp(0, dt.UTC)
"""The time of what has none."""


# --- what is answered -------------------------------------------------------------------------------------------------


class Problem(Value):
    """What went wrong, as RFC 9457 has it: ``hint`` is the way out."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    hint: str = ""
    errors: Tuple[FrozenMap[str]] = ()


class Health(Value):
    """The server answers."""

    status: Literal["ok"] = "ok"


class Done(Value):
    """What was done, in words."""

    done: str


class Me(Value):
    """Who asks."""

    name: str
    kind: str
    roles: Tuple[Role]
    groups: Tuple[str]
    autonomy: int
    lab: str
    version: str


class ParameterSetting(Value):
    """The value of a parameter, and its unit."""

    value: float | str
    unit: str | None


class Goal(Value):
    """One objective."""

    outcome: str
    goal: str
    unit: str | None
    value: float | None = None
    low: float | None = None
    high: float | None = None


class ParameterInfo(Value):
    """One parameter."""

    name: str
    kind: str
    unit: str | None = None
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: Tuple[float | str] | None = None
    is_free: bool = True


class ConstraintInfo(Value):
    """A limit of an outcome."""

    outcome: str
    lower: float | None
    upper: float | None
    unit: str | None


class ProblemInfo(Value):
    """What a campaign asks."""

    parameters: Tuple[ParameterInfo]
    objectives: Tuple[Goal]
    outcome_constraints: Tuple[ConstraintInfo]


class Winner(Value):
    """The best trial, or one of the Pareto front."""

    trial: int
    outcomes: FrozenMap[Measurement]
    values: FrozenMap[ParameterSetting]


class CampaignInfo(Value):
    """A campaign, and what the one who asks may do with it now."""

    id: str
    name: str
    owner: str
    is_mine: bool
    state: State
    reason: str
    visibility: Visibility
    autonomy: Autonomy
    submitted_at: dt.datetime
    started_at: dt.datetime | None
    ended_at: dt.datetime | None
    last_event_at: dt.datetime | None
    position: int | None
    objectives: Tuple[Goal]
    counts: FrozenMap[int]
    budget: Budget
    n_counted: int
    lab_seconds: float
    seconds_left: float | None
    cost: float
    best: Tuple[Winner]
    n_approvals: int
    n_unknown: int
    waiting: FrozenMap[str]
    rehearsal: Rehearsal | None
    planner: str
    agents: bool
    priority: int
    may: Tuple[str]


class Campaigns(Value):
    """The campaigns that one may see, newest first."""

    campaigns: Tuple[CampaignInfo]


class TrialRow(Value):
    """A trial in short."""

    trial: int
    state: str
    role: str
    values: FrozenMap[ParameterSetting]
    outcomes: FrozenMap[Measurement]
    failure: Failure | None
    reason: str
    verdict: str
    attempts: int
    cost: float
    planner: str
    approval: Literal["asked", "approved", "refused"] | None
    proposed_at: dt.datetime
    started_at: dt.datetime | None
    ended_at: dt.datetime | None
    is_best: bool


class ActInfo(Value):
    """An act that may not be repeated, and what is known of it."""

    act: str
    step: str
    device: str
    verb: str
    action_class: str = Field(serialization_alias="class", validation_alias="class")
    arguments: JsonValue
    intended_at: dt.datetime
    outcome: str | None
    reason: str
    answer: str | None
    evidence: str
    answered_by: str
    is_unknown: bool


class StepInfo(Value):
    """A step of a trial that has begun."""

    step: str
    station: str
    attempt: int
    begin: dt.datetime
    end: dt.datetime | None = None
    is_success: bool | None = None


class CommentInfo(Value):
    """What somebody wanted on record."""

    by: str
    text: str
    time: dt.datetime


class TrialInfo(TrialRow):
    """A trial with the decision behind it, its steps and its acts."""

    why: Tuple[str]
    decision: Decision
    verdict_findings: Tuple[Finding]
    steps: Tuple[StepInfo]
    acts: Tuple[ActInfo]
    waiting: str
    runs: Tuple[str]
    comments: Tuple[CommentInfo]


class Trials(Value):
    """A page of trials; ``next`` is the *after* of the next one."""

    trials: Tuple[TrialRow]
    next: int | None


class Progress(Value):
    """The trials as columns, for plots.

    ``best`` is the best so far of the first objective; ``front`` are the numbers of the best trials of all, whatever
    part was asked for. Where ``version`` is another one than before, a verdict has changed what was told earlier.
    """

    trial: Tuple[int]
    state: Tuple[str]
    role: Tuple[str]
    ended_at: Tuple[float | None]
    outcomes: FrozenMap[Tuple[float | None]]
    parameters: FrozenMap[Tuple[float | str]]
    best: Tuple[float | None]
    is_front: Tuple[bool]
    front: Tuple[int]
    feasible: Tuple[bool | None]
    next: int
    version: int


class SliceInfo(Value):
    """The model's expectation of one outcome along one parameter, all else as in the best trial: 95 % bands.

    ``at`` is where that trial lies; ``outcome_log`` says that the outcome is read on a logarithmic scale.
    """

    outcome: str
    unit: str | None
    parameter: str
    parameter_unit: str | None
    log: bool
    outcome_log: bool
    choices: Tuple[str] | None
    x: Tuple[float | str]
    mean: Tuple[float]
    low: Tuple[float]
    high: Tuple[float]
    at: float | str


class Slices(Value):
    """The slices of the model through the best trial; none where there is no model, and ``note`` says why."""

    slices: Tuple[SliceInfo]
    note: str
    trial: int | None = None


class ColumnInfo(Value):
    """A column of the results."""

    name: str
    kind: str


class ResultsTable(Value):
    """The results, as in the CSV file."""

    columns: Tuple[ColumnInfo]
    rows: Tuple[Tuple[str | float | int | bool | None]]


class EventInfo(Value):
    """One event of the journal."""

    sequence: int
    campaign: str | None
    campaign_name: str
    trial: int | None
    kind: str
    actor: str
    time: dt.datetime
    body: FrozenMap[JsonValue]


class Events(Value):
    """A page of events; ``next`` is the *after* of the next one."""

    events: Tuple[EventInfo]
    next: int | None


class Expectation(Value):
    """What is expected of an outcome."""

    mean: float
    standard_deviation: float
    unit: str | None


class AskedTrial(Value):
    """A trial that waits for approval: what, why, for how much, and what is expected."""

    trial: int
    values: FrozenMap[ParameterSetting]
    predicted: FrozenMap[Expectation]
    cost: float | None
    why: Tuple[str]


class ApprovalInfo(Value):
    """A request for approval."""

    request: str
    campaign: str
    campaign_name: str
    level: int
    because: str
    cost: float
    state: Literal["open", "approved", "refused", "withdrawn"]
    trials: Tuple[AskedTrial]
    asked_at: dt.datetime
    answered_at: dt.datetime | None
    answered_by: str
    answer_because: str
    may_answer: bool


class ApprovalList(Value):
    """Requests, newest first."""

    approvals: Tuple[ApprovalInfo]


class Doing(Value):
    """What a station works on; without name and trials where one may not see the campaign."""

    campaign: str | None
    campaign_name: str
    trials: Tuple[int]
    step: str
    since: dt.datetime


class LatchInfo(Value):
    """What is closed until a person arms it again."""

    station: str
    interlock: str
    reason: str
    since: dt.datetime
    may_rearm: bool


class StationInfo(Value):
    """A station, and what it does."""

    name: str
    devices: Tuple[str]
    state: Literal["idle", "working", "latched"]
    doing: Doing | None
    latch: LatchInfo | None
    calendar: JsonValue


class Head(Value):
    """The last event of the journal."""

    sequence: int
    hash: str


class LaboratoryInfo(Value):
    """The laboratory."""

    name: str
    kind: str
    is_simulated: bool
    clock: Literal["virtual", "wall"]
    now: dt.datetime
    head: Head
    engine: Literal["running", "ending", "failed"]
    reason: str
    at_once: int
    stations: Tuple[StationInfo]


class TimelineBar(Value):
    """That a station was taken, is, or is planned to be."""

    station: str
    campaign: str | None
    campaign_name: str
    trials: Tuple[int]
    step: str
    begin: dt.datetime
    end: dt.datetime | None
    expected_end: dt.datetime | None = None
    kind: Literal["past", "now", "planned"]
    is_success: bool
    setup_seconds: float


class WaitInfo(Value):
    """A trial that waits, why, and when its next step is expected to begin."""

    campaign: str | None
    campaign_name: str
    trial: int
    why: str
    step: str = ""
    expected: dt.datetime | None = None


class Timeline(Value):
    """What the stations did, do, and are expected to do next; and what waits."""

    now: dt.datetime
    bars: Tuple[TimelineBar]
    waiting: Tuple[WaitInfo] = ()


class LotInfo(Value):
    """A lot of a material."""

    lot: str
    left: str
    expires: dt.date | None
    is_expired: bool


class MaterialInfo(Value):
    """The account of a material."""

    material: str
    unit: str | None
    left: str
    least: float
    most: float
    reserved: str
    consumed: str
    unexplained: float
    lots: Tuple[LotInfo]


class RackInfo(Value):
    """A rack; samples of campaigns that one may not see have no name."""

    rack: str
    positions: Tuple[str]
    free: Tuple[str]
    taken: FrozenMap[str]


class SampleInfo(Value):
    """A sample."""

    sample: str
    campaign: str | None
    trial: int | None
    state: str
    positions: Tuple[str]
    because: str
    by: str


class Shortage(Value):
    """What a step lacks."""

    campaign: str
    campaign_name: str
    trial: int
    step: str
    missing: Tuple[str]


class StockInfo(Value):
    """The stock."""

    materials: Tuple[MaterialInfo]
    racks: Tuple[RackInfo]
    samples: Tuple[SampleInfo]
    waiting: Tuple[Shortage]


class TripInfo(Value):
    """That an interlock tripped."""

    interlock: str
    reason: str
    signals: FrozenMap[str]
    actions: FrozenMap[str]
    time: dt.datetime


class Alarms(Value):
    """What is latched, and what has tripped, newest first."""

    latches: Tuple[LatchInfo]
    trips: Tuple[TripInfo]


class UnknownTrial(Value):
    """A trial of which nobody knows how far it came."""

    campaign: str
    campaign_name: str
    trial: int
    values: FrozenMap[ParameterSetting]
    reason: str
    acts: Tuple[ActInfo]
    may_answer: bool


class TaskInfo(Value):
    """What a person is asked to do by hand."""

    task: str
    person: str
    text: str
    expected_seconds: float
    since: dt.datetime
    campaign: str | None
    campaign_name: str
    trials: Tuple[int]
    step: str
    may_answer: bool


class TaskList(Value):
    """What people are asked to do, oldest first."""

    tasks: Tuple[TaskInfo]


class Inbox(Value):
    """What waits for a person."""

    approvals: Tuple[ApprovalInfo]
    unknown: Tuple[UnknownTrial]
    latches: Tuple[LatchInfo]
    shortages: Tuple[Shortage]
    tasks: Tuple[TaskInfo]


class UserInfo(Value):
    """An identity; its token is shown once, when it is made."""

    name: str
    kind: str
    roles: Tuple[Role]
    groups: Tuple[str]
    autonomy: int
    token: str | None = None


class UserList(Value):
    """All identities."""

    users: Tuple[UserInfo]
