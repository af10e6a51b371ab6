"""What repeated measurements say of the noise, before any model."""

from __future__ import annotations

import numpy as np

from sdl.planners.encoding import Array
from sdl.planners.evidence import NOISE_CEILING, NOISE_FLOOR, NOISE_PRIOR


def noise_by_repeats(rows: Array, targets: Array, known_noise: Array) -> tuple[float, float]:
    """Return what is known of the noise: mean and deviation of the logarithm of its variance.

    Where points were measured more than once, that is the pooled variance of the repeats, less what the standard errors
    account for. The logarithm of a variance of *nu* degrees of freedom scatters by about the root of 2/nu; it is
    combined with the prior as normal densities are, so that one pair of repeats that agree by chance does not make the
    noise vanish.

    Parameters
    ----------
    rows
        Where, shape (n, columns).
    targets, known_noise
        Standardised outcomes and their squared standard errors, shape (n,).
    """
    _, place, counts = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    degrees = int((counts - 1).sum())
    if degrees == 0:
        return NOISE_PRIOR
    place = place.ravel()
    means = np.bincount(place, targets) / counts
    excess = float(((targets - means[place]) ** 2).sum()) / degrees - float(known_noise[counts[place] > 1].mean())
    location, weight = float(np.log(np.clip(excess, NOISE_FLOOR, NOISE_CEILING))), degrees / 2.0
    prior_location, prior_weight = NOISE_PRIOR[0], float(NOISE_PRIOR[1] ** -2)
    total = weight + prior_weight
    return (weight * location + prior_weight * prior_location) / total, float(total**-0.5)
