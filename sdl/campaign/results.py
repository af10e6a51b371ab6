"""The edge where what an experiment returned becomes an observation, or a failure with a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sdl.campaign.returned import readable, shown
from sdl.errors import (
    DeviceError,
    DeviceTimeout,
    InterlockError,
    LimitError,
    ObservationError,
    ReadbackError,
    SdlError,
    StepAborted,
    TransportError,
)
from sdl.journal.protocol import Journal
from sdl.journal.records import Artifact, Failure, FailureCategory, Observation
from sdl.lab import Experiment, Settings
from sdl.problem import Measurement, Problem

TRIAL_KEY = "_trial"
"""An evaluation may echo the trial's number under this key; another number is refused: a result for the wrong trial."""

_CATEGORIES: Sequence[tuple[type[BaseException], FailureCategory]] = (
    (StepAborted, FailureCategory.ABORTED),
    (InterlockError, FailureCategory.INTERLOCK),
    (LimitError, FailureCategory.LIMIT),
    (ReadbackError, FailureCategory.READBACK),
    (DeviceTimeout, FailureCategory.TIMEOUT),
    (DeviceError, FailureCategory.DEVICE),
    (TransportError, FailureCategory.DEVICE),
    (ObservationError, FailureCategory.MEASUREMENT),
)


def category_of(error: BaseException) -> FailureCategory:
    """File an error under the part of the trial that it comes from; an error of the user's own is the plan's."""
    for kind, category in _CATEGORIES:
        if isinstance(error, kind):
            return category
    return FailureCategory.PLAN


def observe(
    problem: Problem, experiment: Experiment, settings: Settings, results: Mapping[str, Any], runs: Sequence[str]
) -> Observation:
    """Turn what the steps returned into an observation.

    Raises
    ------
    ObservationError
        For anything but a mapping that names every outcome of the problem with a finite number in a unit of the right
        dimension, and for a result that names another trial. An error of the user's evaluation passes through.
    """
    raw = experiment.evaluate(results, settings)
    outcomes = {readable(str(name)): value for name, value in raw.items()}
    echoed = outcomes.pop(TRIAL_KEY, settings.trial)
    if echoed != settings.trial:
        raise ObservationError(f"the result is for trial {echoed}, not for trial {settings.trial}")
    return Observation(outcomes=problem.observe(outcomes), runs=tuple(runs))


def failure_of(
    error: BaseException,
    *,
    problem: Problem,
    step: str | None,
    results: Mapping[str, Any],
    runs: Sequence[str],
    raw: Artifact | None = None,
) -> Failure:
    """Describe a failed trial: the category, the reason, what was measured so far, and where the raw result is."""
    reason = shown(error) or type(error).__name__
    if not isinstance(error, SdlError):
        reason = f"{type(error).__name__}: {reason}"
    return Failure(
        category=category_of(error),
        reason=reason,
        step=step,
        partial=_partial(problem, results),
        runs=tuple(runs),
        raw=raw,
    )


def _partial(problem: Problem, results: Mapping[str, Any]) -> dict[str, Measurement]:
    """Return the outcomes among *results* that are valid by themselves."""
    found: dict[str, Measurement] = {}
    for result in results.values():
        if not isinstance(result, Mapping):
            continue
        for name, value in cast("Mapping[object, object]", result).items():
            try:
                found |= problem.observe({readable(str(name)): value}, partial=True)
            except Exception:  # noqa: BLE001, S112 # what is no outcome is no partial result; the raw data are kept
                continue
    return found


def keep_raw(journal: Journal, trial: int, results: Mapping[str, Any]) -> Artifact:
    """Keep what the steps returned, as it was, where it could not become an observation."""
    text = "\n".join(f"{step}: {shown(value)}" for step, value in results.items())
    return journal.put(text.encode(errors="backslashreplace"), name=f"trial-{trial}-raw.txt", media_type="text/plain")
