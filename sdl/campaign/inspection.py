"""Quality control at work: which trials are made to judge others, and what they say of them."""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from sdl.campaign.chart import FEWEST, LIMIT, ChartPoint, Reading, by_student, chart
from sdl.campaign.planner import TrialState
from sdl.campaign.quality import Control, QualityControl, charted
from sdl.campaign.trials import TrialRecord
from sdl.campaign.view import CampaignView
from sdl.journal.records import Decision, Observation, ParameterValue, TrialProposed
from sdl.journal.trust import Finding, Quality, Role, TrialAssigned, TrialJudged, Verdict
from sdl.lab import Settings
from sdl.problem import Measurement

Check = Callable[[Mapping[str, Measurement], Settings], "str | Finding | None"]
"""Looks at the outcomes and the settings of a trial (with ``s.results``, what its steps returned), and says what is
wrong: a text makes the result suspect, a :class:`~sdl.journal.trust.Finding` says how bad it is, None is good."""

ENGINE = "engine"
CHART, STUCK, REPLICATES = "control chart", "stuck sensor", "replicates"
"""Sources of findings; that of a chart is followed by the name of its series and of its outcome."""


@dataclass(frozen=True)
class Proposal:
    """A trial that is made to judge others."""

    proposed: TrialProposed
    assigned: TrialAssigned


def control_charts(view: CampaignView, control: Control) -> dict[str, list[ChartPoint]]:
    """Return the control chart of every outcome of *control*, as the journal stands."""
    records = [
        record
        for record in view.standing.completed
        if record.assigned is not None
        and record.assigned.series == control.name
        and record.verdict.quality is not Quality.INVALID
    ]
    return {
        name: chart(_readings(view, records, name), control.expected.get(name))
        for name in charted(control, view.problem)
    }


def _readings(view: CampaignView, records: Sequence[TrialRecord], outcome: str) -> list[Reading]:
    return [
        Reading(record.number, record.observation.outcomes[outcome].value, view.standing.restarts_before(record))
        for record in records
        if record.observation is not None
    ]


class Inspection:
    """One session's.

    Parameters
    ----------
    view
        The campaign.
    quality
        What is to be done; None: nothing.
    checks
        The user's own.
    """

    def __init__(self, view: CampaignView, quality: QualityControl | None, checks: Sequence[Check] = ()) -> None:
        self._view = view
        self._quality = quality
        self._checks = tuple(checks)
        self._repeated_up_to = 0

    # --- which trials -------------------------------------------------------------------------------------------------

    @property
    def is_holding(self) -> bool:
        """Whether a control is out, so that nothing but controls is made."""
        return any(self._last_out(control) is not None for control in self._controls)

    @property
    def _controls(self) -> tuple[Control, ...]:
        return () if self._quality is None else self._quality.controls

    def due(self, n: int, context: Callable[[], Mapping[str, ParameterValue]]) -> list[Proposal]:
        """Return up to *n* trials that are to be made now; *context* gives the contextual parameters."""
        if self._quality is None or n < 1:
            return []
        found = [*self._due_controls()] or [*self._due_replicates()]
        return [self._with_context(proposal, context()) for proposal in found[:n]]

    def _due_controls(self) -> Iterator[Proposal]:
        n_search = self._view.n_proposed - self._view.standing.n_assigned
        for control in self._controls:
            made = self._view.standing.series.get(control.name, [])
            n_made = sum(self._is_scheduled(record) for record in made)
            out = self._last_out(control)
            if any(not record.state.is_final for record in made):
                continue
            if out is not None:
                yield self._control(
                    control, f"{control.name} is made again, because trial {out} was out", is_again=True
                )
            elif n_made < control.n_scheduled(n_search):
                yield self._control(control, f"{control.name} is due: {_after(control, n_made, n_search)}")

    @staticmethod
    def _is_scheduled(record: TrialRecord) -> bool:
        is_again = record.assigned is not None and record.assigned.is_again
        return not is_again and record.state is not TrialState.ABANDONED

    def _control(self, control: Control, note: str, *, is_again: bool = False) -> Proposal:
        assigned = TrialAssigned(role=Role(control.role), series=control.name, is_again=is_again)
        return self._proposal(control.values, assigned, note[:1].upper() + note[1:] + ".")

    def _due_replicates(self) -> Iterator[Proposal]:
        wanted = None if self._quality is None else self._quality.replicates
        if wanted is None:
            return
        is_settled = True
        for number in range(self._repeated_up_to + 1, self._view.n_proposed + 1):
            record = self._view.record(number)
            is_settled = is_settled and record.state.is_final
            for proposal in self._repeats_of(record):
                is_settled = False
                yield proposal
            if is_settled:
                self._repeated_up_to = number

    def _repeats_of(self, record: TrialRecord) -> Iterator[Proposal]:
        assert self._quality is not None
        assert self._quality.replicates is not None
        wanted = self._quality.replicates
        is_wanted = record.role is Role.SEARCH and record.state is TrialState.COMPLETED
        if not is_wanted or record.verdict.quality is Quality.INVALID or self._ordinal(record) % wanted.every:
            return
        made = [
            each
            for each in self._view.standing.replicates.get(record.number, [])
            if each.state is not TrialState.ABANDONED
        ]
        for index in range(len(made), wanted.n):
            note = f"Trial {record.number} is measured again, {index + 1} of {wanted.n} times."
            assigned = TrialAssigned(role=Role.REPLICATE, of=record.number)
            yield self._proposal(record.proposal.values, assigned, note)

    def _ordinal(self, record: TrialRecord) -> int:
        """Return which of the planner's trials it is, from 1."""
        before = sum(other.number < record.number for other in self._view.standing.assigned)
        return record.number - before

    def _proposal(self, values: Mapping[str, ParameterValue], assigned: TrialAssigned, note: str) -> Proposal:
        history = self._view.history
        decision = Decision(
            planner="quality control",
            version="1",
            seed=0,
            n_observed=len(history.completed),
            n_pending=len(history.pending),
            note=note,
        )
        return Proposal(TrialProposed(values=values, decision=decision), assigned)

    @staticmethod
    def _with_context(proposal: Proposal, context: Mapping[str, ParameterValue]) -> Proposal:
        if not context:
            return proposal
        values = {**proposal.proposed.values, **context}
        return Proposal(proposal.proposed.replace(values=values), proposal.assigned)

    def _last_out(self, control: Control) -> int | None:
        """Return the trial of the last control, where it was out."""
        for points in control_charts(self._view, control).values():
            if points and points[-1].is_out:
                return points[-1].reading.trial
        return None

    def reason(self) -> str | None:
        """Say why the campaign should pause now, or None."""
        n = self._view.standing.suspects_in_a_row
        if self._quality is None or n < self._quality.max_in_a_row:
            return None
        last = self._view.standing.completed[-1]
        found = str(last.verdict.findings[0].text) if last.verdict.findings else ""
        return f"{n} results in a row cannot be trusted; trial {last.number}: {found}"

    # --- verdicts -----------------------------------------------------------------------------------------------------

    def judge(self, number: int, observation: Observation, settings: Settings) -> TrialJudged | None:
        """Return the verdict on an observation that is about to be recorded; None where nothing is looked at."""
        if self._quality is None:
            return None
        record = self._view.record(number)
        looks = (
            self._by_checks(observation, settings),
            self._by_repetition(record, observation),
            self._by_charts(record, observation),
            self._by_replicates(record, observation),
        )
        findings = [finding for look in looks for finding in look[1]]
        checked = [name for look in looks for name in look[0]]
        return TrialJudged(verdict=_verdict(findings, checked))

    def judge_step(self, returned: object, settings: Settings) -> Quality:
        """Return what the campaign's checks say of what one step returned, before the trial has ended.

        Outcomes that the step did not return are not there; a check that misses one says nothing.
        """
        outcomes: dict[str, Measurement] = {}
        if not isinstance(returned, Mapping):
            return Quality.VALID
        for name, value in cast("Mapping[str, object]", returned).items():
            with contextlib.suppress(Exception):  # what is no outcome says nothing of the outcomes
                outcomes |= self._view.problem.observe({name: value}, partial=True)
        worst = Quality.VALID
        for check in self._checks:
            try:
                said = check(outcomes, settings)
            except KeyError:
                continue
            except Exception:  # noqa: BLE001 # the border: a check that cannot cope has found something strange
                said = "it raised"
            found = said.quality if isinstance(said, Finding) else Quality.SUSPECT if said else Quality.VALID
            worst = max(worst, found, key=lambda each: each.badness)
        return worst

    def _by_checks(self, observation: Observation, settings: Settings) -> _Look:
        names = [f"check {getattr(check, '__name__', type(check).__name__)}" for check in self._checks]
        findings: list[Finding] = []
        for name, check in zip(names, self._checks, strict=True):
            try:
                said = check(observation.outcomes, settings)
            except Exception as error:  # noqa: BLE001 # the border: a check that cannot cope has found something strange
                said = f"it raised {type(error).__name__}: {error}"
            if isinstance(said, Finding):
                findings.append(said.replace(source=name))
            elif said:
                findings.append(Finding(source=name, quality=Quality.SUSPECT, text=str(said)))
        return names, findings

    def _by_repetition(self, record: TrialRecord, observation: Observation) -> _Look:
        assert self._quality is not None
        n = self._quality.stuck_after
        if n is None:
            return [], []
        before = self._view.standing.completed[-(n - 1) :]
        findings: list[Finding] = []
        for outcome in self._view.problem.outcomes:
            value = observation.outcomes[outcome].value
            values = [_value(each, outcome) for each in before]
            is_elsewhere = any(each.proposal.values != record.proposal.values for each in before)
            if len(before) == n - 1 and set(values) == {value} and value not in self._quality.ordinary and is_elsewhere:
                text = f"{outcome} = {value!r} to the last digit in {n} results in a row"
                findings.append(Finding(source=STUCK, quality=Quality.SUSPECT, text=text, trial=before[0].number))
        return [STUCK], findings

    def _by_charts(self, record: TrialRecord, observation: Observation) -> _Look:
        names: list[str] = []
        findings: list[Finding] = []
        for control in self._controls:
            is_own = record.assigned is not None and record.assigned.series == control.name
            for outcome, points in control_charts(self._view, control).items():
                source = f"{CHART} {control.name}, {outcome}"
                text, trial = "", None
                if is_own:
                    value = observation.outcomes[outcome].value
                    readings = [point.reading for point in points]
                    new = Reading(record.number, value, self._view.standing.n_restarts)
                    text = chart([*readings, new], control.expected.get(outcome))[-1].signal
                elif points and points[-1].is_out:
                    trial = points[-1].reading.trial
                    text = f"made while trial {trial} was out"
                names.append(source)
                if text:
                    findings.append(Finding(source=source, quality=Quality.SUSPECT, text=text, trial=trial))
        return names, findings

    def _by_replicates(self, record: TrialRecord, observation: Observation) -> _Look:
        if record.assigned is None or record.assigned.of is None:
            return [], []
        of = record.assigned.of
        others = [self._view.record(of), *self._view.standing.replicates.get(of, [])]
        group = [each for each in others if each.number != record.number and _counts(each)]
        findings = [
            Finding(source=REPLICATES, quality=Quality.SUSPECT, text=text, trial=of)
            for outcome in self._view.problem.outcomes
            if (text := self._disagreement(outcome, observation.outcomes[outcome].value, group, of))
        ]
        return [REPLICATES], findings

    def _disagreement(self, outcome: str, value: float, group: Sequence[TrialRecord], of: int) -> str:
        """Say how far *value* is from the other measurements of its group, where that is too far."""
        assert self._quality is not None
        scale = self._quality.replicates.scale if self._quality.replicates is not None else "linear"
        spread, degrees = self._repeatability(outcome, scale, besides=of)
        values = [_on_scale(_value(each, outcome), scale) for each in group]
        if not values or degrees < FEWEST or spread <= 0.0:
            return ""
        mean = math.fsum(values) / len(values)
        q = by_student((_on_scale(value, scale) - mean) / (spread * math.sqrt(1 + 1 / len(values))), degrees)
        if abs(q) <= LIMIT:
            return ""
        others = ", ".join(f"{_value(each, outcome):.4g} in trial {each.number}" for each in group)
        return f"{outcome} = {value:.4g} against {others}: {abs(q):.1f} standard deviations of repeats"

    def _repeatability(self, outcome: str, scale: str, *, besides: int) -> tuple[float, int]:
        """Return the pooled standard deviation of repeats and its degrees of freedom, without the group *besides*."""
        groups: defaultdict[object, list[float]] = defaultdict(list)
        for record in self._view.standing.completed:
            if record.verdict.quality is not Quality.VALID or record.role is Role.BLANK:
                continue
            key = record.number if record.assigned is None else record.assigned.of or record.assigned.series
            if key != besides:
                groups[key].append(_on_scale(_value(record, outcome), scale))
        degrees = sum(len(values) - 1 for values in groups.values())
        total = math.fsum((v - math.fsum(some) / len(some)) ** 2 for some in groups.values() for v in some)
        return (math.sqrt(total / degrees) if degrees else 0.0), degrees

    # --- what a result says of others ---------------------------------------------------------------------------------

    def review(self) -> list[tuple[int, TrialJudged]]:
        """Return the verdicts that change by what has been measured since. Those that a person gave stay."""
        if self._quality is None:
            return []
        wanted, cleared = self._said_of_others()
        changed: list[tuple[int, TrialJudged]] = []
        for record in self._view.standing.completed:
            before = record.verdict
            kept = [each for each in before.findings if (each.source, each.trial) not in cleared]
            known = {(each.source, each.trial) for each in before.findings}
            new = [each for each in wanted.get(record.number, []) if (each.source, each.trial) not in known]
            if record.judged_by in {"", ENGINE} and (new or len(kept) < len(before.findings)):
                checked = [*before.checked, *(() if new else ("control made again",))]
                changed.append((record.number, TrialJudged(verdict=_verdict([*kept, *new], checked))))
        return changed

    def _said_of_others(self) -> tuple[Mapping[int, list[Finding]], set[tuple[str, int | None]]]:
        wanted: defaultdict[int, list[Finding]] = defaultdict(list)
        cleared: set[tuple[str, int | None]] = set()
        for control in self._controls:
            for outcome, points in control_charts(self._view, control).items():
                source = f"{CHART} {control.name}, {outcome}"
                for index, point in enumerate(points):
                    if not point.is_out:
                        continue
                    if _is_cleared(points, index):
                        cleared.add((source, point.reading.trial))
                    else:
                        self._doubt_since(wanted, source, point)
        for record in self._view.standing.completed:
            self._doubt_repeated(wanted, record)
        return wanted, cleared

    def _doubt_since(self, wanted: Mapping[int, list[Finding]], source: str, point: ChartPoint) -> None:
        """What was completed between the last good control and the one that is out is suspect."""
        trial, since = point.reading.trial, point.since
        where = "" if since is None else f" after trial {since}"
        is_between = since is None
        for record in self._view.standing.completed:
            if record.number == trial:
                return
            if is_between and record.role not in {Role.CONTROL, Role.BLANK}:
                text = f"made{where}, before trial {trial}: {point.signal}"
                wanted[record.number].append(Finding(source=source, quality=Quality.SUSPECT, text=text, trial=trial))
            is_between = is_between or record.number == since

    def _doubt_repeated(self, wanted: Mapping[int, list[Finding]], record: TrialRecord) -> None:
        """Doubt the first results of a sensor that is stuck, and the trial that its first replicate disagrees with."""
        for finding in record.verdict.findings:
            if finding.source == STUCK and finding.trial is not None:
                numbers = [each.number for each in self._view.standing.completed]
                first, last = numbers.index(finding.trial), numbers.index(record.number)
                for number in numbers[first:last]:
                    if number not in wanted or all(each.source != STUCK for each in wanted[number]):
                        wanted[number].append(finding.replace(trial=finding.trial))
            if finding.source == REPLICATES and finding.trial is not None and finding.trial != record.number:
                made = self._view.standing.replicates.get(finding.trial, [])
                if [each for each in made if _counts(each)][:1] == [record]:
                    text = f"trial {record.number} repeats it: {finding.text}"
                    wanted[finding.trial].append(finding.replace(text=text))


_Look = tuple[list[str], list[Finding]]
"""What was looked at, and what was found."""


def _verdict(findings: Sequence[Finding], checked: Sequence[str]) -> Verdict:
    worst = max((finding.quality for finding in findings), key=lambda each: each.badness, default=Quality.VALID)
    return Verdict(worst, findings=tuple(findings), checked=tuple(dict.fromkeys(checked)))


def _is_cleared(points: Sequence[ChartPoint], index: int) -> bool:
    """Whether a control was out only once: the one before and the one after were not."""
    before = index > 0 and points[index - 1].is_out
    return not before and index + 1 < len(points) and not points[index + 1].is_out


def _after(control: Control, n_made: int, n_search: int) -> str:
    if n_made < control.at_start:
        return (
            f"{n_made + 1} of {control.at_start} before the planner's trials" if n_search == 0 else "it begins with one"
        )
    return f"one after every {control.every} trials of the planner, which has proposed {n_search}"


def _counts(record: TrialRecord) -> bool:
    return record.state is TrialState.COMPLETED and record.verdict.quality is not Quality.INVALID


def _value(record: TrialRecord, outcome: str) -> float:
    assert record.observation is not None
    return record.observation.outcomes[outcome].value


def _on_scale(value: float, scale: str) -> float:
    return math.log(value) if scale == "log" and value > 0 else value
