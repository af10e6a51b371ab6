"""What the planner's model believes: slices through one point, and a map over two parameters."""

# pyright: reportUnknownMemberType=false
# matplotlib leaves the types of its keyword arguments open.

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize, to_rgba
from matplotlib.figure import Figure

from sdl.campaign.planner import Predictor, TrialState
from sdl.campaign.trials import Trial
from sdl.campaign.view import CampaignView
from sdl.errors import PlannerError
from sdl.export.drawing import (
    BLUE,
    GREEN,
    INK,
    RED,
    SKY,
    WIDTH,
    Picture,
    inner_labels_off,
    legend,
    log_axis,
    panels,
    png,
    rows_for,
)
from sdl.export.scales import LOG_NORMAL, LogNormal, centre, interval, is_logarithmic, is_wide_span
from sdl.export.tables import winners
from sdl.export.words import count, label, setting, squeezed
from sdl.journal.records import ParameterValue, Prediction
from sdl.problem import Categorical, Continuous, Discrete, LinearConstraint, Mixture, Parameter, SearchSpace

N_ALONG = 61
"""Points along a continuous parameter of a slice."""

N_MAP = 33
"""Points along each side of a map."""

N_SMOOTH = 12
"""A map with fewer levels along a side is drawn in cells: there is nothing between the levels."""

Values = Mapping[str, ParameterValue]

Grid = npt.NDArray[np.float64]

Nearness = Mapping[tuple[int, str], float]
"""Trial and parameter to how near the trial lies to the slice along the parameter."""


@dataclass(frozen=True)
class Slice:
    """Predictions along one parameter, all else as in the centre."""

    name: str
    parameter: Parameter
    along: Sequence[ParameterValue]
    predicted: Sequence[Mapping[str, Prediction]]

    def of(self, outcome: str) -> list[Prediction]:
        """Return the predictions of one outcome."""
        return [prediction[outcome] for prediction in self.predicted]

    def effect(self, outcome: str) -> float:
        """Return how far the predicted mean moves along the slice."""
        means = [prediction.mean for prediction in self.of(outcome)]
        return max(means, default=0.0) - min(means, default=0.0)


@dataclass(frozen=True)
class Plane:
    """Predictions of one outcome over two parameters, all else as in the centre; None where a constraint forbids it."""

    names: tuple[str, str]
    axes: tuple[Sequence[float], Sequence[float]]
    cells: Sequence[Sequence[Prediction | None]]

    @property
    def known(self) -> list[Prediction]:
        """The predictions that there are."""
        return [cell for row in self.cells for cell in row if cell is not None]

    def values(self, of: Callable[[Prediction], float]) -> Grid:
        """Return a number for each cell, NaN where there is no prediction."""
        return np.array([[math.nan if cell is None else of(cell) for cell in row] for row in self.cells])


@dataclass(frozen=True)
class Belief:
    """What the model says around a trial.

    Parameters
    ----------
    centre
        The trial that the slices go through.
    at_centre
        The predictions there, with all that has been measured.
    slices
        One for each parameter that varies.
    plane
        The map of the first objective over the two numeric parameters that move it most; None with fewer than two.
    """

    centre: Trial
    at_centre: Mapping[str, Prediction]
    slices: Sequence[Slice]
    plane: Plane | None


def centre_of(view: CampaignView) -> Trial | None:
    """Return the best trial; with several objectives the one on the front that is nearest to the best of each."""
    front = winners(view)
    if not front:
        return None
    scores = np.array([view.problem.score(trial.observation.outcomes) for trial in front if trial.observation])
    span = np.ptp(scores, axis=0)
    distance = np.linalg.norm((scores.max(axis=0) - scores) / np.where(span > 0, span, 1.0), axis=1)
    return front[int(np.argmin(distance))]


def belief(view: CampaignView, predictor: Predictor) -> Belief | None:
    """Ask *predictor* what it expects around the best trial; None where there is no such trial.

    Raises
    ------
    PlannerError
        The predictor gave something other than a prediction of every outcome for every point. Whatever the predictor
        raises passes through.
    """
    centre = centre_of(view)
    if centre is None:
        return None
    space = view.problem.space
    along = {name: _along(space, centre.values, name) for name in (*space.free, *space.contextual)}
    points = [dict(centre.values), *(point for line in along.values() for point in line)]
    predicted = _ask(view, predictor, points)
    slices: list[Slice] = []
    start = 1
    for name, line in along.items():
        part = predicted[start : start + len(line)]
        slices.append(Slice(name, space.parameters[name], [point[name] for point in line], part))
        start += len(line)
    return Belief(centre, predicted[0], slices, _plane(view, predictor, centre.values, slices))


def _ask(view: CampaignView, predictor: Predictor, points: Sequence[Values]) -> Sequence[Mapping[str, Prediction]]:
    predicted = predictor.predict(view.problem, view.history, points)
    n_whole = sum(view.problem.outcomes.keys() <= prediction.keys() for prediction in predicted)
    if not n_whole == len(predicted) == len(points):
        raise PlannerError(f"it gave {n_whole} whole predictions for {len(points)} points")
    return predicted


# --- where to ask -----------------------------------------------------------------------------------------------------


def levels(parameter: Parameter, n: int) -> list[ParameterValue]:
    """Return all values of *parameter*, or *n* of them over its range, even on its own scale."""
    match parameter:
        case Continuous(low=low, high=high, log=True):
            return [low, *np.geomspace(low, high, n)[1:-1].tolist(), high]
        case Continuous(low=low, high=high):
            return [low, *np.linspace(low, high, n)[1:-1].tolist(), high]
        case Discrete(values=values):
            return list(values)
        case Categorical(choices=choices):
            return list(choices)
        case _:
            return [parameter.value]


def _along(space: SearchSpace, centre: Values, name: str) -> list[dict[str, ParameterValue]]:
    ordered = levels(space.parameters[name], N_ALONG)
    if centre[name] not in ordered:  # only a number lies between levels
        ordered = sorted([*cast("list[float]", ordered), cast("float", centre[name])])
    moved = (moved_to(space, centre, {name: value}) for value in ordered)
    return [point for point in moved if point is not None]


def moved_to(space: SearchSpace, centre: Values, change: Values) -> dict[str, ParameterValue] | None:
    """Return *centre* with some parameters changed; None where the space forbids it. A pool's list does not forbid.

    What must keep a sum gives way in proportion, as along the directions of D. R. Cox, Biometrika 58, 155 (1971): more
    of one component of a mixture leaves the ratios of the others as they are.
    """
    point = dict(centre) | dict(change)
    for constraint in space.constraints:
        if isinstance(constraint, Mixture):
            _rescale(point, change, dict.fromkeys(constraint.names, 1.0), constraint.total)
        elif isinstance(constraint, LinearConstraint) and constraint.is_equality:
            _rescale(point, change, constraint.coefficients, cast("float", constraint.lower))
    is_inside = all(
        space.parameters[name].contains(_snapped(space.parameters[name], value)) for name, value in point.items()
    )
    if not is_inside or any(constraint.violation(point) for constraint in space.constraints):
        return None
    return {name: _snapped(space.parameters[name], value) for name, value in point.items()}


def _rescale(point: dict[str, ParameterValue], change: Values, coefficients: Mapping[str, float], total: float) -> None:
    """Stretch the terms that were not changed, so that the sum is *total* again."""
    if not coefficients.keys() & change.keys():
        return
    term = {name: c * cast("float", point[name]) for name, c in coefficients.items()}
    rest = [name for name in coefficients if name not in change]
    wanted = total - sum(value for name, value in term.items() if name in change)
    present = sum(term[name] for name in rest)
    for name in rest:
        share = term[name] / present if present else 1 / len(rest)
        point[name] = wanted * share / coefficients[name]


def _snapped(parameter: Parameter, value: ParameterValue) -> ParameterValue:
    """Return *value*, or the bound that it misses by rounding."""
    if isinstance(parameter, Continuous) and isinstance(value, float):
        slack = 1e-9 * (parameter.high - parameter.low)
        if parameter.low - slack <= value <= parameter.high + slack:
            return min(max(value, parameter.low), parameter.high)
    return value


def _plane(view: CampaignView, predictor: Predictor, centre: Values, slices: Sequence[Slice]) -> Plane | None:
    outcome = view.problem.objectives[0].outcome
    numeric = [item for item in slices if not isinstance(item.parameter, Categorical) and len(item.along) > 1]
    strongest = sorted(numeric, key=lambda item: item.effect(outcome), reverse=True)[:2]
    if len(strongest) < 2:
        return None
    # In the order of the space: the picture does not turn when one effect overtakes the other.
    first, second = (item.name for item in slices if item in strongest)
    space = view.problem.space
    x = cast("list[float]", levels(space.parameters[first], N_MAP))
    y = cast("list[float]", levels(space.parameters[second], N_MAP))
    grid = [[moved_to(space, centre, {first: a, second: b}) for a in x] for b in y]
    points = [point for row in grid for point in row if point is not None]
    if len(points) < 4:
        return None
    predicted = iter(_ask(view, predictor, points))
    cells = [[None if point is None else next(predicted)[outcome] for point in row] for row in grid]
    return Plane((first, second), (x, y), cells)


# --- drawing ----------------------------------------------------------------------------------------------------------


def pictures(view: CampaignView, found: Belief) -> list[Picture]:
    """Draw the slices, a figure for each outcome, and the map."""
    outcomes = list(view.problem.outcomes)
    made = [_slices_picture(view, found, outcome, index) for index, outcome in enumerate(outcomes, 1)]
    if found.plane is not None:
        made.append(_map_picture(view, found, found.plane))
    return made


def _slices_picture(view: CampaignView, found: Belief, outcome: str, index: int) -> Picture:
    nearness = _nearness(view, found.centre)
    is_log = is_logarithmic(view, outcome, (p for item in found.slices for p in item.of(outcome)))
    n = len(found.slices)
    n_columns = 2 if n in {2, 4} else 3

    def draw(figure: Figure) -> None:
        for axes, item in zip(panels(figure, n, n_columns, is_y_shared=True), found.slices, strict=True):
            _draw_band(axes, item, item.of(outcome), is_log=is_log)
            _draw_near(axes, view, found.centre, item, outcome=outcome, nearness=nearness)
            _label_slice(axes, view, item, outcome)
            if is_log:
                log_axis(axes, "y")

    ranges = "; ".join(_told(view, item, outcome) for item in found.slices)
    return Picture(
        key="model" if len(view.problem.outcomes) == 1 else f"model-{index}",
        alt=f"Predicted {outcome} with its uncertainty along each parameter, the others as in trial "
        f"{found.centre.number}. {ranges}.",
        caption=f"Line and band: predicted mean and two standard deviations along one parameter, the others as in "
        f"trial {found.centre.number} (star). Points: trials, the fainter the farther they lie from the slice."
        + (LOG_NORMAL if is_log else ""),
        png=png(draw, WIDTH, 0.3 + (3.0 if n_columns == 2 else 2.6) * rows_for(n, n_columns)),
    )


def _told(view: CampaignView, item: Slice, outcome: str) -> str:
    unit = view.units[item.name]
    means = [prediction.mean for prediction in item.of(outcome)]
    if not means:
        return f"{item.name}: no other value is allowed"
    low, high = int(np.argmin(means)), int(np.argmax(means))
    return f"{item.name}: lowest near {setting(item.along[low], unit)}, highest near {setting(item.along[high], unit)}"


def _nearness(view: CampaignView, centre: Trial) -> Nearness:
    """How near each trial lies to each slice: 1 on it, towards 0 far off, by the parameters that the slice holds."""
    space = view.problem.space
    names = (*space.free, *space.contextual)
    found: dict[tuple[int, str], float] = {}
    for trial in view.trials:
        gaps = {n: _gap(space.parameters[n], trial.values[n], centre.values[n]) ** 2 for n in names}
        for name in names:
            others = sum(gap for other, gap in gaps.items() if other != name)
            found[trial.number, name] = math.exp(-4 * others / max(1, len(names) - 1))
    return found


def _gap(parameter: Parameter, a: ParameterValue, b: ParameterValue) -> float:
    """The distance of two values as a share of the parameter's range, on its own scale; names differ by 1."""
    if isinstance(a, str) or isinstance(b, str):
        return float(a != b)
    match parameter:
        case Continuous(low=low, high=high, log=True):
            return math.log(a / b) / math.log(high / low)
        case Continuous(low=low, high=high):
            return (a - b) / (high - low)
        case Discrete(values=values):
            return (a - b) / (values[-1] - values[0])
        case _:
            return 0.0


def _place(item: Slice, value: ParameterValue) -> float:
    """Return where *value* stands on the axis: a choice at its number."""
    if isinstance(value, str):
        return float(list(item.along).index(value)) if value in item.along else math.nan
    return value


def _draw_band(axes: Axes, item: Slice, predicted: Sequence[Prediction], *, is_log: bool) -> None:
    """A line with a band for a continuous parameter; bars of uncertainty for levels and names."""
    xs = [_place(item, value) for value in item.along]
    middles = [centre(prediction, is_log=is_log) for prediction in predicted]
    ranges = [interval(prediction, 2, is_log=is_log) for prediction in predicted]
    low, high = [low for low, _ in ranges], [high for _, high in ranges]
    if isinstance(item.parameter, Continuous):
        axes.fill_between(xs, low, high, color=SKY, alpha=0.3, linewidth=0)
        axes.plot(xs, middles, color=BLUE)
    else:
        axes.vlines(xs, low, high, color=SKY, linewidth=9, alpha=0.55)
        axes.plot(xs, middles, "_", color=BLUE, markersize=13, markeredgewidth=2.5)


def _draw_near(axes: Axes, view: CampaignView, best: Trial, item: Slice, *, outcome: str, nearness: Nearness) -> None:
    """The trials, as dark as they are near, and a star for the best."""
    measured = [
        (_place(item, trial.values[item.name]), trial.observation.outcomes[outcome].value, trial.number)
        for trial in view.trials
        if trial.observation is not None and outcome in trial.observation.outcomes
    ]
    axes.scatter(
        [x for x, _, _ in measured],
        [y for _, y, _ in measured],
        s=24,
        color=[to_rgba(INK, max(0.08, nearness[number, item.name])) for _, _, number in measured],
        linewidths=0,
        zorder=3,
    )
    assert best.observation is not None
    at = (_place(item, best.values[item.name]), best.observation.outcomes[outcome].value)
    axes.plot([at[0]], [at[1]], "*", color=GREEN, markersize=14, markeredgecolor=INK, zorder=5)


def _label_slice(axes: Axes, view: CampaignView, item: Slice, outcome: str) -> None:
    if isinstance(item.parameter, Categorical):
        axes.set_xticks(range(len(item.along)), [squeezed(str(value)) for value in item.along])
        n = len(item.along)
        axes.tick_params("x", rotation=0 if n <= 3 else 60 if n <= 6 else 90, labelsize=10 if n <= 6 else 8)
        axes.set_xlim(-0.6, len(item.along) - 0.4)
    elif isinstance(item.parameter, Continuous) and item.parameter.log:
        log_axis(axes, "x")
    axes.set_xlabel(label(item.name, view.units[item.name]))
    axes.set_ylabel(label(outcome, view.problem.outcomes[outcome]))
    inner_labels_off(axes)


def _map_picture(view: CampaignView, found: Belief, plane: Plane) -> Picture:
    objective = view.problem.objectives[0]
    is_log = is_logarithmic(view, objective.outcome, plane.known)
    middle = plane.values(lambda prediction: centre(prediction, is_log=is_log))
    spread = plane.values(_factor if is_log else lambda prediction: prediction.standard_deviation)
    unit = label("", objective.unit)

    def draw(figure: Figure) -> None:
        left, right = panels(figure, 2, 2)
        _draw_map(left, view, found.centre, plane, values=middle, name=f"predicted {objective.outcome}{unit}")
        name = "uncertain by a factor of" if is_log else f"its standard deviation{unit}"
        _draw_map(right, view, found.centre, plane, values=spread, name=name)
        legend(left, 3)

    first, second = plane.names
    right_shows = "the factor by which one standard deviation changes it" if is_log else "its standard deviation"
    return Picture(
        key="map",
        alt=f"Two maps over {first} and {second}: the predicted {objective.outcome}, and how uncertain that is, with "
        f"{count(view.n_proposed, 'trial')} marked.",
        caption=f"The two parameters that move {objective.outcome} most, the others as in trial {found.centre.number} "
        f"(star). Left the prediction, right {right_shows}: where it is large, little is known.",
        png=png(draw, WIDTH, 4.3),
    )


def _factor(predicted: Prediction) -> float:
    return math.exp(LogNormal.of(predicted).deviation)


def _draw_map(axes: Axes, view: CampaignView, centre: Trial, plane: Plane, *, values: Grid, name: str) -> None:
    known = values[np.isfinite(values)]
    is_log = is_wide_span(known.tolist())
    low, high = float(known.min()), float(known.max())
    norm = LogNorm(low, high) if is_log else Normalize(low, high if high > low else low + 1)
    is_smooth = bool(np.isfinite(values).all()) and min(map(len, plane.axes)) >= N_SMOOTH
    mesh = axes.pcolormesh(
        *plane.axes, values, norm=norm, cmap="cividis", shading="gouraud" if is_smooth else "nearest"
    )
    if is_smooth:
        axes.contour(*plane.axes, values, levels=_levels(norm), colors="white", linewidths=0.7, alpha=0.55)
        axes.set_xlim(plane.axes[0][0], plane.axes[0][-1])
        axes.set_ylim(plane.axes[1][0], plane.axes[1][-1])
    bar = cast("Figure", axes.figure).colorbar(mesh, ax=axes, location="bottom", aspect=30, pad=0.02)
    bar.set_label(name)
    if is_log:
        log_axis(bar.ax, "x")
    _draw_trials(axes, view, centre, plane.names)
    _label_map(axes, view, plane.names)


def _label_map(axes: Axes, view: CampaignView, names: tuple[str, str]) -> None:
    for which, name in zip("xy", names, strict=True):
        declared = view.problem.space.parameters[name]
        if isinstance(declared, Continuous) and declared.log:
            log_axis(axes, which)
    axes.set_xlabel(label(names[0], view.units[names[0]]))
    axes.set_ylabel(label(names[1], view.units[names[1]]))
    axes.grid(visible=False)
    inner_labels_off(axes)


def _levels(norm: Normalize) -> list[float]:
    """Seven contours, even on the scale of the colours."""
    shares = np.linspace(0, 1, 9)[1:-1]
    return sorted({float(level) for level in np.atleast_1d(norm.inverse(shares))})


def _draw_trials(axes: Axes, view: CampaignView, centre: Trial, names: tuple[str, str]) -> None:
    groups = (
        (view.in_state(TrialState.COMPLETED), "o", "white", INK, 5, "trial"),
        (view.in_state(TrialState.FAILED), "X", RED, "white", 7, "failed"),
        ((centre,), "*", GREEN, INK, 15, f"trial {centre.number}"),
    )
    for trials, marker, face, edge, size, name in groups:
        if trials:
            axes.plot(
                [cast("float", trial.values[names[0]]) for trial in trials],
                [cast("float", trial.values[names[1]]) for trial in trials],
                marker,
                markerfacecolor=face,
                markeredgecolor=edge,
                markersize=size,
                linestyle="none",
                label=name,
                clip_on=False,
                zorder=4,
            )
