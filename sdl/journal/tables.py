"""Tables of measurements in CSV files, with a schema that says what every column is.

A schema stands in a YAML or JSON file::

    name: crossed-barrel
    title: Toughness of 3D-printed crossed barrels
    columns:
      n: {role: parameter, kind: discrete}
      theta: {role: parameter, unit: degree}
      toughness: {role: outcome, goal: maximize, unit: J}
      operator: {role: ignore}

Every column of the file is listed, so that none is left out by mistake. Messages name file, row and column; rows are
counted as an editor shows them, the header being row 1.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

import yaml
from pydantic import Field, model_validator

from sdl.errors import ProblemError, SdlError
from sdl.problem import Maximize, Minimize, Objective, ParameterValue, Target
from sdl.problem.parameters import Unit
from sdl.problem.value import FrozenMap, Tuple, Value, listing

T = TypeVar("T", bound=Value)


class ParameterColumn(Value):
    """A column of settings.

    Parameters
    ----------
    name
        What the parameter is called; the column's header by default.
    kind
        ``continuous`` for numbers of a range, ``discrete`` for numbers of a list, ``categorical`` for texts.
    unit
        The unit of the numbers; None for plain numbers and texts.
    log
        Whether a continuous parameter acts through its logarithm.
    """

    role: Literal["parameter"] = "parameter"
    name: str | None = None
    kind: Literal["continuous", "discrete", "categorical"] = "continuous"
    unit: Unit = None
    log: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.kind == "categorical" and (self.unit is not None or self.log):
            raise ProblemError("a categorical column has neither a unit nor a log scale")
        return self


class OutcomeColumn(Value):
    """A column of results.

    Parameters
    ----------
    name
        What the outcome is called; the column's header by default.
    unit
        The unit of the numbers; None for plain numbers.
    goal
        What is wanted of the outcome; None where it is only recorded.
    target
        With the goal ``target``: the value wanted, or the lower and the upper end of the range wanted.
    reference
        A value just worse than anything of interest, for the hypervolume.
    minimum, maximum
        What the outcome can be at all, such as 0 and 100 for a percentage. A row outside is refused.
    """

    role: Literal["outcome"]
    name: str | None = None
    unit: Unit = None
    goal: Literal["minimize", "maximize", "target"] | None = None
    target: float | Tuple[float] | None = None
    reference: float | None = None
    minimum: float | None = None
    maximum: float | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.goal == "target") != (self.target is not None):
            raise ProblemError(
                "an outcome with the goal 'target' has target: VALUE or target: [LOW, HIGH], no other has"
            )
        if isinstance(self.target, tuple) and len(self.target) != 2:
            raise ProblemError(f"target: [LOW, HIGH] has two numbers, got {len(self.target)}")
        return self

    def objective(self, name: str) -> Objective | None:
        """Return the objective for the outcome *name*, None where the column has no goal."""
        match self.goal:
            case "minimize":
                return Minimize(name, unit=self.unit, reference=self.reference)
            case "maximize":
                return Maximize(name, unit=self.unit, reference=self.reference)
            case "target" if isinstance(self.target, tuple):
                low, high = self.target
                return Target(name, low=low, high=high, unit=self.unit, reference=self.reference)
            case "target":
                return Target(name, value=self.target, unit=self.unit, reference=self.reference)
            case None:
                return None


class ErrorColumn(Value):
    """A column with the standard error of the outcome *of*, in that outcome's unit."""

    role: Literal["standard_error"]
    of: str


class IgnoredColumn(Value):
    """A column that is not read, such as a row number."""

    role: Literal["ignore"]


Column = Annotated[ParameterColumn | OutcomeColumn | ErrorColumn | IgnoredColumn, Field(discriminator="role")]
"""Any column, told apart by its role."""


class MixtureColumns(Value):
    """Parameters that add up to a constant, as the components of a mixture do.

    ``tolerance`` is by how much a row of the table may miss the total: weighed amounts never add up exactly.
    """

    names: Tuple[str]
    total: Annotated[float, Field(gt=0)]
    tolerance: Annotated[float, Field(ge=0)] = 0.0


class TableSchema(Value):
    """What the columns of a table are, and where the table comes from.

    Parameters
    ----------
    name
        A short name, for files and messages.
    columns
        Header to what the column is. Every column of the file is listed.
    title, origin, licence, made
        One line on what was measured, where the table comes from, under which terms, and how it was made.
    file
        The table's file name, beside the schema or in the folder that is given.
    delimiter
        What stands between two cells.
    replicates
        What measuring a design means that the table holds several times: one of its rows by chance (``draw``), or their
        mean, with its standard error (``mean``).
    mixture
        Parameters that add up to a constant.
    missing
        What becomes of a row with an empty outcome: the table is refused, or the row is left out (``drop``).
    """

    name: Annotated[str, Field(min_length=1)]
    columns: FrozenMap[Column]
    title: str = ""
    origin: str = ""
    licence: str = ""
    made: str = ""
    file: str = "data.csv"
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    replicates: Literal["draw", "mean"] = "draw"
    mixture: MixtureColumns | None = None
    missing: Literal["refuse", "drop"] = "refuse"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.parameters or not self.outcomes:
            raise ProblemError(f"schema {self.name!r} needs at least one parameter and one outcome")
        names = [*self.parameters, *self.outcomes]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ProblemError(f"schema {self.name!r} uses {listing(sorted(twice))} for two columns")
        self._refuse_strangers([item.of for item in self._of(ErrorColumn).values()], self.outcomes, "outcome")
        self._refuse_strangers(self.mixture.names if self.mixture else (), self.numeric, "numeric parameter")
        return self

    def _refuse_strangers(self, names: Sequence[str], known: Mapping[str, object], what: str) -> None:
        if strangers := [name for name in names if name not in known]:
            raise ProblemError(f"schema {self.name!r} has no {what} {listing(strangers)}, only {listing(known)}")

    def _of(self, kind: type[T]) -> dict[str, T]:
        return {header: column for header, column in self.columns.items() if isinstance(column, kind)}

    @property
    def parameters(self) -> dict[str, ParameterColumn]:
        """Parameter name to its column, in the order of the schema."""
        return {column.name or header: column for header, column in self._of(ParameterColumn).items()}

    @property
    def numeric(self) -> dict[str, ParameterColumn]:
        """The parameters that are numbers."""
        return {name: column for name, column in self.parameters.items() if column.kind != "categorical"}

    @property
    def outcomes(self) -> dict[str, OutcomeColumn]:
        """Outcome name to its column, in the order of the schema."""
        return {column.name or header: column for header, column in self._of(OutcomeColumn).items()}

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The objectives that the outcome columns declare."""
        found = (column.objective(name) for name, column in self.outcomes.items())
        return tuple(objective for objective in found if objective is not None)

    def header_of(self, name: str) -> str:
        """Return the header of the column of a parameter or an outcome."""
        for header, column in self.columns.items():
            if isinstance(column, (ParameterColumn, OutcomeColumn)) and (column.name or header) == name:
                return header
        raise ProblemError(f"schema {self.name!r} has no column for {name!r}")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a schema from a YAML or JSON file."""
        path = Path(path)
        try:
            data = yaml.safe_load(_text(path))
        except yaml.YAMLError as error:
            raise ProblemError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
        try:
            return cls.from_data(data)
        except SdlError as error:
            raise ProblemError(f"{path}: {error.message}", hint=error.hint) from None


@dataclass(frozen=True)
class Row:
    """One row of a table: where it stands, its settings, its results, the standard errors of these, and its cells."""

    number: int
    values: Mapping[str, ParameterValue]
    outcomes: Mapping[str, float]
    errors: Mapping[str, float]
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table as it was read. ``n_dropped`` rows were left out because an outcome was missing."""

    path: Path
    schema: TableSchema
    rows: tuple[Row, ...]
    n_dropped: int = 0


def read_table(path: str | Path, schema: TableSchema) -> Table:
    """Read a CSV file.

    Parameters
    ----------
    path
        The file, or a folder that holds ``schema.file``.
    schema
        What its columns are.

    Raises
    ------
    ProblemError
        The file is missing or is no table, a column is missing or not listed, a cell is no number or lies outside of
        what its column can be, a mixture does not add up. The message names file, row and column.
    """
    path = Path(path)
    path = path / schema.file if path.is_dir() else path
    lines = _lines(path, schema.delimiter)
    _check_header(path, lines[0][1], schema)
    reader = _Reader(path, schema, tuple(lines[0][1]))
    rows = [reader.row(number, cells) for number, cells in lines[1:]]
    kept = tuple(row for row in rows if row is not None)
    if not kept:
        raise ProblemError(f"{path} has a header and no rows")
    return Table(path, schema, kept, n_dropped=len(rows) - len(kept))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # tables saved by a spreadsheet often begin with a byte order mark
    except FileNotFoundError:
        raise ProblemError(f"there is no file {path}") from None
    except UnicodeDecodeError as error:
        raise ProblemError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise ProblemError(f"{path} cannot be read: {error.strerror}") from None


def _lines(path: Path, delimiter: str) -> list[tuple[int, list[str]]]:
    """All lines that are not empty, with their numbers, cells stripped; the header is the first."""
    reader = csv.reader(_text(path).splitlines(keepends=True), delimiter=delimiter, strict=True)
    try:
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise ProblemError(f"{path}, row {reader.line_num}: {error}") from None
    lines = [(number, cells) for number, cells in lines if any(cells)]
    if not lines:
        raise ProblemError(f"{path} is empty")
    return lines


def _check_header(path: Path, header: Sequence[str], schema: TableSchema) -> None:
    if len(set(header)) < len(header):
        twice = sorted({name for name in header if header.count(name) > 1})
        raise ProblemError(f"{path} has two columns called {listing(map(repr, twice))}", hint="rename one of them")
    if missing := [name for name in schema.columns if name not in header]:
        raise ProblemError(
            f"{path} has no column {listing(map(repr, missing))}, only {listing(map(repr, header))}",
            hint="correct the names in the schema, or its delimiter",
        )
    if unlisted := [name for name in header if name not in schema.columns]:
        raise ProblemError(
            f"the schema {schema.name!r} does not list the column {listing(map(repr, unlisted))} of {path}",
            hint=f"add {unlisted[0]!r}: {{role: ignore}} if it is of no use",
        )


@dataclass(frozen=True)
class _Reader:
    """Makes rows of cells."""

    path: Path
    schema: TableSchema
    header: tuple[str, ...]

    def row(self, number: int, cells: Sequence[str]) -> Row | None:
        """Read one line; None where it is to be left out."""
        if len(cells) != len(self.header):
            raise ProblemError(
                f"{self.path}, row {number} has {len(cells)} cells, the header has {len(self.header)}",
                hint=f"put a cell that holds {self.schema.delimiter!r} in quotes",
            )
        at = dict(zip(self.header, cells, strict=True))
        if self.schema.missing == "drop" and not all(at[header] for header, _ in self._outcomes()):
            return None
        values = {
            column.name or header: self._value(number, header, column, at[header])
            for header, column in self.schema.columns.items()
            if isinstance(column, ParameterColumn)
        }
        self._check_mixture(number, values)
        outcomes = {
            column.name or header: self._outcome(number, header, column, at[header])
            for header, column in self._outcomes()
        }
        return Row(number, values, outcomes, self._errors(number, at), tuple(cells))

    def _outcomes(self) -> Iterator[tuple[str, OutcomeColumn]]:
        for header, column in self.schema.columns.items():
            if isinstance(column, OutcomeColumn):
                yield header, column

    def _value(self, number: int, header: str, column: ParameterColumn, cell: str) -> ParameterValue:
        if column.kind != "categorical":
            return self._number(number, header, cell)
        if not cell:
            raise self._wrong(number, header, "is empty")
        return cell

    def _outcome(self, number: int, header: str, column: OutcomeColumn, cell: str) -> float:
        value = self._number(number, header, cell)
        if column.minimum is not None and value < column.minimum:
            raise self._wrong(number, header, f"is {value}, below the minimum {column.minimum}")
        if column.maximum is not None and value > column.maximum:
            raise self._wrong(number, header, f"is {value}, above the maximum {column.maximum}")
        return value

    def _errors(self, number: int, at: Mapping[str, str]) -> dict[str, float]:
        """Standard errors, by outcome; an empty cell means that it is not known."""
        found: dict[str, float] = {}
        for header, column in self.schema.columns.items():
            if isinstance(column, ErrorColumn) and at[header]:
                found[column.of] = self._number(number, header, at[header])
                if found[column.of] < 0:
                    raise self._wrong(number, header, f"is {found[column.of]}, and a standard error cannot be negative")
        return found

    def _number(self, number: int, header: str, cell: str) -> float:
        try:
            value = float(cell)
        except ValueError:
            what = f"is {cell!r}, which is no number" if cell else "is empty"
            raise self._wrong(number, header, what) from None
        if not math.isfinite(value):
            raise self._wrong(number, header, f"is {cell}, which is no finite number")
        return value + 0.0  # -0.0 and 0.0 are one design

    def _check_mixture(self, number: int, values: Mapping[str, ParameterValue]) -> None:
        mixture = self.schema.mixture
        if mixture is None:
            return
        total = math.fsum(float(values[name]) for name in mixture.names)
        # Sums of decimal numbers are off by rounding: 99.8 + 0.1 is within 0.1 of 100.
        if abs(total - mixture.total) > mixture.tolerance + 1e-9 * mixture.total:
            raise ProblemError(
                f"{self.path}, row {number}: {' + '.join(mixture.names)} is {total:g}, "
                f"farther than {mixture.tolerance:g} from {mixture.total:g}",
                hint="correct the row, or raise the mixture's tolerance",
            )

    def _wrong(self, number: int, header: str, what: str) -> ProblemError:
        return ProblemError(f"{self.path}, row {number}, column {header!r} {what}")
