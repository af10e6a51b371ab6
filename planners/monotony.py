"""Outcomes that only rise, or only fall, with a parameter.

The sign of the slope is told to the model at places all over the space as a soft step function of a difference, whose
posterior is not normal; expectation propagation finds the normal factors that stand for it best. Riihimäki and Vehtari,
"Gaussian processes with monotonicity information" (AISTATS 2010), do this with derivatives. Differences over a step say
the same, and need nothing but the kernel itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import log, pi

import numpy as np

from sdl.planners.encoding import Array, Encoding, NumberCode
from sdl.planners.field import Differences, Field
from sdl.planners.kernel import padded
from sdl.planners.numerics import cholesky, log_normal_cdf, lower_inverse, normal_cdf, normal_draws
from sdl.planners.outcome import OutcomeFit

STEP = 0.2
"""Outcomes are compared this far apart along the parameter, in units of its range."""

N_PLACES = 64
"""So many places are looked at for every parameter, besides those of the observations."""

N_TOLD = 24
"""So many differences are told to the model: where it doubts their sign most."""

N_JUDGED = 16
"""At so many places it is judged how likely a model is to be monotonic."""

SURE = 0.99
"""Where the sign is this certain, nothing need be told."""

WIDTH = 0.1
"""A difference may go the wrong way by about this, in standard deviations of the outcome."""

N_SWEEPS, DAMPING = 30, 0.7
"""How often expectation propagation goes round, and how far it goes each time."""

ROUNDS = 3
"""How often the model is asked anew where it doubts."""


def with_monotony(fit: OutcomeFit, signs: Mapping[str, int], encoding: Encoding) -> OutcomeFit:
    """Return *fit* with what *signs* say of parameters: +1 where the outcome rises with one, -1 where it falls."""
    plain, pairs = fit, _pairs(fit, signs, encoding)
    if pairs is None:
        return fit
    low, high = pairs
    told = np.zeros(len(low), dtype=bool)
    for _ in range(ROUNDS):
        means, covariance = _differences(Field.of(fit), low, high)
        certain = normal_cdf(means / np.sqrt(np.maximum(np.diag(covariance), 1e-12)))
        doubtful = np.argsort(np.where(told, np.inf, certain), kind="stable")[:N_TOLD]
        fresh = [int(number) for number in doubtful if certain[number] < SURE and not told[number]]
        if not fresh:
            break
        told[fresh] = True
        means, covariance = _differences(Field.of(plain), low[told], high[told])
        fit = replace(plain, differences=Differences(low[told], high[told], *propagated(means, covariance)))
    return fit


def log_chance(fit: OutcomeFit, signs: Mapping[str, int], encoding: Encoding) -> float:
    """Return the log of the chance, by *fit*, that the outcome is monotonic: at places all over the space."""
    pairs = _pairs(replace(fit, data=replace(fit.data, inputs=fit.data.inputs[:0])), signs, encoding)
    if pairs is None:
        return 0.0
    low, high = (part[:: max(1, len(part) // N_JUDGED)] for part in pairs)
    means, covariance = _differences(Field.of(replace(fit, differences=None)), low, high)
    values, noise = propagated(means, covariance)
    return _log_mass(means, covariance, values, noise)


def _log_mass(means: Array, covariance: Array, values: Array, noise: Array) -> float:
    """Return the log of the chance that all variables are positive: Rasmussen and Williams, equation 3.65."""
    joint = covariance + np.diag(noise)
    factor = cholesky(joint)
    if factor is None:
        return -np.inf
    whitened = lower_inverse(factor) @ (values - means)
    posterior = covariance - covariance @ np.linalg.solve(joint, covariance)
    centres = means + covariance @ np.linalg.solve(joint, values - means)
    rest = np.maximum(1.0 / np.maximum(np.diag(posterior), 1e-12) - 1.0 / noise, 1e-9)
    rest_mean = (centres / np.maximum(np.diag(posterior), 1e-12) - values / noise) / rest
    z = rest_mean / np.sqrt(WIDTH**2 + 1.0 / rest)
    spread = 1.0 / rest + noise
    sites = log_normal_cdf(z) + 0.5 * np.log(spread) + 0.5 * (rest_mean - values) ** 2 / spread
    return float(sites.sum() - 0.5 * whitened @ whitened - np.log(np.diag(factor)).sum())


def _pairs(fit: OutcomeFit, signs: Mapping[str, int], encoding: Encoding) -> tuple[Array, Array] | None:
    """Return pairs of rows, the second of which has the greater outcome."""
    codes = [code for code in encoding.codes if isinstance(code, NumberCode) and code.name in signs]
    n = fit.kernel.n_columns
    everywhere = normal_cdf(normal_draws(encoding.n_columns, N_PLACES, seed=0)).T
    places = np.vstack([_on_levels(everywhere, encoding), fit.data.inputs[:, : encoding.n_columns]])
    lows: list[Array] = []
    highs: list[Array] = []
    for code in codes:
        below, above = places.copy(), places.copy()
        below[:, code.start] = np.clip(places[:, code.start] - 0.5 * STEP, 0.0, 1.0 - STEP)
        above[:, code.start] = below[:, code.start] + STEP
        lows.append(below if signs[code.name] > 0 else above)
        highs.append(above if signs[code.name] > 0 else below)
    if not codes:
        return None
    return padded(np.vstack(lows), n), padded(np.vstack(highs), n)


def _on_levels(rows: Array, encoding: Encoding) -> Array:
    """Return *rows* with legal levels where parameters have levels."""
    moved = rows.copy()
    for code in encoding.codes:
        levels = code.levels()
        if levels is not None:
            chosen = np.minimum((rows[:, code.start] * len(levels)).astype(np.intp), len(levels) - 1)
            moved[:, code.start : code.start + code.width] = levels[chosen]
    return moved


def _differences(field: Field, low: Array, high: Array) -> tuple[Array, Array]:
    """Return mean, shape (m,), and covariance, shape (m, m), of the outcome at *high* minus that at *low*."""
    both = field.at(np.vstack([high, low]))
    m, full = len(low), field.covariance(both, both)
    covariance = full[:m, :m] - full[:m, m:] - full[m:, :m] + full[m:, m:]
    return both.mean[:m, 0] - both.mean[m:, 0], covariance


def propagated(means: Array, covariance: Array) -> tuple[Array, Array]:
    """Return values and variances of the normal factors that stand for "these variables are positive".

    Expectation propagation, all factors at once and damped: Rasmussen and Williams, "Gaussian Processes for Machine
    Learning" (2006), section 3.6, with a likelihood of width :data:`WIDTH`.

    Parameters
    ----------
    means, covariance
        What is known of the variables, shape (m,) and (m, m).
    """
    m = len(means)
    precisions, shifts = np.full(m, 1e-6), np.zeros(m)
    jittered = covariance + 1e-9 * max(float(np.trace(covariance)) / m, 1e-12) * np.eye(m)
    for _ in range(N_SWEEPS):
        root = np.sqrt(precisions)
        inner = np.linalg.inv(np.eye(m) + root[:, None] * jittered * root[None, :])
        posterior = jittered - jittered @ (root[:, None] * inner * root[None, :]) @ jittered
        centres = posterior @ (shifts - precisions * means) + means
        wanted, wanted_shifts = _matched(centres, np.maximum(np.diag(posterior), 1e-12), precisions, shifts)
        precisions += DAMPING * (wanted - precisions)
        shifts += DAMPING * (wanted_shifts - shifts)
    return shifts / precisions, 1.0 / precisions


def _matched(centres: Array, variances: Array, precisions: Array, shifts: Array) -> tuple[Array, Array]:
    """Return precisions and shifts of factors that give each variable the moments that its true factor would."""
    rest = np.maximum(1.0 / variances - precisions, 1e-9)
    rest_mean = (centres / variances - shifts) / rest
    spread = np.sqrt(WIDTH**2 + 1.0 / rest)
    z = rest_mean / spread
    ratio = np.exp(-0.5 * z**2 - 0.5 * log(2.0 * pi) - log_normal_cdf(z))
    mean = rest_mean + ratio / (rest * spread)
    variance = np.maximum(1.0 / rest - ratio * (z + ratio) / (rest * spread) ** 2, 1e-12)
    wanted = np.maximum(1.0 / variance - rest, 1e-6)
    return wanted, (rest + wanted) * mean - rest * rest_mean
