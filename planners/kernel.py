"""The kernel of a fitted model: a sum of Matérn-5/2 terms, each over some of the columns.

Without declared structure there is one term over all columns. Everything is computed on rows that are measured in
lengthscales once, and matrices of distances are kept for the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

ROOT_5 = sqrt(5.0)


@dataclass(frozen=True)
class Term:
    """One term of the kernel.

    Parameters
    ----------
    columns
        Which columns it sees; None for all.
    scale
        One over the lengthscale of each of them.
    amplitude
        Its prior variance.
    """

    columns: npt.NDArray[np.intp] | None
    scale: Array
    amplitude: float

    def measured(self, rows: Array) -> Array:
        """Return the columns that the term sees, in lengthscales."""
        return np.asarray((rows if self.columns is None else rows[:, self.columns]) * self.scale)

    def kernel(self, distances: Array) -> Array:
        """Return the covariance at *distances*."""
        stretched = ROOT_5 * distances
        return np.asarray(self.amplitude * (1.0 + stretched + stretched**2 / 3.0) * np.exp(-stretched))


@dataclass(frozen=True)
class Spots:
    """Rows in lengthscales, and their squared lengths, for every term."""

    scaled: tuple[Array, ...]
    sizes: tuple[Array, ...]

    def __len__(self) -> int:
        return len(self.sizes[0])


class Kernel:
    """A sum of terms over rows with *n_columns* columns."""

    def __init__(self, terms: Sequence[Term], n_columns: int) -> None:
        self.terms = tuple(terms)
        self.n_columns = n_columns
        self.amplitude = sum(term.amplitude for term in self.terms)

    def spots(self, rows: Array) -> Spots:
        """Measure *rows* in lengthscales. Columns that they lack are 0: the campaign's own data, and now."""
        scaled = tuple(term.measured(padded(rows, self.n_columns)) for term in self.terms)
        return Spots(scaled, tuple(np.einsum("ij,ij->i", part, part) for part in scaled))

    def distances(self, first: Spots, second: Spots) -> tuple[Array, ...]:
        """Return the distances between all rows of two sets, shape (n, m), for every term."""
        return tuple(
            np.sqrt(np.maximum(a_size[:, None] + b_size[None, :] - 2.0 * (a @ b.T), 0.0))
            for a, b, a_size, b_size in zip(first.scaled, second.scaled, first.sizes, second.sizes, strict=True)
        )

    def values(self, distances: Sequence[Array]) -> Array:
        """Return the covariance at *distances*, shape (n, m)."""
        first, *others = [term.kernel(distance) for term, distance in zip(self.terms, distances, strict=True)]
        return sum(others, first)

    def between(self, first: Spots, second: Spots) -> Array:
        """Return the covariance between all rows of two sets, shape (n, m)."""
        return self.values(self.distances(first, second))

    def back(self, first: Spots, second: Spots, distances: Sequence[Array], by_kernel: Array) -> Array:
        """Return the gradient with respect to the rows of *first*, shape (n, columns).

        Parameters
        ----------
        first, second, distances
            Two sets of rows and what :meth:`distances` says of them.
        by_kernel
            Derivatives of the function with respect to the covariances, shape (n, m).
        """
        gradient = np.zeros((len(first), self.n_columns))
        for number, term in enumerate(self.terms):
            stretched = ROOT_5 * distances[number]
            slopes = -(5.0 / 3.0) * term.amplitude * by_kernel * (1.0 + stretched) * np.exp(-stretched)
            inner = slopes.sum(axis=1, keepdims=True) * first.scaled[number] - slopes @ second.scaled[number]
            gradient[:, slice(None) if term.columns is None else term.columns] += inner * term.scale
        return gradient


def padded(rows: Array, n_columns: int) -> Array:
    """Return *rows* with columns of zeros up to *n_columns*."""
    missing = n_columns - rows.shape[1]
    return np.pad(rows, ((0, 0), (0, missing))) if missing else rows
