"""What each station did, and when, drawn as a timeline."""

# pyright: reportUnknownMemberType=false
# matplotlib leaves the types of its keyword arguments open.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from sdl.campaign.view import CampaignView
from sdl.export.account import Account
from sdl.export.bars import Bar, bars_of
from sdl.export.drawing import CYCLE, GREY, INK, RED, WIDTH, Picture, png
from sdl.export.words import count, several
from sdl.export.words import duration as length
from sdl.journal.protocol import Journal

FEW = 90
"""Up to so many runs are shown one by one; of more, a part is shown again, larger."""

PART = 60
"""Runs in the part that is shown again."""

UNITS = ((86400.0, "days", 3.0), (3600.0, "hours", 2.0), (60.0, "minutes", 2.0), (1.0, "seconds", 0.0))
"""Seconds in a unit of time, its name, and how many of it there must be before the axis is in it."""

LOOK = 0.8, 0.3
"""The height of a bar, and how opaque it is where the station is only held for another one's run."""


def pictures(view: CampaignView, account: Account, journal: Journal | None) -> list[Picture]:
    """Draw the timeline of *view*, as its journal tells it; nothing without a journal."""
    if journal is None:
        return []
    bars = bars_of(journal, view.name)
    spans = [
        (each.started.timestamp(), (each.ended or view.last_time or each.started).timestamp())
        for each in account.sessions
    ]
    moved, seams = without_pauses(bars, spans)
    known = view.lab.get("stations")
    names = [*known] if isinstance(known, Mapping) else []
    return timeline(moved, list(dict.fromkeys([*names, *(bar.station for bar in bars)])), seams)


def without_pauses(bars: Sequence[Bar], sessions: Sequence[tuple[float, float]]) -> tuple[list[Bar], list[float]]:
    """Let sessions follow one another without the time between them.

    Parameters
    ----------
    bars
        In UTC seconds.
    sessions
        When each began and ended, in order.

    Returns
    -------
    bars, seams
        In seconds from the begin of the first session, and where one session follows another.
    """
    if not sessions:
        start = min((bar.begin for bar in bars), default=0.0)
        return [replace(bar, begin=bar.begin - start, end=bar.end - start) for bar in bars], []
    moved: list[Bar] = []
    seams: list[float] = []
    at = 0.0
    for place, (begin, end) in enumerate(sessions):
        later = sessions[place + 1][0] if place + 1 < len(sessions) else float("inf")
        own = [bar for bar in bars if begin - 1 <= bar.begin < later - 1 or (place == 0 and bar.begin < begin)]
        moved += [replace(bar, begin=bar.begin - begin + at, end=bar.end - begin + at) for bar in own]
        at += max([end, *(bar.end for bar in own)]) - begin
        seams.append(at)
    return moved, seams[:-1]


def timeline(bars: Sequence[Bar], stations: Sequence[str], seams: Sequence[float] = ()) -> list[Picture]:
    """Draw the stations' timeline; where there are many runs, a part of it again.

    Parameters
    ----------
    bars
        In seconds from the begin.
    stations
        The rows, from the top.
    seams
        Where one session follows another.
    """
    rows = [name for name in stations if any(bar.station == name for bar in bars)]
    if not rows:
        return []
    steps = list(dict.fromkeys(bar.step for bar in sorted(bars, key=lambda bar: (bar.begin, bar.end))))
    runs = [bar for bar in bars if bar.is_run]
    failed = sum(not bar.is_success for bar in runs)
    end = max(bar.end for bar in bars)
    told = f"{count(len(runs), 'run')} of {several(steps)} on {several(rows)} in {length(end)}, {failed} of them failed"
    whole = Picture(
        key="timeline",
        alt=f"A row for each station, with a bar for each run over the laboratory time: {told}.",
        caption=_caption(bars, seams),
        png=png(
            lambda figure: _draw(figure, bars, rows, steps, span=(0.0, end), seams=seams),
            WIDTH,
            1.25 + 0.36 * len(rows),
        ),
    )
    return [whole, *([_part(bars, runs, rows, steps)] if len(runs) > FEW else [])]


def _caption(bars: Sequence[Bar], seams: Sequence[float]) -> str:
    words: list[str] = []
    if any(not bar.is_run for bar in bars):
        words.append("Pale: the station is held for a run on another one.")
    if any(bar.setup > 0 for bar in bars):
        words.append("Grey at the begin of a bar: made ready for it.")
    if any(not bar.is_success for bar in bars):
        words.append("Red above a bar: it failed.")
    if seams:
        words.append("Dotted: another session; the time between sessions is left out.")
    return " ".join(words)


def _part(bars: Sequence[Bar], runs: Sequence[Bar], rows: Sequence[str], steps: Sequence[str]) -> Picture:
    """Draw the end of the timeline, so much of it that single runs can be seen."""
    latest = sorted(runs, key=lambda bar: bar.begin)[-PART:]
    span = (latest[0].begin, max(bar.end for bar in bars))
    shown = [bar for bar in bars if bar.end > span[0] and bar.begin < span[1]]
    return Picture(
        key="timeline-end",
        alt=f"The same for the last {PART} runs, with the numbers of their trials.",
        caption=f"The last {PART} runs. The numbers are those of the trials, where there is room.",
        png=png(lambda figure: _draw(figure, shown, rows, steps, span=span), WIDTH, 1.25 + 0.36 * len(rows)),
    )


def _draw(
    figure: Figure,
    bars: Sequence[Bar],
    rows: Sequence[str],
    steps: Sequence[str],
    *,
    span: tuple[float, float],
    seams: Sequence[float] = (),
) -> None:
    axes = figure.add_subplot()
    seconds, unit = next((size, name) for size, name, least in UNITS if span[1] - span[0] >= least * size)
    low, high = span[0] / seconds, span[1] / seconds
    for index, step in enumerate(steps):
        of_step = [bar for bar in bars if bar.step == step]
        _draw_step(axes, of_step, rows, seconds, CYCLE[index % len(CYCLE)], is_hatched=index >= len(CYCLE))
    _draw_failures(axes, [bar for bar in bars if not bar.is_success and bar.is_run], rows, seconds, high - low)
    for seam in seams:
        axes.axvline(seam / seconds, color=INK, linewidth=0.8, linestyle=":")
    axes.set_xlim(low, high if high > low else low + 1)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xlabel(f"laboratory time in {unit}")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    _legend(axes, steps)
    _numbers(figure, axes, bars, rows, seconds)


def _draw_step(
    axes: Axes, bars: Sequence[Bar], rows: Sequence[str], seconds: float, color: str, *, is_hatched: bool
) -> None:
    height, pale = LOOK
    many = len(bars) > 4 * FEW
    for row, name in enumerate(rows):
        for is_run in (False, True):
            own = [bar for bar in bars if bar.station == name and bar.is_run is is_run]
            spans = [((bar.begin + bar.setup) / seconds, (bar.end - bar.begin - bar.setup) / seconds) for bar in own]
            axes.broken_barh(
                spans,
                (row - height / 2, height),
                facecolors=color,
                alpha=1.0 if is_run else pale,
                edgecolor="white",
                linewidth=0.0 if many or not is_run else 0.5,
                hatch="///" if is_hatched else None,
            )
            made_ready = [(bar.begin / seconds, bar.setup / seconds) for bar in own if bar.setup > 0]
            axes.broken_barh(made_ready, (row - height / 2, height), facecolors=GREY, linewidth=0.0)


def _draw_failures(axes: Axes, bars: Sequence[Bar], rows: Sequence[str], seconds: float, width: float) -> None:
    """Mark what failed with a red stroke above its bar, wide enough to be seen however short it was."""
    for bar in bars:
        row = rows.index(bar.station)
        wide = max((bar.end - bar.begin) / seconds, width / 250)
        axes.broken_barh([(bar.begin / seconds, wide)], (row - 0.5, 0.13), facecolors=RED, linewidth=0.0)


def _legend(axes: Axes, steps: Sequence[str]) -> None:
    handles = [
        Patch(facecolor=CYCLE[place % len(CYCLE)], hatch="///" if place >= len(CYCLE) else None, label=step)
        for place, step in enumerate(steps)
    ]
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=6,
        borderaxespad=0.2,
        handlelength=1.0,
        handletextpad=0.4,
        columnspacing=1.2,
    )


def _numbers(figure: Figure, axes: Axes, bars: Sequence[Bar], rows: Sequence[str], seconds: float) -> None:
    """Write the numbers of the trials into the bars that have room for them."""
    low, high = axes.get_xlim()
    room = figure.get_figwidth() * 0.86 * 72 / (high - low)  # points for a unit of the axis, about
    for bar in bars if len(bars) <= 4 * FEW else ():
        if not bar.is_run:
            continue
        begin, end = max(low, (bar.begin + bar.setup) / seconds), min(high, bar.end / seconds)
        fitting = [text for text in _names(bar.trials) if 6.0 * len(text) + 3 < (end - begin) * room]
        if fitting:
            row = rows.index(bar.station)
            axes.text((begin + end) / 2, row, fitting[0], ha="center", va="center", fontsize=8, color="white")


def _names(trials: Sequence[int]) -> list[str]:
    """Return ways to write the numbers of *trials*, the fullest first."""
    if not trials:
        return []
    is_row = len(trials) > 2 and trials[-1] - trials[0] == len(trials) - 1
    return [f"{trials[0]}-{trials[-1]}" if is_row else ", ".join(map(str, trials)), f"{len(trials)} trials"][
        : len(trials)
    ]
