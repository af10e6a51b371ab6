"""Seed data: measurements that a campaign starts from.

A set is a folder with a README, ``schema.yaml`` (see :mod:`sdl.journal.tables`; it must say origin, licence and how the
set was made), and the table that the schema names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from sdl.errors import ProblemError, SdlError
from sdl.journal.tables import OutcomeColumn, ParameterColumn, Row, Table, TableSchema, read_table
from sdl.problem import Fixed, Measurement, ParameterValue, Problem
from sdl.problem.value import FrozenMap, Tuple, Value, listing


class SeedPoint(Value):
    """One measurement, in the set's own units. ``row`` is its row in the file."""

    row: int
    values: FrozenMap[ParameterValue]
    outcomes: FrozenMap[Measurement]


class SeedData(Value):
    """Measurements made before a campaign, with their units and where they come from.

    Parameters
    ----------
    name, title, origin, licence, made
        What the set is called, what was measured, where it comes from, under which terms, and how it was made.
    parameters, outcomes
        Name to what the column is, unit included.
    points
        The measurements, in the order of the file.
    outside
        What :meth:`for_problem` does with points outside of a problem's space: ``refuse`` the set, or ``drop`` them.
    """

    name: str
    title: str = ""
    origin: str
    licence: str
    made: str
    parameters: FrozenMap[ParameterColumn]
    outcomes: FrozenMap[OutcomeColumn]
    points: Tuple[SeedPoint]
    outside: Literal["refuse", "drop"] = "refuse"

    def for_problem(self, problem: Problem) -> list[tuple[dict[str, ParameterValue], dict[str, Measurement]]]:
        """Return the points as *problem* sees them: its parameters, its units, inside its space.

        A parameter that is fixed in the problem may be missing here; its value is filled in.

        Raises
        ------
        ProblemError
            A parameter or an outcome is missing, superfluous, or of another dimension; or a point lies outside of the
            space and the set is not told to drop it.
        """
        self._check_names(problem)
        wrong = self.outside_of(problem)
        if wrong and (self.outside == "refuse" or len(wrong) == len(self.points)):
            raise ProblemError(
                f"{len(wrong)} of {len(self.points)} points of the seed data {self.name!r} do not fit the problem; "
                f"row {next(iter(wrong))}: {next(iter(wrong.values()))}",
                hint="widen the space, or load the set with outside='drop'",
            )
        return [
            (self._values(point, problem), problem.observe(point.outcomes))
            for point in self.points
            if point.row not in wrong
        ]

    def outside_of(self, problem: Problem) -> dict[int, str]:
        """Return the rows that lie outside of the problem's space, each with the reason."""
        found: dict[int, str] = {}
        for point in self.points:
            try:
                problem.space.check(self._values(point, problem))
            except SdlError as error:
                found[point.row] = error.message
        return found

    def _check_names(self, problem: Problem) -> None:
        parameters = problem.space.parameters
        needed = {name for name, parameter in parameters.items() if not isinstance(parameter, Fixed)}
        missing = [*sorted(needed - self.parameters.keys()), *(n for n in problem.outcomes if n not in self.outcomes)]
        if missing:
            raise ProblemError(
                f"the seed data {self.name!r} have no {listing(missing)}",
                hint=f"they have {listing([*self.parameters, *self.outcomes])}",
            )
        if strangers := [name for name in self.parameters if name not in parameters]:
            raise ProblemError(
                f"the seed data {self.name!r} vary {listing(strangers)}, which is no parameter of the problem",
                hint="add it to the space, Fixed where it is not to be varied",
            )

    def _values(self, point: SeedPoint, problem: Problem) -> dict[str, ParameterValue]:
        values: dict[str, ParameterValue] = {}
        for name, parameter in problem.space.parameters.items():
            if name not in self.parameters and isinstance(parameter, Fixed):
                values[name] = parameter.value
            else:
                values[name] = parameter.canonical(name, self._written(name, point.values[name]))
        return values

    def _written(self, name: str, value: ParameterValue) -> object:
        """The value with its unit, as a person would write it."""
        return value if isinstance(value, str) else f"{value!r} {self.parameters[name].unit or ''}"


def load_seed(path: str | Path, *, outside: Literal["refuse", "drop"] = "refuse") -> SeedData:
    """Read a set of seed data from its folder, and check all of it.

    Parameters
    ----------
    path
        The folder.
    outside
        What becomes of points outside of the space of the problem that the set is used for.

    Raises
    ------
    ProblemError
        The folder is not complete, the schema does not say origin, licence and how the set was made, the table does not
        fit the schema, or a row stands there twice.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise ProblemError(
            f"there is no folder {folder}", hint="name the folder of a set, such as seeds/thin-film-prior"
        )
    schema = TableSchema.load(folder / "schema.yaml")
    if unsaid := [name for name in ("origin", "licence", "made") if not getattr(schema, name).strip()]:
        raise ProblemError(
            f"{folder / 'schema.yaml'} does not say {listing(unsaid)}", hint="seed data name their source"
        )
    if not any(entry.name.lower().startswith("readme") for entry in folder.iterdir()):
        raise ProblemError(f"{folder} has no README", hint="say in a few lines what was measured and how")
    table = read_table(folder / schema.file, schema)
    _refuse_twins(table)
    return SeedData(
        name=schema.name,
        title=schema.title,
        origin=schema.origin,
        licence=schema.licence,
        made=schema.made,
        parameters=schema.parameters,
        outcomes=schema.outcomes,
        points=tuple(_point(row, schema) for row in table.rows),
        outside=outside,
    )


def _point(row: Row, schema: TableSchema) -> SeedPoint:
    outcomes = {
        name: Measurement(value, schema.outcomes[name].unit, standard_error=row.errors.get(name))
        for name, value in row.outcomes.items()
    }
    return SeedPoint(row=row.number, values=dict(row.values), outcomes=outcomes)


def _refuse_twins(table: Table) -> None:
    """A row that stands there twice was copied, and would count double; a column that tells them apart makes it two."""
    seen: dict[tuple[str, ...], int] = {}
    for row in table.rows:
        first = seen.setdefault(row.cells, row.number)
        if first != row.number:
            raise ProblemError(
                f"{table.path}, row {row.number} repeats row {first}",
                hint="remove it, or add a column with the number of the measurement and role: ignore",
            )
