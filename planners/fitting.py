"""The fit of an outcome: its scale, its structure, its hyper-parameters, whichever the data speak for.

Forms of a model are compared by their evidence at the best hyper-parameters, priors included. Where there are many
observations, this is done on a part of them, and what was found there is carried over to all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from math import log, sqrt

import numpy as np
import numpy.typing as npt

from sdl.planners.assumed import Offset
from sdl.planners.encoding import Array, Encoding
from sdl.planners.evidence import (
    LENGTHSCALE_FLOOR,
    NOISE_CEILING,
    ORIGIN_PRIOR,
    Hyperparameters,
    TrainingSet,
    default_hyperparameters,
    fit,
    starting_points,
)
from sdl.planners.field import Field
from sdl.planners.many import field_of
from sdl.planners.monotony import log_chance, with_monotony
from sdl.planners.noise import NoiseModel, noise_model_of
from sdl.planners.outcome import OutcomeData, OutcomeFit
from sdl.planners.repeats import noise_by_repeats
from sdl.planners.warp import Scale, Warp, possible_scales

BENT_MARGIN = 2.0
"""A scale that is not linear must beat the linear one by so much log evidence: odds of 7 to 1."""

MANY = 200
"""Beyond so many observations scale, structure and hyper-parameters are found with a part of them first."""

MORE = 500
"""Beyond so many observations hyper-parameters are found with a part of them."""

ENOUGH = 12
"""So many observations can say something of drift, outliers, or noise that depends on the place."""

DRIFT_MARGIN, NOISE_MARGIN, OUTLIER_MARGIN = 4.0, 3.0, 5.0
"""A model with drift, with noise by place, or without an outlier must be better by so much log evidence."""

SUSPICIOUS = 2.5
"""A measurement that misses what all others predict by more deviations may be an outlier."""

MAX_ROUNDS = 6
"""So often a model is fitted anew without the outliers found before."""

TIME_PRIOR = log(0.5)
"""Mean of the logarithm of the lengthscale of a drift, in units of the time so far."""

FLOORS = (0.3, 0.6)
"""Least lengthscales that are compared for a parameter in which an outcome is monotonic."""

MAX_ITERATIONS = 100
FEW_ITERATIONS = 6
"""Iterations of a fit, and of one that begins with what was fitted to fewer data."""

Numbers = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Form:
    """What a model has besides lengthscales.

    Parameters
    ----------
    scale
        The scale of the outcome.
    has_model
        Whether a user's model is the prior mean.
    drifts
        Whether a part of it depends on time.
    extra_noise
        Variance of noise beside the usual, standardised, shape (n,): of measurements that are not to be relied on.
    noise_model
        How the noise depends on the place.
    floor
        Least lengthscale of the parameters in which the outcome is monotonic.
    """

    scale: Scale = Scale.LINEAR
    has_model: bool = False
    drifts: bool = False
    extra_noise: Array | None = None
    noise_model: NoiseModel | None = None
    floor: float = LENGTHSCALE_FLOOR


def fit_outcome(measured: OutcomeData, encoding: Encoding) -> OutcomeFit:
    """Fit the scale, the structure and the hyper-parameters of an outcome with at least one measurement.

    Raises
    ------
    numpy.linalg.LinAlgError
        Where no hyper-parameters give a finite evidence.
    PlannerError
        Where a user's model fails.
    """
    return Fitting(measured, encoding).best()


def plain_outcome(measured: OutcomeData, encoding: Encoding) -> OutcomeFit:
    """Return a Gaussian process that asks nothing of the numbers: linear scale, assumed hyper-parameters."""
    fitting = Fitting(measured, encoding)
    warp = Warp.of(Scale.LINEAR, measured.values)
    data = fitting.standardised(warp, Form())
    return OutcomeFit(warp, data, default_hyperparameters(data), measured.trials, measured.set_names)


def has_trend(errors: Array, deviations: Array) -> bool:
    """Tell whether errors of prediction, in the order of the trials, follow a trend or one another.

    A cheap question before the long one: without a trend, one in ten says yes.
    """
    scaled = errors / deviations
    scaled = (scaled - scaled.mean()) / (scaled.std() or 1.0)
    order = np.linspace(-1.0, 1.0, len(scaled)) * 3.0**0.5
    found = max(abs(float(scaled @ order)), float(scaled[1:] @ scaled[:-1]))
    return found > 1.8 * sqrt(len(scaled))


class Fitting:
    """Fits of one outcome in one form or another."""

    def __init__(self, measured: OutcomeData, encoding: Encoding) -> None:
        self.measured = measured
        self.encoding = encoding
        self.few = self._part(MANY)

    def best(self) -> OutcomeFit:
        """Return the fit that the data speak for."""
        best, form = self._on_best_scale()
        assumed, n = self.measured.assumed, len(self.measured.values)
        if assumed.model is not None:
            best, form = self._with_model(best, form)
        if assumed.drift != "no" and (n >= ENOUGH or assumed.drift == "yes"):
            best, form = self._with_drift(best, form)
        if n >= ENOUGH:
            best, form = self._with_doubts(best, form)
        if len(self.few) < n:
            best = self.fitted(form, [best.hyperparameters.theta], self._part(MORE), FEW_ITERATIONS)
        best = best if assumed.model is None else replace(best, prior_weight=best.hyperparameters.weight)
        return self._with_monotony(best, form) if assumed.monotonic else best

    def _on_best_scale(self) -> tuple[OutcomeFit, Form]:
        scales = possible_scales(self.measured.values[self.few], self.measured.wanted)
        first, *others = self._starts()
        fits = [(self.fitted(Form(scale), [first]), Form(scale)) for scale in scales]
        best = max(fits, key=lambda pair: self.evidence(pair[0]))
        if not self.evidence(best[0]) > self.evidence(fits[0][0]) + BENT_MARGIN:
            best = fits[0]
        again = self.fitted(best[1], others, reached=[best[0].hyperparameters.log_posterior])
        return max(best[0], again, key=lambda fit: fit.hyperparameters.log_posterior), best[1]

    def _with_model(self, plain: OutcomeFit, form: Form) -> tuple[OutcomeFit, Form]:
        """Return the fit around a user's model, unless the data speak against it."""
        richer = replace(form, has_model=True)
        fitted = self.fitted(richer, [plain.hyperparameters.theta, self._starts()[0]])
        is_better = fitted.hyperparameters.log_posterior > plain.hyperparameters.log_posterior
        return (fitted, richer) if is_better else (plain, form)

    def _with_drift(self, plain: OutcomeFit, form: Form) -> tuple[OutcomeFit, Form]:
        """Return the fit with a part that depends on time, where the data speak for it or a person says so."""
        is_sure, richer = self.measured.assumed.drift == "yes", replace(form, drifts=True)
        if not is_sure and not has_trend(*self._left_out(plain, self.few)):
            return plain, form
        theta, n = plain.hyperparameters.theta, plain.data.n_groups
        starts = [
            np.concatenate([theta[:n], [log(length)], theta[n:-1], [log(0.1)], theta[-1:]]) for length in (0.3, 1.5)
        ]
        fitted = self.fitted(richer, starts)
        gain = fitted.hyperparameters.log_posterior - plain.hyperparameters.log_posterior
        return (fitted, richer) if is_sure or gain > DRIFT_MARGIN else (plain, form)

    def _with_doubts(self, plain: OutcomeFit, form: Form) -> tuple[OutcomeFit, Form]:
        """Return the fit that takes outliers and noise by place into account; in whichever order explains more."""
        assumed = self.measured.assumed
        steps = [self._without_outliers] * (assumed.outliers != "no") + [self._with_noise_model] * (
            assumed.noise != "no"
        )
        found = [(plain, form)]
        for order in permutations(steps):
            fitted = plain, form
            for step in order:
                fitted = step(*fitted)
            found.append(fitted)
        return max(found, key=lambda pair: self._merit(*pair))

    def _merit(self, fitted: OutcomeFit, form: Form) -> float:
        """Return the log evidence of a fit, less what its form must explain to be worth it."""
        n_outliers = 0 if form.extra_noise is None else int(np.count_nonzero(form.extra_noise[self.few]))
        margin = 0.0 if form.noise_model is None or self.measured.assumed.noise == "yes" else NOISE_MARGIN
        return fitted.hyperparameters.log_posterior - OUTLIER_MARGIN * n_outliers - margin

    def _without_outliers(self, plain: OutcomeFit, form: Form) -> tuple[OutcomeFit, Form]:
        """Return the fit in which measurements that contradict all others count less, where that explains much more."""
        found, current, richer = [(plain, form)], plain, form
        for _ in range(MAX_ROUNDS):
            extra = self._suspects(current, richer)
            if extra is None:
                break
            richer = replace(form, extra_noise=extra)
            current = self.fitted(richer, [current.hyperparameters.theta, plain.hyperparameters.theta])
            found.append((current, richer))
        return max(found, key=lambda pair: self._merit(*pair))

    def _with_monotony(self, plain: OutcomeFit, form: Form) -> OutcomeFit:
        """Return the fit that knows in which parameters it is monotonic.

        Short lengthscales, which noise may speak for, are compared with longer ones, that monotonic functions have.
        """
        signs, theta = self.measured.assumed.monotonic, plain.hyperparameters.theta
        longer = [replace(form, floor=floor) for floor in FLOORS]
        fits = [plain, *(replace(self.fitted(form, [theta]), prior_weight=plain.prior_weight) for form in longer)]
        likeliest = max(fits, key=lambda fit: fit.hyperparameters.log_posterior + log_chance(fit, signs, self.encoding))
        return with_monotony(likeliest, signs, self.encoding)

    def _suspects(self, current: OutcomeFit, form: Form) -> Array | None:
        """Return the noise of measurements that contradict the others, a few more than before; None where none do."""
        n = len(self.measured.values)
        before = np.zeros(n) if form.extra_noise is None else form.extra_noise
        errors, deviations = field_of(current).left_out()
        sign = {"high": 1.0, "low": -1.0, None: 0.0}[self.measured.wanted]
        is_better = sign * errors > 0.0  # a discovery is no mistake before it was repeated
        surprise = np.where(is_better | (before > 0.0), 0.0, errors**2 / deviations**2)
        worst = np.argsort(-surprise, kind="stable")[: max(1, n // 20)]
        worst = worst[surprise[worst] > SUSPICIOUS**2]
        if not len(worst) or np.count_nonzero(before) + len(worst) > n // 4:
            return None
        extra = before.copy()
        extra[worst] = errors[worst] ** 2 - deviations[worst] ** 2
        return extra

    def _with_noise_model(self, plain: OutcomeFit, form: Form) -> tuple[OutcomeFit, Form]:
        """Return the fit with noise that depends on the place, where the data speak for it or a person says so."""
        model = noise_model_of(plain, self.few, *self._left_out(plain, self.few))
        if model is None:
            return plain, form
        richer = replace(form, noise_model=model)
        fitted = self.fitted(richer, [plain.hyperparameters.theta])
        return max([(plain, form), (fitted, richer)], key=lambda pair: self._merit(*pair))

    def fitted(
        self,
        form: Form,
        starts: Sequence[Array],
        chosen: Numbers | None = None,
        max_iterations: int = MAX_ITERATIONS,
        *,
        reached: Sequence[float] = (),
    ) -> OutcomeFit:
        """Fit in one *form*, searching from *starts*, the hyper-parameters to the *chosen* observations."""
        chosen = self.few if chosen is None else chosen
        warp = Warp.of(form.scale, self.measured.values[chosen])
        data = self.standardised(warp, form)
        found = fit(data.only(chosen), starts, max_iterations=max_iterations, reached=reached)
        return OutcomeFit(
            warp,
            data,
            found,
            self.measured.trials,
            self.measured.set_names,
            offset=self._offset(warp, found) if form.has_model else None,
            drifts=form.drifts,
            noise_model=form.noise_model,
            discounted=self._discounted(form),
        )

    @staticmethod
    def _left_out(fitted: OutcomeFit, chosen: Numbers) -> tuple[Array, Array]:
        """Return the errors, and their deviations, with which the *chosen* observations predict one another."""
        data = fitted.data
        return Field(fitted, data.inputs[chosen], data.targets[chosen], fitted.noise[chosen]).left_out()

    def _discounted(self, form: Form) -> tuple[int, ...]:
        trials = self.measured.trials
        if form.extra_noise is None or not trials:
            return ()
        return tuple(trials[int(number)] for number in np.flatnonzero(form.extra_noise))

    def evidence(self, fitted: OutcomeFit) -> float:
        """Return the log density of the outcomes themselves: that of the standardised values, times the Jacobian."""
        slopes = fitted.warp.slope(self.measured.values[self.few])
        return fitted.hyperparameters.log_posterior + float(np.log(slopes).sum())

    def standardised(self, warp: Warp, form: Form) -> TrainingSet:
        """Return the data on the warp's scale; standard errors are carried over by its slope."""
        measured, encoding = self.measured, self.encoding
        noise = np.minimum((measured.errors * warp.slope(measured.values)) ** 2, NOISE_CEILING)
        sets = tuple(encoding.n_groups + number for number in range(len(measured.set_names)))
        rows, targets = np.hstack([measured.rows, measured.origins]), warp.forward(measured.values)
        time = encoding.n_groups + len(sets)
        inputs = np.hstack([rows, measured.times]) if form.drifts else rows
        return TrainingSet(
            inputs,
            targets,
            noise if form.extra_noise is None else noise + form.extra_noise,
            np.concatenate([encoding.groups, sets, [time] * form.drifts]).astype(np.intp),
            encoding.has_levels,
            (*encoding.links, *sets),
            noise_by_repeats(rows, targets, noise),
            components=self._components(sets, time if form.drifts else None),
            centres=dict.fromkeys(encoding.stand_ins, ORIGIN_PRIOR) | ({time: TIME_PRIOR} if form.drifts else {}),
            floors={group: form.floor for name in measured.assumed.monotonic for group in encoding.groups_of(name)},
            basis=self._offset(warp).values(measured.rows) if form.has_model else None,
            noise_shape=None if form.noise_model is None else form.noise_model.factors(inputs),
        )

    def _components(self, sets: Sequence[int], time: int | None = None) -> tuple[tuple[int, ...], ...]:
        """Return the groups that act together; what tells kinds of data apart acts on all, and time by itself."""
        declared, encoding, links = self.measured.assumed.groups, self.encoding, (*self.encoding.links, *sets)
        with_time = () if time is None else ((time,),)
        if not declared:
            return () if time is None else (tuple(range(time)), *with_time)
        named = [[group for name in names for group in encoding.groups_of(name)] for names in declared]
        others = [group for group in range(encoding.n_groups) if not any(group in groups for groups in named)]
        parts = [[group for group in groups if group not in links] for groups in (*named, others)]
        return (*((*groups, *links) for groups in parts if groups), *with_time)

    def _offset(self, warp: Warp, found: Hyperparameters | None = None) -> Offset:
        model = self.measured.assumed.model
        assert model is not None
        return Offset(model, self.encoding, warp, 1.0 if found is None else found.weight)

    def _starts(self) -> list[Array]:
        n_sets = len(self.measured.set_names)
        return starting_points(self.encoding.n_groups + n_sets, max(1, len(self._components(()))))

    def _part(self, n: int) -> Numbers:
        """Return the numbers of *n* of the measurements, evenly over time."""
        return np.unique(np.linspace(0, len(self.measured.values) - 1, n).astype(np.intp))
