"""The figures of a report that tell what happened: progress, trade-offs, and whether the planner was right."""

# pyright: reportUnknownMemberType=false
# matplotlib leaves the types of its keyword arguments open.

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from sdl.campaign.planner import TrialState
from sdl.campaign.view import CampaignView
from sdl.export.account import Account
from sdl.export.drawing import (
    BLUE,
    CYCLE,
    GREEN,
    GREY,
    HALF,
    INK,
    PALE,
    RED,
    SKY,
    WIDTH,
    Picture,
    finite,
    legend,
    log_axis,
    png,
    room_below,
)
from sdl.export.scales import LOG_NORMAL, centre, interval, is_wide_span, miss
from sdl.export.tables import is_feasible
from sdl.export.words import count, label, several
from sdl.journal.records import Prediction
from sdl.problem import Measurement, Objective, Target


class Point(NamedTuple):
    """A completed trial on the progress figure."""

    x: float
    value: float
    error: float | None
    is_feasible: bool


@dataclass(frozen=True)
class Course:
    """One objective over one axis: the trials, the best so far after each, and where trials failed."""

    objective: Objective
    x_label: str
    points: Sequence[Point]
    failed: Sequence[float]
    shaded: tuple[float, float] | None

    def best_so_far(self) -> Iterator[tuple[float, float]]:
        """Yield where the best changes, and to what, and the end of the axis."""
        best: float | None = None
        for point in self.points:
            if point.is_feasible and (best is None or self.objective.score(point.value) > self.objective.score(best)):
                best = point.value
                yield point.x, best
        last = max((*(point.x for point in self.points), *self.failed), default=None)
        if best is not None and last is not None:
            yield last, best


def progress(view: CampaignView, account: Account) -> list[Picture]:
    """Draw each objective against the number of trials and against laboratory time."""
    made: list[Picture] = []
    for index, objective in enumerate(view.problem.objectives, 1):
        suffix = "" if len(view.problem.objectives) == 1 else f"-{index}"
        by_number = _course(view, objective, "trial", {trial.number: float(trial.number) for trial in view.trials})
        by_time = _course(view, objective, *_hours(account))
        made.append(_progress_picture(by_number, f"progress-trials{suffix}", "number of trials"))
        made.append(_progress_picture(by_time, f"progress-time{suffix}", "laboratory time"))
    return made


def _hours(account: Account) -> tuple[str, Mapping[int, float]]:
    """Laboratory time in the unit that gives handy numbers."""
    last = max(account.lab_seconds.values(), default=0.0)
    unit, seconds = next(
        ((name, size) for name, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)) if last > 3 * size),
        ("s", 1.0),
    )
    return f"laboratory time [{unit}]", {number: at / seconds for number, at in account.lab_seconds.items()}


def _course(view: CampaignView, objective: Objective, x_label: str, at: Mapping[int, float]) -> Course:
    points: list[Point] = []
    failed: list[float] = []
    for trial in sorted((trial for trial in view.trials if trial.number in at), key=lambda trial: at[trial.number]):
        if trial.observation is not None and not view.standing.is_ranked(view.record(trial.number)):
            continue  # it was made to judge others, or cannot be trusted: another section tells of it
        if trial.observation is not None:
            outcome = trial.observation.outcomes[objective.outcome]
            points.append(
                Point(at[trial.number], outcome.value, outcome.standard_error, bool(is_feasible(view, trial)))
            )
        elif trial.state is TrialState.FAILED:
            failed.append(at[trial.number])
    return Course(objective, x_label, points, failed, _shaded(view, at))


def n_initial(view: CampaignView) -> int:
    """Return how many trials the planner proposed before it had a model: those in front that carry no prediction.

    0 for a planner that never predicts.
    """
    has_prediction = [bool(trial.decision.predicted) for trial in view.trials]
    return has_prediction.index(True) if True in has_prediction else 0


def _shaded(view: CampaignView, at: Mapping[int, float]) -> tuple[float, float] | None:
    n = n_initial(view)
    last = max((at[number] for number in range(1, n + 1) if number in at), default=None)
    if last is None:
        return None
    later = [x for number, x in at.items() if number > n and x > last]
    return 0.0, (last + min(later)) / 2 if later else last


def _progress_picture(course: Course, key: str, against: str) -> Picture:
    outcome = course.objective.outcome
    best = list(course.best_so_far())
    told = (
        f"The best value moves from {best[0][1]:.4g} to {best[-1][1]:.4g}."
        if best
        else "No trial has a value that counts yet."
    )
    alt = (
        f"{outcome} of {count(len(course.points), 'completed trial')} against {against}, with the best so far as a "
        f"stepped line. {told} {count(len(course.failed), 'failed trial')} marked at the bottom."
    )
    return Picture(
        key=key,
        alt=alt,
        caption="",
        png=png(lambda figure: _draw_course(figure.add_subplot(), course), HALF, 3.7),
        is_wide=False,
    )


def _draw_course(axes: Axes, course: Course) -> None:
    _draw_target(axes, course.objective)
    if course.shaded is not None:
        axes.axvspan(*course.shaded, color=PALE, zorder=0, label="initial design")
    _draw_points(axes, [point for point in course.points if point.is_feasible], "trial", is_filled=True)
    _draw_points(axes, [p for p in course.points if not p.is_feasible], "breaks a constraint", is_filled=False)
    best = list(course.best_so_far())
    if best:
        axes.step([x for x, _ in best], [y for _, y in best], where="post", color=INK, label="best so far", zorder=4)
        axes.plot([best[-2][0]], [best[-2][1]], "*", color=GREEN, markersize=15, markeredgecolor=INK, zorder=5)
    if course.failed:
        axes.plot(
            course.failed,
            [0.025] * len(course.failed),
            "x",
            color=RED,
            transform=axes.get_xaxis_transform(),
            label="failed",
            markeredgewidth=2,
            markersize=7,
            clip_on=False,
            zorder=6,
        )
    _label_course(axes, course)


def _draw_target(axes: Axes, objective: Objective) -> None:
    if isinstance(objective, Target):
        low, high = objective.range
        axes.axhspan(low, high, color=GREEN, alpha=0.15, zorder=0)
        axes.axhline((low + high) / 2, color=GREEN, linewidth=1, linestyle="--", label="target")


def _draw_points(axes: Axes, points: Sequence[Point], name: str, *, is_filled: bool) -> None:
    if not points:
        return
    axes.errorbar(
        [point.x for point in points],
        [point.value for point in points],
        yerr=finite([point.error for point in points]),
        fmt="o",
        color=BLUE,
        markerfacecolor=BLUE if is_filled else "white",
        markersize=5 if len(points) <= 200 else 3,
        elinewidth=1,
        alpha=0.85 if len(points) <= 200 else 0.5,
        label=name,
        zorder=3,
    )


def _label_course(axes: Axes, course: Course) -> None:
    axes.set_xlabel(course.x_label)
    axes.set_ylabel(label(course.objective.outcome, course.objective.unit))
    if is_wide_span(point.value for point in course.points):
        log_axis(axes, "y")
    if course.x_label == "trial":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        last = max((*(point.x for point in course.points), *course.failed), default=1.0)
        axes.set_xlim(0.5, last + 0.5)
    else:
        axes.set_xlim(left=0)
    if course.failed and course.points:
        room_below(axes, 0.06)
    legend(axes)


# --- was the planner right? -------------------------------------------------------------------------------------------


class Forecast(NamedTuple):
    """What was predicted for a trial before it ran, and what was measured."""

    trial: int
    predicted: Prediction
    measured: Measurement


def forecasts(view: CampaignView, outcome: str) -> list[Forecast]:
    """Return what decision records predicted of *outcome*, beside what was measured."""
    return [
        Forecast(trial.number, predicted, trial.observation.outcomes[outcome])
        for trial in view.trials
        if trial.observation is not None and (predicted := trial.decision.predicted.get(outcome)) is not None
    ]


def calibration(view: CampaignView) -> list[Picture]:
    """Draw, for every outcome that the planner predicted, prediction against measurement, and the misses in order."""
    made: list[Picture] = []
    for index, (outcome, unit) in enumerate(view.problem.outcomes.items(), 1):
        found = forecasts(view, outcome)
        suffix = "" if len(view.problem.outcomes) == 1 else f"-{index}"
        if found:
            is_log = is_wide_span(v for item in found for v in (item.predicted.mean, item.measured.value))
            made.append(_forecast_picture(found, label(outcome, unit), suffix, is_log=is_log))
            made.append(_miss_picture(found, outcome, suffix, is_log=is_log))
    return made


def _forecast_picture(found: Sequence[Forecast], name: str, suffix: str, *, is_log: bool) -> Picture:
    return Picture(
        key=f"calibration{suffix}",
        alt=f"Measured against predicted {name}, with error bars and the line on which they would be equal.",
        caption="Each point is a trial: what the planner expected before it ran, with one standard deviation, and what "
        "was measured." + (LOG_NORMAL if is_log else ""),
        png=png(lambda figure: _draw_forecasts(figure.add_subplot(), found, name, is_log=is_log), HALF, 3.7),
        is_wide=False,
    )


def _miss_picture(found: Sequence[Forecast], outcome: str, suffix: str, *, is_log: bool) -> Picture:
    misses = [miss(item.predicted, item.measured, is_log=is_log) for item in found]
    one, two = (sum(abs(z) <= limit for z in misses) for limit in (1, 2))
    told = (
        f"{one} of {count(len(found), 'measurement')} lie within one standard deviation of the prediction, "
        f"{two} within two"
    )
    return Picture(
        key=f"misses{suffix}",
        alt=f"By how many standard deviations {outcome} missed its prediction, trial by trial. {told}.",
        caption=f"{told}. Of honest predictions 68 % and 95 % would.",
        png=png(lambda figure: _draw_misses(figure.add_subplot(), found, misses), HALF, 3.7),
        is_wide=False,
    )


def _draw_misses(axes: Axes, found: Sequence[Forecast], misses: Sequence[float]) -> None:
    for limit, alpha in ((2, 0.18), (1, 0.3)):
        axes.axhspan(-limit, limit, color=SKY, alpha=alpha, linewidth=0, zorder=0)
    axes.axhline(0, color=GREY, linewidth=1)
    # A prediction that claims to be certain may miss by any number; the figure stops at ten.
    shown = [min(max(z, -10.0), 10.0) for z in misses]
    axes.plot([forecast.trial for forecast in found], shown, "o", color=BLUE, markersize=5, alpha=0.85)
    largest = max(3.0, *(abs(z) * 1.1 for z in shown))
    axes.set_ylim(-largest, largest)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trial")
    axes.set_ylabel("miss [standard deviations]")


def _draw_forecasts(axes: Axes, found: Sequence[Forecast], name: str, *, is_log: bool) -> None:
    middles = [centre(item.predicted, is_log=is_log) for item in found]
    ranges = [interval(item.predicted, 1, is_log=is_log) for item in found]
    values = [*middles, *(item.measured.value for item in found)]
    low, high = min(values), max(values)
    margin = 0.05 * (high - low or abs(high) or 1.0)
    ends = (low / 1.3, high * 1.3) if is_log else (low - margin, high + margin)
    axes.plot(ends, ends, color=GREY, linewidth=1.2, linestyle="--", label="prediction = measurement", zorder=1)
    axes.errorbar(
        middles,
        [item.measured.value for item in found],
        xerr=[
            [middle - low for middle, (low, _) in zip(middles, ranges, strict=True)],
            [high - middle for middle, (_, high) in zip(middles, ranges, strict=True)],
        ],
        yerr=finite([item.measured.standard_error for item in found]),
        fmt="o",
        color=BLUE,
        ecolor=BLUE,
        elinewidth=0.8,
        markersize=5,
        alpha=0.75,
        label="trial",
        zorder=3,
    )
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)
    if is_log:
        log_axis(axes, "x")
        log_axis(axes, "y")
    axes.set_xlabel(f"predicted {name}")
    axes.set_ylabel(f"measured {name}")
    legend(axes)


# --- the laboratory ---------------------------------------------------------------------------------------------------


def stations(view: CampaignView, account: Account) -> list[Picture]:
    """Draw the share of the laboratory's time in which each station worked, step by step."""
    total = view.lab_seconds
    if not account.use or total <= 0:
        return []
    names = list(account.stations)
    steps = list(dict.fromkeys(step for _, step in account.use))

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        left = [0.0] * len(names)
        for index, step in enumerate(steps):
            shares = [account.use[name, step].seconds / total if (name, step) in account.use else 0.0 for name in names]
            axes.barh(
                range(len(names)), shares, left=left, height=0.6, color=CYCLE[index % len(CYCLE)], label=f"step {step}"
            )
            left = [a + b for a, b in zip(left, shares, strict=True)]
        for row, share in enumerate(left):
            axes.annotate(f"{share:.0%}", (share, row), xytext=(5, 0), textcoords="offset points", va="center")
        axes.set_yticks(range(len(names)), names)
        axes.set_xlim(0, max(1.08, max(left) * 1.1))
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[2, 5, 10]))
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_xlabel("share of the laboratory time")
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        legend(axes)

    shares = several([f"{name} {account.busy_seconds(name) / total:.0%}" for name in names])
    return [
        Picture(
            key="stations",
            alt=f"A bar for each station, as long as the share of the laboratory time in which it worked: {shares}.",
            caption="",
            png=png(draw, WIDTH, 1.1 + 0.36 * len(names)),
        )
    ]
