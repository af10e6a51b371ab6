"""A finite list of candidates: the space's points are exactly its rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from sdl.errors import PointError, ProblemError
from sdl.problem.parameters import ParameterValue, check_descriptors, is_empty
from sdl.problem.value import FrozenMap, Value, as_tuple, listing


class CandidatePool(Value):
    """Candidates, column by column.

    Parameters
    ----------
    columns
        Parameter name to its value in every row: all numbers (in the parameter's unit), or all texts. Lists, tuples and
        arrays of one length. No row occurs twice.
    descriptors
        Name to a number for every row that says what the candidate is like, as a descriptor or an embedding that
        another model gives. Planners with a model see them beside the columns; they are no parameters.
    """

    columns: FrozenMap[tuple[float, ...] | tuple[str, ...]]
    descriptors: Annotated[FrozenMap[tuple[float, ...]], Field(exclude_if=is_empty)] = Field(default_factory=dict)
    positional: ClassVar[tuple[str, ...]] = ("columns",)

    if TYPE_CHECKING:

        def __init__(
            self, columns: Mapping[str, Iterable[object]], *, descriptors: Mapping[str, Iterable[float]] | None = None
        ) -> None: ...

    @field_validator("columns", "descriptors", mode="before")
    @classmethod
    def _tuples(cls, columns: object) -> object:
        if not isinstance(columns, Mapping):
            return {} if columns is None else columns
        return {name: _column(values) for name, values in cast("Mapping[str, object]", columns).items()}

    def model_post_init(self, _context: object, /) -> None:
        """Check the columns, once: validators would run again wherever the pool is put into another value."""
        lengths = {name: len(values) for name, values in self.columns.items()}
        if not lengths or len(set(lengths.values())) > 1:
            raise ProblemError(f"the columns of a CandidatePool need one length, got {lengths or 'no columns'}")
        if not len(self):
            raise ProblemError("a CandidatePool needs at least one row")
        check_descriptors(self.descriptors, len(self), "rows")
        self._refuse_twins()

    def _refuse_twins(self) -> None:
        codes = np.zeros(len(self), dtype=np.int64)
        for name in self.columns:
            column = self._codes(name)
            _, codes = np.unique(codes * (int(column.max()) + 1) + column, return_inverse=True)
        n_distinct = int(codes.max()) + 1
        if n_distinct < len(self):
            row = int(np.argmax(np.bincount(codes)[codes] > 1))
            raise ProblemError(
                f"{len(self) - n_distinct} rows of the CandidatePool repeat another, the first is {self.row(row)}",
                hint="list every candidate once",
            )

    def _codes(self, name: str) -> NDArray[np.int64]:
        """A number for every distinct value of a column, shape ``(len(pool),)``."""
        values = self.columns[name]
        if not isinstance(values[0], str):
            return np.unique(self.array(name), return_inverse=True)[1].astype(np.int64)
        number = {value: index for index, value in enumerate(dict.fromkeys(values))}
        return np.fromiter(map(number.__getitem__, values), dtype=np.int64, count=len(values))

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __hash__(self) -> int:
        return hash((frozenset(self.columns), len(self)))

    def __repr__(self) -> str:
        return f"CandidatePool({len(self)} rows of {listing(self.columns)})"

    __str__ = __repr__

    def row(self, index: int) -> dict[str, ParameterValue]:
        """Return the values of one row; ``pool.row(0)`` is the first."""
        return {name: values[index] for name, values in self.columns.items()}

    def array(self, name: str) -> NDArray[Any]:
        """Return a column as a read-only array of floats or texts, shape ``(len(pool),)``."""
        if name not in self._arrays:
            array = np.array(self.columns[name])
            array.setflags(write=False)
            self._arrays[name] = array
        return self._arrays[name]

    @cached_property
    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {}

    @cached_property
    def _index(self) -> dict[tuple[ParameterValue, ...], int]:
        return {row: index for index, row in enumerate(zip(*self.columns.values(), strict=True))}

    def find(self, values: Mapping[str, ParameterValue]) -> int | None:
        """Return the number of the row with these values, None where there is none."""
        try:
            return self._index.get(tuple(values[name] for name in self.columns))
        except (KeyError, TypeError):
            return None

    def check(self, values: Mapping[str, ParameterValue]) -> None:
        """Raise :class:`~sdl.errors.PointError` unless *values* are a row."""
        if self.find(values) is None:
            shown = {name: values.get(name) for name in self.columns}
            raise PointError(f"{shown} is none of the {len(self)} candidates", hint="choose a row of the pool")


def _column(values: object) -> object:
    tolist = getattr(values, "tolist", None)
    if tolist is not None:
        values = tolist()
    return as_tuple(values)
