"""Pictures of the courses: one panel for each case, medians with quartiles, and a bar chart of mean ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from planning.client import CONTENDERS
from planning.summary import OURS, Round

mpl.use("Agg")
from matplotlib import pyplot as plt  # after the choice of the backend

N_COLUMNS = 4
FLOOR = 1e-5
"""Gaps below this part of the largest one are drawn there: a logarithm needs an end."""


def colour_of(planner: str) -> tuple[float, float, float]:
    """Return a colour that is the planner's in every picture; ours is black, random search grey."""
    if planner == OURS:
        return (0.0, 0.0, 0.0)
    if planner == "random":
        return (0.6, 0.6, 0.6)
    red, green, blue, _ = mpl.colormaps["tab20"](list(CONTENDERS).index(planner) % 20)
    return (red, green, blue)


def draw_courses(rounds: Sequence[Round], path: Path) -> None:
    """Draw the median gap after each trial, and between quartiles for ours."""
    n_rows = -(-len(rounds) // N_COLUMNS)
    figure, axes = plt.subplots(
        n_rows, N_COLUMNS, figsize=(4 * N_COLUMNS, 3 * n_rows), squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(rounds) :]:
        axis.set_visible(False)
    for axis, shown in zip(axes.flat, rounds, strict=False):
        draw_case(axis, shown)
    labels = {line.get_label(): line for axis in axes.flat for line in axis.get_lines()}
    axes.flat[0].set_ylabel("gap to the best")
    figure.legend(labels.values(), labels.keys(), loc="outside lower center", ncols=7, frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def draw_case(axis: Any, shown: Round) -> None:
    """Draw one panel."""
    n_trials = shown.n_trials
    trials = np.arange(1, n_trials + 1)
    floor = FLOOR * max(float(standing.middle[0]) for standing in shown.able.values())
    for name, standing in shown.able.items():
        is_ours = name == OURS
        courses = np.maximum(standing.courses[:, :n_trials], floor)
        axis.plot(trials, np.median(courses, axis=0), color=colour_of(name), label=name, linewidth=2 if is_ours else 1)
        if is_ours:
            low, high = np.quantile(courses, [0.25, 0.75], axis=0)
            axis.fill_between(trials, low, high, color=colour_of(name), alpha=0.15, linewidth=0)
    axis.set_yscale("log")
    axis.minorticks_off()
    axis.set_title(shown.case, fontsize=10)
    axis.tick_params(labelsize=8)


def draw_ranks(overall: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Draw mean ranks, those who cannot do a case counted last."""
    ordered = sorted(overall, key=lambda name: -float(overall[name]["mean_rank_unsupported_last"]))
    figure, axis = plt.subplots(figsize=(7, 0.35 * len(ordered) + 1), layout="constrained")
    ranks = [float(overall[name]["mean_rank_unsupported_last"]) for name in ordered]
    axis.barh(ordered, ranks, color=[colour_of(name) for name in ordered])
    axis.set_xlabel("mean rank of the median final gap (1 is best)")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def draw(rounds: Sequence[Round], overall: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    """Draw everything into *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "planners", "svg.fonttype": "none"}):
        draw_courses(rounds, folder / "planner-courses.svg")
        draw_ranks(overall, folder / "planner-ranks.svg")
