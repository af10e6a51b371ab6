"""The trials as a table: for a spreadsheet, and for pandas."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sdl.campaign.planner import TrialState
from sdl.campaign.trials import Trial
from sdl.campaign.view import CampaignView
from sdl.problem import Categorical, Fixed, Measurement, Objective, Parameter

if TYPE_CHECKING:
    import pandas as pd

Cell = str | float | int | bool | datetime | None
"""What a cell holds; None where there is nothing to say."""

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""A text that begins with one of these is a formula to a spreadsheet."""


@dataclass(frozen=True)
class Column:
    """One column: its heading, what kind of data it holds, and how its cell is found for a trial."""

    heading: str
    kind: type[str] | type[float] | type[int] | type[bool] | type[datetime]
    cell: Callable[[Trial], Cell]


def columns(view: CampaignView, trials: Sequence[Trial]) -> tuple[Column, ...]:
    """Return the columns of *trials*, trials of *view*: the same for a file and for pandas.

    The values of a failed trial are what was measured before it failed.
    """
    parameters = [
        Column(_heading(name, view.units[name]), _kind_of(parameter), _value_of(name))
        for name, parameter in view.problem.space.parameters.items()
    ]
    outcomes = [column for name, unit in _outcomes(view, trials) for column in _outcome_columns(name, unit)]
    return _distinct(
        Column("trial", int, lambda trial: trial.number),
        Column("state", str, lambda trial: trial.state.value),
        *parameters,
        *outcomes,
        Column("attempts", int, lambda trial: trial.attempts),
        Column("started", datetime, lambda trial: trial.started_at),
        Column("ended", datetime, lambda trial: trial.ended_at),
        Column("seconds", float, lambda trial: trial.seconds),
        Column("cost", float, lambda trial: trial.cost),
        Column("planner", str, lambda trial: trial.decision.planner),
        Column("failure category", str, lambda trial: trial.failure.category.value if trial.failure else None),
        Column("reason", str, lambda trial: trial.failure.reason if trial.failure else trial.reason or None),
        Column("role", str, lambda trial: trial.role.value),
        Column("verdict", str, lambda trial: trial.verdict.quality.value if trial.observation else None),
        Column("doubts", str, _doubts),
        Column("is_feasible", bool, lambda trial: is_feasible(view, trial)),
        _winners(view),
    )


def _doubts(trial: Trial) -> str | None:
    return "; ".join(f"{finding.source}: {finding.text}" for finding in trial.verdict.findings) or None


def measured(trial: Trial) -> Mapping[str, Measurement]:
    """Return what was measured of *trial*: its outcomes, or what there is of them where it failed."""
    if trial.observation is not None:
        return trial.observation.outcomes
    return trial.failure.partial if trial.failure is not None else {}


def value_of(trial: Trial, objective: Objective) -> Measurement:
    """Return what a completed trial measured of the objective's outcome."""
    assert trial.observation is not None
    return trial.observation.outcomes[objective.outcome]


def is_feasible(view: CampaignView, trial: Trial) -> bool | None:
    """Tell whether *trial* keeps the outcome constraints; None where it has no outcomes."""
    return None if trial.observation is None else view.problem.is_feasible(trial.observation.outcomes)


def has_trade_off(view: CampaignView) -> bool:
    """Tell whether there are several objectives, and so a Pareto front in place of one best trial."""
    return len(view.problem.objectives) > 1


def winners(view: CampaignView) -> tuple[Trial, ...]:
    """Return the best trial, or the Pareto front where there are several objectives."""
    if has_trade_off(view):
        return view.pareto
    return () if view.best is None else (view.best,)


def dataframe(view: CampaignView) -> pd.DataFrame:
    """Return the trials of *view*, a row each, oldest first.

    A parameter's or outcome's column carries the unit in its heading, as in ``oxygen [Pa]``. Numbers are floats (NaN
    where there is none), times are UTC, the last columns are booleans that may be missing.
    """
    import pandas as pd  # noqa: PLC0415 # half a second, and the CSV file does without

    dtypes = {int: "int64", float: "float64", str: "string", bool: "boolean", datetime: "datetime64[us, UTC]"}
    trials = view.trials
    return pd.DataFrame(
        {
            column.heading: pd.Series([column.cell(trial) for trial in trials], dtype=dtypes[column.kind])
            for column in columns(view, trials)
        }
    )


def write_csv(view: CampaignView, path: Path | str) -> Path:
    """Write the trials of *view* to *path*: UTF-8, RFC 4180, a line of headings, a line each trial, failed ones too.

    The file is complete or not there: it is written beside and renamed. See :func:`csv_text`.
    """
    return write_whole(path, csv_text(view).encode(errors="backslashreplace"))


def csv_text(view: CampaignView) -> str:
    """Return the trials of *view* as the text of a CSV file.

    A text that a spreadsheet would run as a formula gets an apostrophe in front. Numbers are written so that they read
    back exactly.
    """
    trials = view.trials
    used = columns(view, trials)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(_harmless(column.heading) for column in used)
    writer.writerows([_written(column.cell(trial)) for column in used] for trial in trials)
    return buffer.getvalue()


def write_whole(path: Path | str, data: bytes) -> Path:
    """Write *data* to a file beside *path* and rename it, so that nobody ever sees half of it."""
    target = Path(path)
    scratch = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with scratch.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(target)
    finally:
        with suppress(FileNotFoundError):
            scratch.unlink()
    return target


def moment(time: datetime) -> str:
    """Write a UTC time as ISO 8601."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _written(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case bool():
            return "true" if cell else "false"
        case datetime():
            return moment(cell)
        case str():
            return _harmless(cell)
        case _:
            return repr(cell)


def _harmless(text: str) -> str:
    return "'" + text if text.startswith(FORMULA_STARTS) else text


def _heading(name: str, unit: str | None) -> str:
    return f"{name} [{unit}]" if unit else name


def _kind_of(parameter: Parameter) -> type[str] | type[float]:
    is_text = isinstance(parameter, Categorical) or (isinstance(parameter, Fixed) and isinstance(parameter.value, str))
    return str if is_text else float


def _value_of(name: str) -> Callable[[Trial], Cell]:
    return lambda trial: trial.values[name]


def _outcomes(view: CampaignView, trials: Iterable[Trial]) -> Iterable[tuple[str, str | None]]:
    """Name and unit of every outcome: those of the problem first, then whatever else was measured."""
    found = dict.fromkeys(view.problem.outcomes.items())
    for trial in trials:
        found |= dict.fromkeys((name, measurement.unit) for name, measurement in measured(trial).items())
    return found


def _outcome_columns(name: str, unit: str | None) -> Iterator[Column]:
    def measurement(trial: Trial) -> Measurement | None:
        found = measured(trial).get(name)
        return found if found is not None and found.unit == unit else None

    yield Column(_heading(name, unit), float, lambda trial: _value(measurement(trial)))
    yield Column(_heading(f"{name} standard error", unit), float, lambda trial: _error(measurement(trial)))


def _value(measurement: Measurement | None) -> float | None:
    return None if measurement is None else measurement.value


def _error(measurement: Measurement | None) -> float | None:
    return None if measurement is None else measurement.standard_error


def _winners(view: CampaignView) -> Column:
    numbers = {trial.number for trial in winners(view)}
    heading = "is_pareto" if has_trade_off(view) else "is_best"

    def cell(trial: Trial) -> bool | None:
        return trial.number in numbers if trial.state is TrialState.COMPLETED else None

    return Column(heading, bool, cell)


def _distinct(*given: Column) -> tuple[Column, ...]:
    """Number the headings that occur twice: a parameter may be called ``state``."""
    taken: set[str] = set()
    found: list[Column] = []
    for column in given:
        heading, n = column.heading, 2
        while heading in taken:
            heading, n = f"{column.heading} ({n})", n + 1
        taken.add(heading)
        found.append(Column(heading, column.kind, column.cell))
    return tuple(found)
