"""What the commands say of a campaign and of its trials: as data for programs, and in words for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from pydantic import JsonValue

from sdl.campaign.trials import Trial
from sdl.campaign.view import CampaignView
from sdl.export import words
from sdl.export.tables import winners
from sdl.journal.records import Prediction
from sdl.lab.actions import ActRecord
from sdl.problem import Measurement, ParameterValue
from sdl.problem.value import Value


def values_json(values: Mapping[str, ParameterValue], units: Mapping[str, str | None]) -> dict[str, JsonValue]:
    """Return parameter values, each with its unit."""
    return {name: {"value": value, "unit": units[name]} for name, value in values.items()}


def mapping_json(values: Mapping[str, Value]) -> dict[str, JsonValue]:
    """Return a mapping of values as data."""
    return {name: value.model_dump(mode="json") for name, value in values.items()}


def trial_json(trial: Trial) -> dict[str, JsonValue]:
    """Return a trial in short: number, state, values, outcomes, failure, reason."""
    return {
        "trial": trial.number,
        "state": trial.state.value,
        "values": values_json(trial.values, trial.units),
        "outcomes": mapping_json(trial.observation.outcomes) if trial.observation is not None else {},
        "failure": trial.failure.model_dump(mode="json") if trial.failure is not None else None,
        "reason": trial.reason or None,
        "role": trial.role.value,
        "verdict": trial.verdict.model_dump(mode="json"),
    }


def verdict_lines(trial: Trial) -> list[str]:
    """Say for a person whether the result can be trusted: the verdict, what speaks against it, what was looked at."""
    verdict = trial.verdict
    if trial.observation is None or not (verdict.checked or verdict.findings):
        return []
    findings = [f"  {each.quality.value}, {each.source}: {each.text}" for each in verdict.findings]
    return [
        verdict.quality.value,
        *findings,
        *([f"  looked at: {', '.join(verdict.checked)}"] if verdict.checked else []),
    ]


def act_json(act: ActRecord) -> dict[str, JsonValue]:
    """Return an act that may not be repeated, and what is known of it."""
    return {
        "act": act.act,
        "step": act.step,
        "device": act.device,
        "verb": act.verb,
        "class": act.action_class.value,
        "arguments": act.arguments,
        "intended_at": time_json(datetime.fromtimestamp(act.intended_at, UTC)),
        "outcome": act.outcome,
        "reason": act.reason or None,
        "answer": act.answer,
        "evidence": act.evidence or None,
        "answered_by": act.answered_by or None,
        "is_unknown": act.is_unknown,
    }


def act_lines(acts: Iterable[ActRecord]) -> list[str]:
    """Say of each act what was intended, when, and what is known of it."""
    return [
        f"act {act.act}: {act}, intended {second(datetime.fromtimestamp(act.intended_at, UTC))}; {last_evidence(act)}"
        for act in acts
    ]


def last_evidence(act: ActRecord) -> str:
    """Say what is known of an act so far."""
    known = [f"it ended as {act.outcome}" if act.outcome else "no end is recorded", act.reason]
    said = f"{act.answer.replace('_', ' ')}, says {act.answered_by}" if act.answer else ""
    return "; ".join(filter(None, (*known, said, act.evidence)))


def time_json(time: datetime | None) -> str | None:
    """Return a UTC time as ISO 8601."""
    return None if time is None else time.astimezone(UTC).isoformat()


def second(time: datetime | None) -> str:
    """Write a UTC time to the second; nothing for None."""
    return "" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def point_text(values: Mapping[str, ParameterValue], units: Mapping[str, str | None]) -> str:
    """Write a point for a person."""
    return ", ".join(f"{name} = {words.setting(value, units[name])}" for name, value in values.items())


def outcomes_text(outcomes: Mapping[str, Measurement]) -> str:
    """Write measured outcomes for a person."""
    return ", ".join(f"{name} = {words.measurement(measured)}" for name, measured in outcomes.items())


def prediction_text(predicted: Mapping[str, Prediction], units: Mapping[str, str | None]) -> str:
    """Write what was expected: mean ± standard deviation of every outcome."""
    return ", ".join(f"{name} = {words.prediction(found, units.get(name))}" for name, found in predicted.items())


def winner_lines(view: CampaignView) -> list[str]:
    """Say which trials are the best: what came out, and where."""
    return [
        f"trial {trial.number}: {outcomes_text(trial.observation.outcomes)} at {point_text(trial.values, trial.units)}"
        for trial in winners(view)
        if trial.observation is not None
    ]


def expectations(trial: Trial, units: Mapping[str, str | None]) -> Iterator[str]:
    """Yield a sentence for every outcome that was predicted: what was expected, what was measured, how far off it was.

    *units* has the unit of every outcome.
    """
    for name, predicted in trial.decision.predicted.items():
        expected = f"Expected {prediction_text({name: predicted}, units)}"
        measured = None if trial.observation is None else trial.observation.outcomes.get(name)
        if measured is None:
            yield f"{expected}."
            continue
        off = deviation(predicted, measured)
        how_far = "" if off is None else f": {off:.1f} standard deviations off"
        yield f"{expected}, measured {words.measurement(measured)}{how_far}."


def deviation(predicted: Prediction, measured: Measurement) -> float | None:
    """Return by how many standard deviations the measurement missed the prediction; None where neither is uncertain."""
    spread = (predicted.standard_deviation**2 + (measured.standard_error or 0.0) ** 2) ** 0.5
    return abs(measured.value - predicted.mean) / spread if spread > 0 else None
