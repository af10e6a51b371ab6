"""What a planner's model believes, as far as a person can judge it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sdl.problem.value import FrozenMap, Tuple, Value

Fraction = Annotated[float, Field(ge=0, le=1)]


class Influence(Value):
    """How much an earlier trial speaks for what is expected of a suggestion.

    Parameters
    ----------
    trial
        Its number; prior data have negative ones.
    share
        Its part of the weights with which the model interpolates the first objective, signs left aside.
    """

    trial: int
    share: Fraction


class Lengthscale(Value):
    """How far a parameter has to move before an outcome need not resemble what it was.

    Parameters
    ----------
    kind
        ``length``: a distance in *unit*. ``factor``: for a parameter with a logarithmic scale, a factor.
        ``resemblance``: for a choice, the correlation of the outcome between two choices with all else equal.
    """

    kind: Literal["length", "factor", "resemblance"]
    value: float
    unit: str | None = None


class Sensitivity(Value):
    """Sobol's indices of one parameter: the part of an outcome's variance that it accounts for.

    Parameters
    ----------
    alone
        First order: by itself.
    in_all
        Total: with all its interactions.
    """

    alone: float
    in_all: float


class ModelSummary(Value):
    """What the model of one outcome is like, and whether it can be trusted.

    Parameters
    ----------
    scale
        The scale on which the outcome is modelled.
    n
        How many measurements it stands on.
    noise
        Standard deviation of the noise that it assumes at the median outcome, in the outcome's unit.
    lengthscales
        Of every parameter that can vary.
    resemblance
        The correlation that the model sees between prior data and the campaign's own at the same point, from 0 to 1;
        of several sets of prior data the least; None where it has data of one kind only.
    resemblances
        The same for each set of prior data, by its name, and between a target and each of its approximations, by the
        name of the choice.
    prior_weight
        The weight of the model that was given as prior mean: 1 where it is taken as it is, 0 where it was dropped; None
        where none was given.
    drift
        By how much the outcome has changed by itself since the first trial, in its unit; None where it does not.
    discounted
        Trials whose measurement gets less weight, because it does not fit all others.
    coverage
        How many of the measurements lie in the 95 % interval that a model of the others gives (leave-one-out with the
        same hyper-parameters); None for fewer than three.
    skill
        One minus the squared errors of those predictions divided by those of predicting the mean of the others: 1 is
        perfect, 0 no better than the mean. None for fewer than three measurements, or where all are equal.
    sensitivity
        Of every free parameter; empty where it was not asked for.
    """

    scale: str
    n: Annotated[int, Field(ge=1)]
    noise: Annotated[float, Field(ge=0)]
    lengthscales: FrozenMap[Lengthscale] = Field(default_factory=dict[str, Lengthscale])
    resemblance: Fraction | None = None
    resemblances: FrozenMap[Fraction] = Field(default_factory=dict[str, float])
    prior_weight: float | None = None
    drift: float | None = None
    discounted: Tuple[int] = ()
    coverage: Fraction | None = None
    skill: float | None = None
    sensitivity: FrozenMap[Sensitivity] = Field(default_factory=dict[str, Sensitivity])

    @property
    def warning(self) -> str:
        """Say what is wrong with the model; empty where nothing is known to be."""
        if self.skill is not None and self.skill <= 0.0:
            return "it does not predict better than the mean of the measurements does"
        # With a true coverage of 95 %, so few would be seen once in a thousand times.
        if self.coverage is not None and self.coverage < 0.95 - 3.1 * (0.95 * 0.05 / self.n) ** 0.5:
            return f"its 95 % intervals hold only {self.coverage:.0%} of the measurements"
        return ""


Models = FrozenMap[ModelSummary]
Influences = Tuple[Influence]
