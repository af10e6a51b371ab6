"""What is said of the cells: courses, factors, ranks, and paired comparisons."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Any

import numpy as np
from harness import Spread, print_table, short
from scipy.stats import rankdata, wilcoxon  # pyright: ignore[reportMissingTypeStubs] # scipy has no types

from planning.cells import Cell
from planning.functions import Array

OURS, REFERENCE = "sdl", "random"
CHECKPOINTS = (5, 10, 20, 30, 40, 60, 80)
GONE = 1e-9
"""Gaps below this part of the worst are the same: zero, but for rounding."""


@dataclass(frozen=True)
class Standing:
    """A planner on a case, over all seeds."""

    planner: str
    cells: tuple[Cell, ...]

    @property
    def unsupported(self) -> str | None:
        """Why it does not take part."""
        return next((cell.unsupported for cell in self.cells if cell.unsupported), None)

    @property
    def failures(self) -> list[Cell]:
        """The cells in which it failed."""
        return [cell for cell in self.cells if cell.error]

    @cached_property
    def courses(self) -> Array:
        """Gaps, seeds by trials. A planner that failed keeps the gap that it had."""
        return np.array([course_of(cell) for cell in self.cells])

    @cached_property
    def middle(self) -> Array:
        """The median course."""
        return np.asarray(np.median(self.courses, axis=0))

    def final(self, n_trials: int) -> dict[int, float]:
        """Return the gap after *n_trials* by seed."""
        return {cell.seed: float(course[n_trials - 1]) for cell, course in zip(self.cells, self.courses, strict=True)}

    @property
    def cpu(self) -> float | None:
        """Median processor seconds for a suggestion in the second half of the trials, where planners have a model."""
        late = [seconds / n for cell in self.cells for n, seconds in cell.cpu[len(cell.cpu) // 2 :]]
        return median(late) if late else None


def course_of(cell: Cell) -> list[float]:
    """Return the gap after each of the trials that were asked for; values that are zero but for rounding become 0."""
    gaps = cell.gaps[: cell.n_trials]
    gaps = gaps + [gaps[-1] if gaps else cell.worst] * (cell.n_trials - len(gaps))
    return [0.0 if gap < GONE * cell.worst else gap for gap in gaps]


def trials_to(course: Iterable[float], gap: float) -> int | None:
    """Return after how many trials *course* is at *gap* or below; None where it never is."""
    return next((n for n, value in enumerate(course, 1) if value <= gap), None)


def acceleration(course: Array, reference: Array) -> tuple[float, str]:
    """Return how many times fewer trials *course* needs for where *reference* ends, and in words.

    A bound where it never gets there. The definition is that of Rohr et al., Chem. Sci. 11, 2696 (2020).
    """
    at_reference = trials_to(reference, reference[-1]) or len(reference)
    needed = trials_to(course, reference[-1])
    factor = at_reference / (needed or len(course))
    return factor, short(factor, 2) if needed else f"below {short(factor, 2)}"


def enhancement(gap: float, reference: float) -> tuple[float | None, str]:
    """Return how many times smaller *gap* is than that of the reference after as many trials, and in words.

    After Liang et al., npj Comput. Mater. 7, 188 (2021), in gaps instead of values, so that it means the same for all.
    """
    if gap == 0.0:
        return None, "no gap left" if reference else "1"
    return reference / gap, short(reference / gap, 2)


@dataclass(frozen=True)
class Round:
    """All planners on one case."""

    case: str
    standings: Mapping[str, Standing]

    @classmethod
    def of(cls, case: str, cells: Sequence[Cell]) -> Round:
        """Gather the cells of *case*."""
        planners = dict.fromkeys(cell.planner for cell in cells if cell.case == case)
        return cls(
            case,
            {
                planner: Standing(
                    planner,
                    tuple(
                        sorted(
                            (cell for cell in cells if cell.case == case and cell.planner == planner),
                            key=lambda cell: cell.seed,
                        )
                    ),
                )
                for planner in planners
            },
        )

    @property
    def able(self) -> dict[str, Standing]:
        """The planners that take part."""
        return {name: standing for name, standing in self.standings.items() if standing.unsupported is None}

    @property
    def n_trials(self) -> int:
        """The shortest budget among them; random search has a longer one."""
        return min(cell.n_trials for standing in self.able.values() for cell in standing.cells)

    @property
    def ranks(self) -> dict[str, float]:
        """Rank of the median final gap, 1 is best, ties share."""
        names = list(self.able)
        finals = [self.able[name].middle[self.n_trials - 1] for name in names]
        return dict(zip(names, np.asarray(rankdata(finals)).tolist(), strict=True))


def show_round(shown: Round) -> dict[str, Any]:
    """Print the tables of one case, return their figures."""
    n_trials = shown.n_trials
    first = next(iter(shown.able.values())).cells[0]
    checkpoints = sorted({n for n in (*CHECKPOINTS, n_trials) if n <= n_trials})
    by_final = sorted(shown.able.values(), key=lambda standing: standing.middle[n_trials - 1])
    print_table(
        f"{shown.case}: gap to the best ({first.best:.4g} in the first instance), median (quartiles) over the seeds, "
        f"{n_trials} trials:",
        ["planner", "seeds", *(f"after {n}" for n in checkpoints)],
        [
            [s.planner, len(s.cells), *(Spread.of(s.courses[:, n - 1].tolist()).written() for n in checkpoints)]
            for s in by_final
        ],
    )
    figures = {s.planner: figures_of(s, shown.able.get(REFERENCE), n_trials, first.threshold) for s in by_final}
    headings = ["to threshold", "acceleration", "enhancement", "CPU s per suggestion", "repeats", "illegal", "failed"]
    print_table(
        f"{shown.case}: trials until the gap is at most {first.threshold:.3g} (median; seeds that got there), factors "
        f"against {REFERENCE} search, and costs:",
        ["planner", *headings],
        [[name, *(found["written"][heading] for heading in headings)] for name, found in figures.items()],
    )
    show_absent(shown)
    return {
        "case": shown.case,
        "n_trials": n_trials,
        "planners": figures,
        "unsupported": {name: s.unsupported for name, s in shown.standings.items() if s.unsupported is not None},
        "ranks": shown.ranks,
    }


def figures_of(standing: Standing, reference: Standing | None, n_trials: int, threshold: float) -> dict[str, Any]:
    """Return the figures of one planner on one case, and how they are written."""
    courses = standing.courses[:, :n_trials]
    reached = [trials_to(course, threshold) for course in courses]
    middle = median(n_trials + 1 if n is None else n for n in reached)
    n_reached = sum(n is not None for n in reached)
    fast, fast_words = acceleration(standing.middle[:n_trials], reference.middle) if reference else (None, "-")
    last = float(standing.middle[n_trials - 1])
    good, good_words = enhancement(last, float(reference.middle[n_trials - 1])) if reference else (None, "-")
    n_failed = len(standing.failures)
    if standing.planner == REFERENCE:
        fast, fast_words = 1.0, "1"
    return {
        "seeds": [cell.seed for cell in standing.cells],
        "version": standing.cells[0].version,
        "median": standing.middle.tolist(),
        "final": standing.final(n_trials),
        "trials_to_threshold": reached,
        "acceleration": fast,
        "enhancement": good,
        "cpu_s_per_suggestion": standing.cpu,
        "failures": [f"seed {cell.seed}: {cell.error}" for cell in standing.failures],
        "written": {
            "to threshold": (f"> {n_trials}" if middle > n_trials else f"{middle:g}") + f"; {n_reached}/{len(reached)}",
            "acceleration": fast_words,
            "enhancement": good_words,
            "CPU s per suggestion": "-" if standing.cpu is None else f"{standing.cpu:.2g}",
            "repeats": str(sum(cell.n_repeats for cell in standing.cells)),
            "illegal": str(sum(cell.n_illegal for cell in standing.cells)),
            "failed": f"{n_failed}/{len(standing.cells)}" if n_failed else "0",
        },
    }


def show_absent(shown: Round) -> None:
    """Print who does not take part, and how planners failed."""
    for name, standing in shown.standings.items():
        if standing.unsupported is not None:
            print(f"{name}: unsupported, {standing.unsupported}")
        for cell in standing.failures:
            print(f"{name}: failed with seed {cell.seed} after {len(cell.gaps)} trials: {first_line(cell.error)}")
    print()


def first_line(text: str | None) -> str:
    """Return the first line of an error."""
    return (text or "").partition("\n")[0][:200]


# --- paired comparison ------------------------------------------------------------------------------------------------


def compare(ours: Standing, rival: Standing, n_trials: int) -> dict[str, Any] | None:
    """Compare final gaps of the same seeds; None without a common seed.

    The p-value is that of Wilcoxon's signed-rank test, two-sided, zeros kept as Pratt proposed; exact for few seeds.
    """
    mine, theirs = ours.final(n_trials), rival.final(n_trials)
    seeds = sorted(mine.keys() & theirs.keys())
    if not seeds:
        return None
    differences = np.array([mine[seed] - theirs[seed] for seed in seeds])
    return {
        "wins": int(np.sum(differences < 0)),
        "ties": int(np.sum(differences == 0)),
        "losses": int(np.sum(differences > 0)),
        "median_difference": float(np.median(differences)),
        "p": signed_rank(differences),
    }


def signed_rank(differences: Array) -> float:
    """Return the p-value; 1 where all differences are zero."""
    if not np.any(differences):
        return 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # with ties or few seeds the p-value is approximate, which the page says
        tested: Any = wilcoxon(differences, zero_method="pratt")
        return float(tested.pvalue)


def show_pairs(rounds: Sequence[Round]) -> list[dict[str, Any]]:
    """Print ours against every rival on every case, return the figures."""
    found: list[dict[str, Any]] = []
    for shown in rounds:
        ours = shown.able.get(OURS)
        for name, rival in shown.able.items():
            figures = compare(ours, rival, shown.n_trials) if ours and name != OURS else None
            if figures is not None:
                found.append({"case": shown.case, "rival": name, **figures})
    print_table(
        f"{OURS} against each rival, seed by seed: final gap, ours minus theirs (negative: ours is better), and the "
        "p-value of Wilcoxon's signed-rank test:",
        ["case", "rival", "wins", "ties", "losses", "median difference", "p"],
        [
            [row["case"], row["rival"], row["wins"], row["ties"], row["losses"],
             f"{row['median_difference']:.3g}", f"{row['p']:.2g}"]
            for row in found
        ],
    )  # fmt: skip
    return found


def show_matrix(rounds: Sequence[Round]) -> None:
    """Print the median final gap of every planner on every case, the best one in bold."""
    planners = list(dict.fromkeys(name for shown in rounds for name in shown.standings))
    rows: list[list[str]] = []
    for shown in rounds:
        finals = {name: float(standing.middle[shown.n_trials - 1]) for name, standing in shown.able.items()}
        written = {name: short(gap) for name, gap in finals.items()}
        best = min(finals.values())
        cells = [f"**{written[name]}**" if finals.get(name) == best else written.get(name, "-") for name in planners]
        rows.append([shown.case, str(shown.n_trials), *cells])
    print_table("Median final gap (-: unsupported; bold: best):", ["case", "trials", *planners], rows)


# --- over all cases ---------------------------------------------------------------------------------------------------


def show_overall(rounds: Sequence[Round], figures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Print mean ranks and median factors over all cases, return them."""
    planners = list(dict.fromkeys(name for shown in rounds for name in shown.standings))
    rows: dict[str, dict[str, Any]] = {}
    for name in planners:
        ranks = [shown.ranks[name] for shown in rounds if name in shown.able]
        with_last = [shown.ranks.get(name, len(shown.standings)) for shown in rounds if name in shown.standings]
        factors = [found["planners"][name]["acceleration"] for found in figures if name in found["planners"]]
        factors = [factor for factor in factors if factor is not None]
        rows[name] = {
            "mean_rank": float(np.mean(ranks)) if ranks else None,
            "mean_rank_unsupported_last": float(np.mean(with_last)) if with_last else None,
            "n_cases": len(ranks),
            "n_best": sum(rank == min(shown.ranks.values()) for shown, rank in _ranked(rounds, name)),
            "median_acceleration": median(factors) if factors else None,
        }
    ordered = sorted(rows, key=lambda name: rows[name]["mean_rank_unsupported_last"] or np.inf)
    print_table(
        "Over all cases: mean rank of the median final gap (1 is best), among those who take part, and with those who "
        "cannot counted last; cases in which the planner is best; median acceleration factor:",
        ["planner", "cases", "mean rank", "mean rank, unsupported last", "best in", "median acceleration"],
        [[name, rows[name]["n_cases"], *(_number(rows[name][column]) for column in (
            "mean_rank", "mean_rank_unsupported_last", "n_best", "median_acceleration"))] for name in ordered],
    )  # fmt: skip
    return rows


def _ranked(rounds: Sequence[Round], name: str) -> list[tuple[Round, float]]:
    return [(shown, shown.ranks[name]) for shown in rounds if name in shown.able]


def _number(value: float | None) -> str:
    return "-" if value is None else short(value)
