"""What a report needs that the fold of the trials does not keep: sessions, stations, seed data, laboratory time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sdl.campaign.view import CampaignView
from sdl.journal.protocol import Journal
from sdl.journal.records import (
    Comment,
    Event,
    PlannerFailed,
    SeedAdded,
    SessionEnded,
    SessionStarted,
    StepEnded,
    TrialCompleted,
    TrialFailed,
    TrialProposed,
)

KINDS = (
    "session.started",
    "session.ended",
    "step.ended",
    "trial.proposed",
    "trial.completed",
    "trial.failed",
    "campaign.seeded",
    "planner.failed",
    "comment",
)


@dataclass(frozen=True)
class Session:
    """One process that ran the campaign; ``status`` is None where it was killed or still runs."""

    number: int
    started: datetime
    host: str
    is_virtual: bool
    versions: Mapping[str, str]
    ended: datetime | None = None
    status: str | None = None
    reason: str = ""


@dataclass
class StepUse:
    """How long a station worked on a step, over the whole campaign."""

    seconds: float = 0.0
    n: int = 0
    n_failed: int = 0


@dataclass
class Account:
    """The account of a campaign.

    Parameters
    ----------
    lab_seconds
        Trial number to the laboratory seconds that had passed when the trial ended, the time between sessions left out.
    use
        Station and step to the time that they took.
    seeds, planner_failures, comments
        As they were recorded; comments with their time and author.
    planner_waits
        For each trial the laboratory seconds for which there was room for it, and no proposal yet.
    head
        Number and hash of the journal's last event; None without a journal.
    """

    lab_seconds: dict[int, float] = field(default_factory=dict[int, float])
    sessions: list[Session] = field(default_factory=list[Session])
    planner_waits: list[float] = field(default_factory=list[float])
    use: dict[tuple[str, str], StepUse] = field(default_factory=dict[tuple[str, str], StepUse])
    seeds: list[SeedAdded] = field(default_factory=list[SeedAdded])
    planner_failures: list[PlannerFailed] = field(default_factory=list[PlannerFailed])
    comments: list[tuple[datetime, str, str]] = field(default_factory=list[tuple[datetime, str, str]])
    head: tuple[int, str] | None = None
    _before: float = 0.0
    _began: float | None = None
    _latest: float = 0.0
    _boot: str = ""
    _is_open: bool = False

    @classmethod
    def of(cls, view: CampaignView, journal: Journal | None) -> Account:
        """Read the account of *view* in *journal*; without a journal, what the trials' own times tell."""
        if journal is None:
            return cls(lab_seconds=_since_first_proposal(view))
        account = cls(head=journal.head)
        for event in journal.read(campaign=view.name, kinds=KINDS):
            account._take(event)
        return account

    @property
    def stations(self) -> Sequence[str]:
        """The stations that worked, in the order in which they first ended a step."""
        return tuple(dict.fromkeys(station for station, _ in self.use))

    def busy_seconds(self, station: str) -> float:
        """Return for how long *station* worked."""
        return sum(use.seconds for (name, _), use in self.use.items() if name == station)

    def _take(self, event: Event) -> None:
        # The same clock as CampaignView.lab_seconds: each session from its first event to its own last one. Another
        # process may write a comment meanwhile, by a clock of its own.
        if self._is_open and event.boot_id == self._boot:
            self._latest = event.monotonic
        match event.body:
            case SessionStarted() as body:
                self._begin(event, body)
            case SessionEnded() as body:
                self._end(event, body)
            case StepEnded() as body:
                self._count(body, is_first=not body.members or event.trial == body.members[0])
            case TrialCompleted() | TrialFailed() if event.trial is not None:
                self.lab_seconds[event.trial] = self._now(event)
            case SeedAdded() as body:
                self.seeds.append(body)
            case PlannerFailed() as body:
                self.planner_failures.append(body)
            case TrialProposed(planner_wait=wait):
                self.planner_waits.append(wait)
            case Comment(text=text):
                self.comments.append((event.time, event.actor, text))
            case _:
                pass

    def _begin(self, event: Event, body: SessionStarted) -> None:
        if self._began is not None:
            self._before += self._latest - self._began
        self._began = self._latest = event.monotonic
        self._boot, self._is_open = event.boot_id, True
        self.sessions.append(Session(body.session, event.time, body.host, body.is_virtual, body.versions))

    def _end(self, event: Event, body: SessionEnded) -> None:
        self._is_open = False
        if self.sessions:
            self.sessions[-1] = replace(self.sessions[-1], ended=event.time, status=body.status, reason=body.reason)

    def _now(self, event: Event) -> float:
        return self._before + event.monotonic - (self._began if self._began is not None else event.monotonic)

    def _count(self, body: StepEnded, *, is_first: bool) -> None:
        use = self.use.setdefault((body.station, body.step), StepUse())
        use.seconds += body.seconds if is_first else 0.0  # a run of several trials took its time once
        use.n += 1
        use.n_failed += not body.is_success


def _since_first_proposal(view: CampaignView) -> dict[int, float]:
    trials = view.trials
    if not trials:
        return {}
    began = trials[0].proposed_at
    return {trial.number: (trial.ended_at - began).total_seconds() for trial in trials if trial.ended_at is not None}
