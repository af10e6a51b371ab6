"""How figures look, and how they become PNG files.

Figures are made with matplotlib's objects alone: no pyplot, no window, no figure that stays in memory. What the
user has set for matplotlib does not reach them, so that one campaign gives one picture.
"""

# pyright: reportUnknownMemberType=false
# matplotlib leaves the types of its keyword arguments open.

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from sdl.export.words import number

# The palette of Okabe and Ito, "Color Universal Design" (2008): told apart with every kind of colour vision.
BLUE, ORANGE, GREEN, RED, SKY, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7"
INK, GREY, PALE = "#1f2430", "#6b7280", "#e9ecf1"
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED)

WIDTH, HALF = 7.6, 4.9
"""Inches: a figure over the whole column, and one of two side by side."""

DPI = 180
# Signs that matplotlib's own font lacks come from the first of these that the machine has.
_MORE_FONTS = ("Noto Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "WenQuanYi Zen Hei", "Arial Unicode MS")


@dataclass(frozen=True)
class Picture:
    """A figure: a key for file names, what it shows in words, a caption, the PNG file, and its place on the page."""

    key: str
    alt: str
    caption: str
    png: bytes
    is_wide: bool = True


@lru_cache(maxsize=1)
def _style() -> Any:
    known = set(font_manager.get_font_names())
    own: dict[str, Any] = {key: value for key, value in mpl.rcParamsDefault.items() if not key.startswith("backend")}
    return own | {
        "font.family": ["DejaVu Sans", *(name for name in _MORE_FONTS if name in known)],
        "font.size": 10,
        "text.color": INK,
        "text.parse_math": False,  # a parameter may be called "$x"
        "axes.edgecolor": GREY,
        "axes.labelcolor": INK,
        "axes.labelsize": 10.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.grid": True,
        "grid.color": PALE,
        "grid.linewidth": 0.8,
        "xtick.color": GREY,
        "ytick.color": GREY,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "legend.frameon": False,
        "legend.fontsize": 9,
        "lines.linewidth": 1.8,
        "axes.unicode_minus": True,
    }


@contextmanager
def _own_style() -> Generator[None]:
    with mpl.rc_context(_style()), warnings.catch_warnings():
        # A sign that no font has is drawn as a box; the page beside the figure spells the name.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def png(draw: Callable[[Figure], None], width: float, height: float) -> bytes:
    """Return the PNG file of what *draw* draws on an empty figure of so many inches."""
    with _own_style():
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        canvas: Any = FigureCanvasAgg(figure)
        draw(figure)
        buffer = io.BytesIO()
        canvas.print_png(buffer, metadata={"Software": None})  # figure.savefig would draw everything twice
    return buffer.getvalue()


def panels(figure: Figure, n: int, n_columns: int, *, is_y_shared: bool = False) -> list[Axes]:
    """Divide *figure* into *n* axes, row by row."""
    n_columns = min(n, n_columns)
    n_rows = math.ceil(n / n_columns)
    grid = figure.add_gridspec(n_rows, n_columns)
    made: list[Axes] = []
    for index in range(n):
        shared = made[0] if made and is_y_shared else None
        made.append(figure.add_subplot(grid[divmod(index, n_columns)], sharey=shared))
    return made


def log_axis(axes: Axes, which: str) -> None:
    """Make the axis ``"x"`` or ``"y"`` logarithmic, with ticks that are written like all other numbers."""
    if which == "x":
        axes.set_xscale("log")
    else:
        axes.set_yscale("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    n_decades = math.log10(high / low) if low > 0 else 9.0
    subs = (1.0,) if n_decades > 2.5 else (1.0, 3.0) if n_decades > 1.2 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=subs, numticks=9))
    axis.set_major_formatter(FuncFormatter(_tick))
    axis.set_minor_formatter(NullFormatter())


def _tick(value: float, _: int) -> str:
    return number(value, 3)


def legend(axes: Axes, n_columns: int = 4) -> None:
    """Put the legend above the axes, where it hides nothing."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            ncols=n_columns,
            borderaxespad=0.2,
            handletextpad=0.4,
            columnspacing=1.2,
        )


def inner_labels_off(axes: Axes) -> None:
    """Leave out the name of an axis that the panel to the left has too."""
    place = axes.get_subplotspec()
    if place is not None and not place.is_first_col():
        axes.set_ylabel("")
        axes.tick_params("y", which="both", labelleft=False)


def room_below(axes: Axes, share: float) -> None:
    """Lower the bottom of the y axis by *share* of its length."""
    low, high = axes.get_ylim()
    if axes.get_yscale() == "log":
        axes.set_ylim(low * (low / high) ** share, high)
    else:
        axes.set_ylim(low - share * (high - low), high)


def rows_for(n: int, n_columns: int) -> int:
    """Return how many rows *n* panels take."""
    return math.ceil(n / min(n, n_columns)) if n else 0


def finite(values: Sequence[float | None]) -> list[float]:
    """Return *values* with NaN, which matplotlib leaves out, where there is none."""
    return [math.nan if value is None else value for value in values]
