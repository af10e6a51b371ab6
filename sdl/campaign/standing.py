"""Which trials are there to judge others, and which observations can be trusted: folded from the journal."""

from __future__ import annotations

from sdl.campaign.planner import TrialState
from sdl.campaign.quality import QualityControl
from sdl.campaign.trials import TrialRecord
from sdl.journal.records import Event
from sdl.journal.trust import Quality, Role, TrialAssigned, TrialJudged


class Standing:
    """What a view knows of roles and verdicts.

    Attributes
    ----------
    quality
        What is done about it, as the journal says; None: nothing.
    series
        The trials of each control sample and blank, in the order in which they were proposed.
    replicates
        The replicates of each trial likewise.
    completed
        The completed trials, in the order in which they ended.
    n_judged
        Verdicts that were given, also of the same trial.
    n_restarts
        How often a person was told why the campaign stopped, and ran it again.
    """

    def __init__(self) -> None:
        self.quality: QualityControl | None = None
        self.series: dict[str, list[TrialRecord]] = {}
        self.replicates: dict[int, list[TrialRecord]] = {}
        self.completed: list[TrialRecord] = []
        self.n_assigned = 0
        self.n_judged = 0
        self.n_restarts = 0
        self._restarts: dict[int, int] = {}
        self._row_begins = 0

    def assign(self, record: TrialRecord, body: TrialAssigned) -> None:
        """Take in what a trial is made for."""
        record.assigned = body
        self.n_assigned += 1
        if body.of is not None:
            self.replicates.setdefault(body.of, []).append(record)
        else:
            self.series.setdefault(body.series, []).append(record)

    def judge(self, record: TrialRecord, event: Event) -> bool:
        """Take in a verdict; say whether the trial counts from now on, or no longer, where that is another answer."""
        assert isinstance(event.body, TrialJudged)
        before = self.is_trusted(record)
        self.n_judged += 1
        if not record.judged_by:
            record.was_doubted = event.body.verdict.quality is not Quality.VALID
        record.verdict, record.judged_by = event.body.verdict, event.actor
        return self.is_trusted(record) is not before and record.state is TrialState.COMPLETED

    def complete(self, record: TrialRecord) -> None:
        """Take in that a trial has an observation."""
        self.completed.append(record)
        self._restarts[record.number] = self.n_restarts

    def restart(self) -> None:
        """A person was told, and runs it again."""
        self.n_restarts += 1
        self._row_begins = len(self.completed)

    def restarts_before(self, record: TrialRecord) -> int:
        """Return how often the campaign had been run again when *record* was completed."""
        return self._restarts.get(record.number, self.n_restarts)

    def is_trusted(self, record: TrialRecord) -> bool:
        """Whether planners may learn from the trial, and the best be looked for there."""
        quality = record.verdict.quality
        uses_suspects = self.quality is not None and self.quality.suspects == "use"
        return quality is Quality.VALID or (quality is Quality.SUSPECT and uses_suspects)

    def is_held(self, record: TrialRecord) -> bool:
        """Whether the trial counts as pending for planners."""
        is_kept = self.quality is None or self.quality.suspects == "hold"
        return record.verdict.quality is Quality.SUSPECT and is_kept

    def is_for_planners(self, record: TrialRecord) -> bool:
        """Whether the trial is a part of the history."""
        if record.state is TrialState.ABANDONED or record.role is Role.BLANK:
            return False
        return record.state is not TrialState.COMPLETED or self.is_trusted(record) or self.is_held(record)

    def is_ranked(self, record: TrialRecord) -> bool:
        """Whether the best may be this one."""
        return self.is_trusted(record) and record.role not in {Role.CONTROL, Role.BLANK}

    @property
    def n_extra(self) -> int:
        """How many trials judge others and were not abandoned."""
        return sum(record.state is not TrialState.ABANDONED for record in self.assigned)

    @property
    def assigned(self) -> list[TrialRecord]:
        """The trials that judge others."""
        return [record for some in (*self.series.values(), *self.replicates.values()) for record in some]

    @property
    def suspects_in_a_row(self) -> int:
        """How many results in a row came out suspect or invalid, since a person was last told, and still are."""
        n = 0
        for record in reversed(self.completed[self._row_begins :]):
            if not record.was_doubted or record.verdict.quality is Quality.VALID:
                break
            n += 1
        return n

    def count(self, quality: Quality) -> int:
        """Return how many completed trials have a verdict of that quality."""
        return sum(record.verdict.quality is quality for record in self.completed)
