"""What a report says of data that can be trusted: control charts, and the results that cannot be."""

# pyright: reportUnknownMemberType=false
# matplotlib leaves the types of its keyword arguments open.

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sdl.campaign.chart import DECISION, LIMIT, ChartPoint
from sdl.campaign.inspection import control_charts
from sdl.campaign.trials import kind_of
from sdl.campaign.view import CampaignView
from sdl.export.drawing import BLUE, GREY, ORANGE, RED, SKY, WIDTH, Picture, finite, legend, panels, png
from sdl.export.sheets import Line, Sheet
from sdl.export.words import count, label, several, shortened
from sdl.journal.trust import Quality, Role

MAX_ROWS = 100
"""Findings that the table lists."""


def words_of(view: CampaignView) -> list[str]:
    """Say how many results can be trusted, and how many trials were made to know it; nothing where nobody looked."""
    standing = view.standing
    if standing.quality is None and not any(record.judged_by for record in standing.completed):
        return []
    numbers = {quality: standing.count(quality) for quality in Quality}
    said = several([f"{n} {quality}" for quality, n in numbers.items() if n])
    sentences = [f"Of {count(len(standing.completed), 'result')}, {said}." if said else "There is no result yet."]
    made = [f"{count(len(records), 'time')} {name}" for name, records in standing.series.items()]
    n_repeats = sum(len(records) for records in standing.replicates.values())
    made += [count(n_repeats, "replicate")] if n_repeats else []
    if made:
        sentences.append(f"Made to judge others, beside the budget of trials: {several(made)}.")
    return [" ".join(sentences)]


def doubts(view: CampaignView) -> Sheet | None:
    """Return the results that cannot be trusted, with the evidence; None where there are none."""
    lines = [
        Line([str(record.number), record.verdict.quality.value, finding.source, shortened(finding.text, 160)])
        for record in view.standing.completed
        if record.verdict.quality is not Quality.VALID
        for finding in record.verdict.findings
    ]
    if not lines:
        return None
    return Sheet(
        caption="Results that cannot be trusted",
        headings=["trial", "verdict", "by", "evidence"],
        lines=lines[-MAX_ROWS:],
        numeric=frozenset({0}),
        note=f"The last {MAX_ROWS} of {len(lines)} are listed." if len(lines) > MAX_ROWS else "",
    )


def charts(view: CampaignView) -> list[Picture]:
    """Draw the control chart of every control sample, with its CUSUM below."""
    controls = view.standing.quality.controls if view.standing.quality is not None else ()
    made: list[Picture] = []
    for number, control in enumerate(controls, 1):
        for index, (outcome, points) in enumerate(control_charts(view, control).items(), 1):
            if points:
                name = kind_of(Role(control.role), control.name, None)
                made.append(
                    _picture(f"control-{number}-{index}", name, outcome, view.problem.outcomes[outcome], points)
                )
    return made


def _picture(key: str, name: str, outcome: str, unit: str | None, points: Sequence[ChartPoint]) -> Picture:
    n_out = sum(point.is_out for point in points)
    alt = (
        f"Control chart of {outcome} of {name}: {count(len(points), 'sample')} by the number of the trial, with"
        f" center line and limits, and the two sums of the CUSUM below. {n_out or 'None'} out of control."
    )
    caption = (
        f"{outcome} of {name}. Limits at {LIMIT:g} standard deviations; where they are learned, each point is compared "
        f"with those before it. Below, the CUSUM for drift, with its limit at {DECISION:g}. Crossed: out of control."
    )

    def draw(figure: Figure) -> None:
        _draw(figure, label(outcome, unit), points)

    return Picture(key, alt, caption, png(draw, WIDTH, 4.6))


def _draw(figure: Figure, text: str, points: Sequence[ChartPoint]) -> None:
    upper, lower = panels(figure, 2, 1)
    at = [point.reading.trial for point in points]
    low, high = finite([point.low for point in points]), finite([point.high for point in points])
    upper.fill_between(at, low, high, color=SKY, alpha=0.18, linewidth=0, step="mid", label="limits")
    upper.step(at, low, where="mid", color=SKY, linewidth=1)
    upper.step(at, high, where="mid", color=SKY, linewidth=1)
    upper.step(at, finite([point.center for point in points]), where="mid", color=GREY, linewidth=1, label="expected")
    upper.plot(
        at, [point.reading.value for point in points], "o-", color=BLUE, markersize=4.5, linewidth=1, label="sample"
    )
    out = [point for point in points if point.is_out]
    if out:
        where, values = [point.reading.trial for point in out], [point.reading.value for point in out]
        upper.plot(where, values, "x", color=RED, markersize=10, markeredgewidth=2, label="out of control")
    upper.set_ylabel(text)
    lower.step(at, [point.up for point in points], where="mid", color=ORANGE, label="sum upwards")
    lower.step(at, [-point.down for point in points], where="mid", color=BLUE, label="sum downwards")
    for limit in (DECISION, -DECISION):
        lower.axhline(limit, color=RED, linewidth=1, linestyle="--")
    lower.set_ylabel("CUSUM")
    lower.set_xlabel("trial")
    for axes in (upper, lower):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlim(at[0] - 1, at[-1] + 1)
        legend(axes)
