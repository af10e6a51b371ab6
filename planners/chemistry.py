"""Descriptors of molecules from their SMILES, by RDKit, which ``pip install sdl[chem]`` brings."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sdl.errors import PlannerError, ProblemError

DESCRIPTORS = (
    "MolLogP",
    "TPSA",
    "MolWt",
    "FractionCSP3",
    "NumHDonors",
    "NumHAcceptors",
    "NumAromaticRings",
    "NumRotatableBonds",
    "MaxPartialCharge",
    "MinPartialCharge",
    "RingCount",
    "HallKierAlpha",
    "BalabanJ",
    "MolMR",
)
"""RDKit's names of what is computed, those that say most to a chemist first: of two alike the first stays."""

MAX_CORRELATION = 0.9
"""A descriptor that is correlated more than this with one before it says nothing new."""


def smiles_descriptors(
    smiles: Iterable[str],
    *,
    names: Sequence[str] = DESCRIPTORS,
    max_correlation: float = MAX_CORRELATION,
) -> dict[str, tuple[float, ...]]:
    """Return descriptors for ``Categorical(choices, descriptors=...)`` or ``CandidatePool(columns, descriptors=...)``.

    Descriptors that are the same for all molecules, that RDKit cannot compute for one of them, or that are correlated
    with one before them are left out.

    Parameters
    ----------
    smiles
        SMILES in the order of the choices or rows.
    names
        Which of RDKit's descriptors, in order of preference.
    max_correlation
        Above this absolute correlation over the molecules the later of two descriptors is left out.

    Raises
    ------
    PlannerError
        RDKit is not installed.
    ProblemError
        A text is no SMILES, or RDKit has no descriptor of a name.
    """
    rdkit, functions = _rdkit()
    if unknown := [name for name in names if name not in functions]:
        raise ProblemError(f"RDKit has no descriptor {unknown[0]!r}", hint="see rdkit.Chem.Descriptors.descList")
    molecules = [_molecule(rdkit, text) for text in smiles]
    columns = {name: np.array([functions[name](molecule) for molecule in molecules], dtype=float) for name in names}
    return {name: tuple(columns[name].tolist()) for name in _apart(columns, max_correlation)}


def _rdkit() -> tuple[Any, dict[str, Any]]:
    try:
        chem = importlib.import_module("rdkit.Chem")
        descriptors = importlib.import_module("rdkit.Chem.Descriptors")
    except ImportError as error:
        raise PlannerError("smiles_descriptors needs RDKit", hint="pip install 'sdl[chem]'") from error
    return chem, dict(descriptors.descList)


def _molecule(chem: Any, text: str) -> Any:
    block = importlib.import_module("rdkit.rdBase").BlockLogs()  # it would print what is said below
    molecule = chem.MolFromSmiles(text)
    del block
    if molecule is None or not molecule.GetNumAtoms():
        raise ProblemError(f"{text!r} is no SMILES of a molecule", hint="look for a typing error")
    return molecule


def _apart(columns: Mapping[str, npt.NDArray[np.float64]], limit: float) -> list[str]:
    """Return the names of columns that differ from row to row, and from those chosen before."""
    chosen: list[str] = []
    for name, column in columns.items():
        if not np.isfinite(column).all() or np.ptp(column) <= 1e-9 * max(1.0, float(np.abs(column).max())):
            continue
        if all(abs(np.corrcoef(column, columns[other])[0, 1]) <= limit for other in chosen):
            chosen.append(name)
    return chosen
