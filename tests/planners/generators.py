"""Generators of gest-api for the tests: they belong to nobody's package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class Nearby:
    """Proposes points beside the best one that it was told of; what it was told stays on the class, for the test."""

    told: Sequence[Mapping[str, Any]] = ()

    def __init__(self, vocs: Any, step: float = 0.1) -> None:
        self.vocs, self.step = vocs, step

    def ingest(self, results: Sequence[Mapping[str, Any]]) -> None:
        type(self).told = list(results)

    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        (objective,) = self.vocs.objective_names
        best = min(self.told, key=lambda row: float(row[objective]))
        return [
            {name: best[name] + (number + 1) * self.step if name == "x" else best[name] for name in self.vocs.all_names}
            for number in range(num_points)
        ]


class Broken:
    """Raises, as others' code does."""

    def __init__(self, vocs: Any) -> None:
        raise KeyError("x")
