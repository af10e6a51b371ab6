"""What the planner's models are like, as tables and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sdl.campaign.view import CampaignView
from sdl.export.sheets import Line, Sheet
from sdl.export.words import NOTHING, in_unit, number
from sdl.journal.beliefs import Influence, Lengthscale, ModelSummary


def trust(view: CampaignView, models: Mapping[str, ModelSummary]) -> Sheet:
    """Return how well the model of every outcome predicts measurements that it has not seen."""
    return Sheet(
        caption="How far the models can be trusted",
        headings=["outcome", "scale", "measurements", "noise", "in their 95 % interval", "skill", "warning"],
        lines=[_trust_line(name, view.problem.outcomes.get(name), model) for name, model in models.items()],
        numeric=frozenset({2, 3, 4, 5}),
        note=(
            "Each measurement is predicted by a model of all the others. Skill is 1 for perfect predictions and 0 for "
            "predictions no better than the mean."
        ),
    )


def _trust_line(name: str, unit: str | None, model: ModelSummary) -> Line:
    cells = [
        name,
        model.scale,
        str(model.n),
        in_unit(number(model.noise, 2), unit),
        NOTHING if model.coverage is None else f"{model.coverage:.0%}",
        NOTHING if model.skill is None else number(model.skill, 2),
        model.warning or NOTHING,
    ]
    return Line(cells, "failed" if model.warning else "")


def sensitivity(models: Mapping[str, ModelSummary]) -> Sheet | None:
    """Return what every parameter does to every outcome, by the models; None where nothing was computed."""
    lines = [
        Line(
            [
                outcome,
                parameter,
                f"{max(indices.alone, 0.0):.0%}",
                f"{max(indices.in_all, 0.0):.0%}",
                reach(model.lengthscales[parameter]) if parameter in model.lengthscales else NOTHING,
            ]
        )
        for outcome, model in models.items()
        for parameter, indices in sorted(model.sensitivity.items(), key=lambda pair: -pair[1].in_all)
    ]
    if not lines:
        return None
    return Sheet(
        caption="What the parameters do, by the models",
        headings=["outcome", "parameter", "alone", "with interactions", "lengthscale"],
        lines=lines,
        numeric=frozenset({2, 3}),
        note=(
            "Sobol's indices: the part of the outcome's variance over the whole space that a parameter accounts for. "
            "The lengthscale is how far it has to move before the outcome need not resemble what it was."
        ),
    )


def reach(lengthscale: Lengthscale) -> str:
    """Write a lengthscale: ``120 °C``, ``a factor of 3``, ``choices resemble each other by 40 %``."""
    match lengthscale.kind:
        case "length":
            return in_unit(number(lengthscale.value, 2), lengthscale.unit)
        case "factor":
            return f"a factor of {number(lengthscale.value, 2)}"
        case "resemblance":
            return f"choices resemble each other by {lengthscale.value:.0%}"


def speaking(influences: Sequence[Influence]) -> str:
    """Say which earlier trials a prediction stands on most."""
    told = [f"{_who(each.trial)} ({each.share:.0%})" for each in influences]
    return f"It stands most on {', '.join(told)}."


def _who(trial: int) -> str:
    return f"trial {trial}" if trial > 0 else f"prior measurement {-trial}"


def standing(name: str, model: ModelSummary) -> str:
    """Say in one sentence what the model of *name* is like."""
    reaches = ", ".join(f"{parameter} {reach(length)}" for parameter, length in model.lengthscales.items())
    sentence = f"The model of {name} ({model.scale}, {model.n} measurements) has the lengthscales {reaches}"
    if model.resemblance is not None:
        sentence += f"; prior data resemble the campaign's own by {model.resemblance:.0%}"
    if len(model.resemblances) > (model.resemblance is not None):
        each = ", ".join(f"{name} {share:.0%}" for name, share in model.resemblances.items())
        sentence += f"; resemblance to what counts: {each}"
    if model.coverage is None:
        return f"{sentence}."
    skill = "" if model.skill is None else f" and its skill is {number(model.skill, 2)}"
    return f"{sentence}; {model.coverage:.0%} of the measurements lie in its 95 % intervals{skill}."
