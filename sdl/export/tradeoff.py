"""The figures of a campaign with several objectives: what can be had together, and how that grew."""

# pyright: reportUnknownMemberType=false
# matplotlib leaves the types of its keyword arguments open.

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sdl.campaign.trials import Trial
from sdl.campaign.view import CampaignView
from sdl.export.drawing import (
    BLUE,
    GREY,
    HALF,
    INK,
    ORANGE,
    WIDTH,
    Picture,
    finite,
    legend,
    log_axis,
    panels,
    png,
    rows_for,
)
from sdl.export.scales import is_wide_span
from sdl.export.tables import is_feasible, value_of, winners
from sdl.export.words import count, label, number, several
from sdl.problem import Objective, Target

MAX_NUMBERED = 15
"""So many trials of a Pareto front are numbered in the figure; more would hide each other."""

MAX_PAIRS = 6
"""So many pairs of objectives are drawn."""

MAX_OBJECTIVES = 3
"""The hypervolume of more objectives takes too long to compute after every trial."""

Score = tuple[float, ...]


def pareto(view: CampaignView) -> list[Picture]:
    """Draw the objectives against each other, pair by pair, with the trials that no other one beats."""
    objectives = view.problem.objectives
    pairs = list(combinations(range(len(objectives)), 2))[:MAX_PAIRS]
    completed = [trial for trial in view.trials if trial.observation is not None]
    if not pairs or not completed:
        return []
    front = {trial.number for trial in winners(view)}

    def draw(figure: Figure) -> None:
        for axes, (first, second) in zip(panels(figure, len(pairs), 2), pairs, strict=True):
            _draw_pair(axes, view, completed, front, (objectives[first], objectives[second]))

    names = several([objective.outcome for objective in objectives])
    n_rows = rows_for(len(pairs), 2)
    is_single = len(pairs) == 1
    return [
        Picture(
            key="pareto",
            alt=f"{names} of {count(len(completed), 'trial')} against each other; "
            f"{count(len(front), 'trial')} on the Pareto front, joined by a line.",
            caption="Numbered trials are on the Pareto front: no other trial is at least as good in every objective "
            "and better in one. The line is the border of what has been reached.",
            png=png(draw, HALF, 3.7) if is_single else png(draw, WIDTH, 3.6 * n_rows),
            is_wide=not is_single,
        )
    ]


def _draw_pair(
    axes: Axes, view: CampaignView, completed: Sequence[Trial], front: set[int], pair: tuple[Objective, Objective]
) -> None:
    groups = (
        ("breaks a constraint", [t for t in completed if not is_feasible(view, t)], GREY, "o", 5, "white"),
        ("trial", [t for t in completed if is_feasible(view, t) and t.number not in front], BLUE, "o", 5, BLUE),
        ("Pareto front", [t for t in completed if t.number in front], ORANGE, "D", 7, ORANGE),
    )
    # The border of more than two objectives, or of a distance to a target, is no line in this plane.
    if len(view.problem.objectives) == 2 and not any(isinstance(objective, Target) for objective in pair):
        _draw_border(axes, [t for t in completed if t.number in front], pair)
    for name, trials, colour, marker, size, face in groups:
        if trials:
            xs, ys = ([value_of(trial, objective).value for trial in trials] for objective in pair)
            axes.errorbar(
                xs,
                ys,
                xerr=finite([value_of(trial, pair[0]).standard_error for trial in trials]),
                yerr=finite([value_of(trial, pair[1]).standard_error for trial in trials]),
                fmt=marker,
                color=colour,
                markerfacecolor=face,
                markeredgecolor=INK if face == ORANGE else colour,
                markersize=size,
                elinewidth=0.8,
                alpha=1.0 if face == ORANGE else 0.65,
                label=name,
            )
    if len(front) <= MAX_NUMBERED:
        _number_points(axes, [t for t in completed if t.number in front], pair)
    axes.set_xlabel(label(pair[0].outcome, pair[0].unit))
    axes.set_ylabel(label(pair[1].outcome, pair[1].unit))
    for which, objective in zip("xy", pair, strict=True):
        if is_wide_span(value_of(trial, objective).value for trial in completed):
            log_axis(axes, which)
    legend(axes)


def _draw_border(axes: Axes, front: Sequence[Trial], pair: tuple[Objective, Objective]) -> None:
    """Join the front by steps: their corners are as good as both neighbours are at least."""
    ordered = sorted(front, key=lambda trial: pair[0].score(value_of(trial, pair[0]).value), reverse=True)
    xs = [value_of(trial, pair[0]).value for trial in ordered]
    ys = [value_of(trial, pair[1]).value for trial in ordered]
    axes.step(xs, ys, where="post", color=ORANGE, linewidth=1.5, alpha=0.8, zorder=1)


def _number_points(axes: Axes, front: Sequence[Trial], pair: tuple[Objective, Objective]) -> None:
    for trial in front:
        at = (value_of(trial, pair[0]).value, value_of(trial, pair[1]).value)
        axes.annotate(str(trial.number), at, xytext=(6, 5), textcoords="offset points", fontsize=9)


# --- the hypervolume --------------------------------------------------------------------------------------------------


def hypervolume(scores: Sequence[Score], reference: Score) -> float:
    """Return the volume that *scores* dominate above *reference*: higher is better in every coordinate.

    By slices along the last coordinate, as described by Zitzler and Thiele, IEEE Trans. Evol. Comput. 3, 257 (1999);
    the time grows with the power of the number of coordinates.
    """
    above = [score for score in scores if all(a > r for a, r in zip(score, reference, strict=True))]
    if not above:
        return 0.0
    if len(reference) == 1:
        return max(score[0] for score in above) - reference[0]
    if len(reference) == 2:
        return _area(above, reference)
    ordered = sorted(above, key=lambda score: score[-1], reverse=True)
    floors = [*(score[-1] for score in ordered[1:]), reference[-1]]
    return sum(
        (score[-1] - floor) * hypervolume([other[:-1] for other in ordered[: index + 1]], reference[:-1])
        for index, (score, floor) in enumerate(zip(ordered, floors, strict=True))
        if score[-1] > floor
    )


def _area(scores: Sequence[Score], reference: Score) -> float:
    """The plane has no need of slices: one sweep from the best first coordinate down."""
    area, height = 0.0, reference[1]
    for first, second in sorted(scores, reverse=True):
        if second > height:
            area += (first - reference[0]) * (second - height)
            height = second
    return area


def growth(view: CampaignView) -> tuple[list[tuple[int, float]], Score] | None:
    """Return the hypervolume after each completed trial that counts, and the reference; None where there is none.

    Without declared references, the worst value measured of each objective takes their place.
    """
    counted = [
        (trial.number, view.problem.score(trial.observation.outcomes))
        for trial in view.trials
        if trial.observation is not None and is_feasible(view, trial)
    ]
    if not counted or not 2 <= len(view.problem.objectives) <= MAX_OBJECTIVES:
        return None
    worst = tuple(min(column) for column in zip(*(score for _, score in counted), strict=True))
    reference = view.problem.reference_point or worst
    front: list[Score] = []
    volumes: list[tuple[int, float]] = []
    for number_, score in counted:
        if not any(all(a >= b for a, b in zip(other, score, strict=True)) for other in front):
            front = [o for o in front if not all(b >= a for a, b in zip(o, score, strict=True))] + [score]
            volumes.append((number_, hypervolume(front, reference)))
        else:
            volumes.append((number_, volumes[-1][1]))
    return volumes, reference


def growth_picture(view: CampaignView) -> list[Picture]:
    """Draw how the hypervolume grew."""
    found = growth(view)
    if found is None:
        return []
    volumes, _ = found
    is_declared = view.problem.reference_point is not None

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.step([n for n, _ in volumes], [v for _, v in volumes], where="post", color=INK)
        axes.set_xlim(0.5, max(volumes[-1][0], view.n_proposed) + 0.5)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("trial")
        axes.set_ylabel("hypervolume")

    return [
        Picture(
            key="hypervolume",
            alt=f"The hypervolume against the number of trials; it ends at {number(volumes[-1][1])}.",
            caption="The volume of outcomes that the trials so far reach or beat, from "
            + ("the declared references on." if is_declared else "the worst measured value of each objective on."),
            png=png(draw, HALF, 3.7),
            is_wide=False,
        )
    ]
