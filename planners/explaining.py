"""Why a point was chosen, and what the model is like: the figures of decision records and reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt

import numpy as np

from sdl.journal.beliefs import Influence, Lengthscale, ModelSummary, Sensitivity
from sdl.journal.records import Decision, Prediction, RunnerUp
from sdl.planners.domain import Domain
from sdl.planners.encoding import ApproximationCode, Array, ChoiceCode, Code, Encoding, to_target
from sdl.planners.evidence import matern
from sdl.planners.field import Field
from sdl.planners.maximise import Ranked, Ranking
from sdl.planners.numerics import sobol_indices
from sdl.planners.outcome import OutcomeFit
from sdl.planners.surrogate import Surrogate
from sdl.planners.warp import Scale
from sdl.problem import Categorical, Objective, Problem
from sdl.problem.value import listing
from sdl.problem.writing import in_unit, with_error

N_INFLUENCES = 3

IN_95_PERCENT = 1.959964
"""Half the width of the interval that holds 95 % of a normal variable, in its deviations."""

N_SOBOL = 512
"""Points of each of the samples that Sobol's indices are estimated from; a power of 2."""


def explained(
    decision: Decision, surrogate: Surrogate, problem: Problem, feasible_rows: Array, ranking: Ranking
) -> Decision:
    """Fill in why the best of *ranking* was chosen."""
    rows = np.array([ranked.row for ranked in ranking.best])
    predicted = surrogate.predict(rows)
    gain, certain = _gains(surrogate, problem, feasible_rows, to_target(Encoding(problem.space), rows[:1]))
    exploration = _exploration(gain, certain) if len(problem.objectives) == 1 else None
    models = summaries(surrogate, problem)
    sentence = _sentence(surrogate, problem, predicted[0], exploration)
    return decision.replace(
        predicted=predicted[0],
        acquisition=ranking.best[0].value,
        expected_improvement=gain,
        exploration=exploration,
        influences=influences(surrogate, problem.objectives[0], rows[:1]),
        models=models,
        runners_up=tuple(_runner_up(*pair) for pair in zip(ranking.best[1:], predicted[1:], strict=True)),
        note=" ".join(filter(None, [decision.note, sentence, *warnings_of(models), ranking.note])),
    )


def _runner_up(ranked: Ranked, predicted: Mapping[str, Prediction]) -> RunnerUp:
    return RunnerUp(values=ranked.point, acquisition=ranked.value, predicted=predicted)


def _gains(surrogate: Surrogate, problem: Problem, feasible_rows: Array, row: Array) -> tuple[float | None, float]:
    """Return what the first objective is expected to gain over the best feasible trial, with and without doubt.

    The best trial is the one that the model expects the best score of, without the luck of its measurement.
    """
    if not len(feasible_rows):
        return None, 0.0
    objective = problem.objectives[0]
    best = float(surrogate.expected_score(objective, feasible_rows).max())
    chance = float(surrogate.chance_to_keep(problem.outcome_constraints, row)[0])
    gain = float(surrogate.expected_improvement(objective, row, best)[0])
    certain = max(float(surrogate.score_of_mean(objective, row)[0]) - best, 0.0)
    return gain * chance, certain * chance


def _exploration(gain: float | None, certain: float) -> float | None:
    """Return the part of an expected improvement that would vanish if the prediction were certain."""
    if gain is None or gain <= 0.0:
        return None
    return float(np.clip(1.0 - certain / gain, 0.0, 1.0))


def influences(surrogate: Surrogate, objective: Objective, row: Array) -> tuple[Influence, ...]:
    """Return the trials that the mean of *objective*'s outcome at *row* stands on most."""
    shares = surrogate.field(objective.outcome).shares(row)[0]
    by_trial: dict[int, float] = {}
    for trial, share in zip(surrogate.fits[objective.outcome].trials, shares, strict=True):
        by_trial[trial] = by_trial.get(trial, 0.0) + float(share)
    order = sorted(by_trial, key=lambda trial: -by_trial[trial])
    return tuple(Influence(trial=trial, share=min(by_trial[trial], 1.0)) for trial in order[:N_INFLUENCES])


# --- the model --------------------------------------------------------------------------------------------------------


def summaries(surrogate: Surrogate, problem: Problem, domain: Domain | None = None) -> dict[str, ModelSummary]:
    """Return what the model of every outcome is like; with Sobol's indices where a *domain* is given."""
    encoding = Encoding(problem.space)
    found: dict[str, ModelSummary] = {}
    for name, fit in surrogate.fits.items():
        errors, deviations = surrogate.field(name).left_out()
        is_enough = len(errors) >= 3
        found[name] = ModelSummary(
            scale=fit.warp.scale.value,
            n=len(errors),
            noise=_noise(fit),
            lengthscales={code.name: _lengthscale(code, fit, problem) for code in encoding.codes},
            resemblance=min((_of_links(fit, encoding)[name] for name in fit.sets), default=None),
            resemblances=_of_links(fit, encoding),
            prior_weight=fit.prior_weight,
            drift=_drift(fit, surrogate.field(name)) if fit.drifts else None,
            discounted=fit.discounted,
            coverage=float((np.abs(errors) <= IN_95_PERCENT * deviations).mean()) if is_enough else None,
            skill=_skill(fit, errors) if is_enough else None,
            sensitivity={} if domain is None else sensitivities(surrogate, name, domain),
        )
    return found


def _drift(fit: OutcomeFit, field: Field) -> float:
    """Return by how much the outcome has changed from the first trial to now, in its unit, at the median outcome."""
    place = fit.data.inputs[int(np.argsort(fit.data.targets)[len(fit.data.targets) // 2])]
    then, now = place.copy(), place.copy()
    then[-1], now[-1] = fit.data.inputs[:, -1].min(), 0.0
    before, after = fit.warp.backward(field.at(np.stack([then, now])).mean[:, 0])
    return float(after - before)


def _noise(fit: OutcomeFit) -> float:
    """Return the deviation of the noise that is assumed, in the outcome's unit, at the median outcome."""
    middle = np.median(fit.data.targets)
    step = 0.5 * sqrt(fit.next_noise)
    low, high = fit.warp.backward(np.array([middle - step, middle + step]))
    return abs(float(high - low))


def _skill(fit: OutcomeFit, errors: Array) -> float | None:
    targets, n = fit.data.targets, len(errors)
    naive = (targets - targets.mean()) * n / (n - 1)  # what the mean of all others misses each by
    size = float(naive @ naive)
    return None if size <= 1e-12 * n else 1.0 - float(errors @ errors) / size


def _lengthscale(code: Code, fit: OutcomeFit, problem: Problem) -> Lengthscale:
    lengths = fit.lengthscales[code.start : code.start + code.width]
    if isinstance(code, ChoiceCode):
        return Lengthscale(kind="resemblance", value=_between_levels(code.levels() / lengths))
    length = float(lengths.min())
    if isinstance(code, ApproximationCode):
        return Lengthscale(kind="resemblance", value=_resemblance(length))
    if code.is_log:
        return Lengthscale(kind="factor", value=float((code.high / code.low) ** min(length, 100.0)))
    return Lengthscale(kind="length", value=length * (code.high - code.low), unit=_unit(problem, code.name))


def _between_levels(levels: Array) -> float:
    """Return the mean correlation between two different levels, in lengthscales, shape (levels, columns)."""
    squared = ((levels[:, None, :] - levels[None, :, :]) ** 2).sum(axis=2)
    return float(matern(squared)[0][~np.eye(len(levels), dtype=bool)].mean())


def _of_links(fit: OutcomeFit, encoding: Encoding) -> dict[str, float]:
    """Return how much the data of approximations, and of sets of prior data, resemble those that count."""
    names = [name for code in encoding.codes if isinstance(code, ApproximationCode) for name in code.others]
    links = zip((*names, *fit.sets), fit.data.links, strict=True)
    return {name: _resemblance(float(fit.hyperparameters.lengthscales[group])) for name, group in links}


def _resemblance(length: float) -> float:
    """Return the correlation at distance 1."""
    return float(matern(np.array([length**-2.0]))[0][0])


def _unit(problem: Problem, name: str) -> str | None:
    parameter = problem.space.parameters[name]
    return None if isinstance(parameter, Categorical) else parameter.unit


def sensitivities(surrogate: Surrogate, outcome: str, domain: Domain) -> dict[str, Sensitivity]:
    """Return Sobol's indices of every free parameter of *domain*, for the mean of the model on its own scale.

    Parameters vary independently over their whole ranges; constraints among them and pools are not looked at.
    """
    names = [code.name for code in domain.free_codes]
    field = surrogate.field(outcome)
    first, total = sobol_indices(lambda fractions: field.at(domain.place(fractions)).mean[:, 0], len(names), N_SOBOL)
    return {name: Sensitivity(alone=float(a), in_all=float(b)) for name, a, b in zip(names, first, total, strict=True)}


# --- in words ---------------------------------------------------------------------------------------------------------


def _sentence(
    surrogate: Surrogate, problem: Problem, predicted: Mapping[str, Prediction], exploration: float | None
) -> str:
    """Say in words what is expected, by which model, and whether it can be trusted."""
    outcomes = [_expected(name, unit, predicted[name]) for name, unit in problem.outcomes.items()]
    bent = [f"{name} {fit.warp.scale}" for name, fit in surrogate.fits.items() if fit.warp.scale is not Scale.LINEAR]
    n = max(len(fit.data.targets) for fit in surrogate.fits.values())
    scales = f" ({', '.join(bent)})" if bent else ""
    share = "" if exploration is None else f" {_aim(exploration)}"
    return f"Expected {', '.join(outcomes)}, by Gaussian processes on {n} observations{scales}.{share}"


def _aim(exploration: float) -> str:
    if exploration > 0.9:
        return "It explores: a gain is possible here rather than expected."
    if exploration < 0.5:
        return "It exploits: most of the gain is expected."
    return f"{exploration:.0%} of the expected gain is exploration."


def _expected(name: str, unit: str | None, prediction: Prediction) -> str:
    return f"{name} {in_unit(with_error(prediction.mean, prediction.standard_deviation), unit)}"


def warnings_of(models: Mapping[str, ModelSummary]) -> Sequence[str]:
    """Return what is wrong with the models, in sentences."""
    found = [f"The model of {name}: {model.warning}." for name, model in models.items() if model.warning]
    for name, model in models.items():
        if model.drift is not None:
            found.append(f"{name} drifts: by {model.drift:.3g} since the first trial, all else equal.")
        if model.discounted:
            numbers = listing(model.discounted)
            found.append(f"{name} of trial {numbers} does not fit the others, and counts less.")
        if model.prior_weight == 0.0:
            found.append(f"The prior mean of {name} misleads, and is not used.")
    return found
