"""Crystal structures of precursors, products and side products, and the form factors of their atoms.

The lattices (nm would be SI; crystallography writes angstrom) and coordinates are the usual literature values of these
minerals and oxides, to three or four digits, as in R. W. G. Wyckoff, Crystal Structures (Wiley, 1963 to 1968), and, for
the carbonates, in J. P. R. de Villiers, Am. Mineral. 56, 758 (1971), and H. Effenberger and J. Zemann, Z. Kristallogr.
150, 133 (1979). Three simplifications: perovskites are cubic, also where they are slightly distorted (BaTiO3, LaAlO3,
LaFeO3, LaCoO3); inverse spinels have their cations in the mean; ions scatter like neutral atoms.

Form factors: International Tables for Crystallography C (1992), Table 6.1.1.4: four Gaussians and a constant in
sin(theta) / wavelength.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

Place = tuple[float, float, float]
Atoms = tuple[tuple[str, Place], ...]

MASSES: Mapping[str, float] = MappingProxyType(
    {
        "Li": 6.94,
        "C": 12.011,
        "O": 15.999,
        "Mg": 24.305,
        "Al": 26.982,
        "Ca": 40.078,
        "Ti": 47.867,
        "Mn": 54.938,
        "Fe": 55.845,
        "Co": 58.933,
        "Ni": 58.693,
        "Zn": 65.38,
        "Sr": 87.62,
        "Zr": 91.224,
        "Ba": 137.327,
        "La": 138.905,
    }
)
"""g/mol (IUPAC)."""

Gaussians = tuple[tuple[float, ...], tuple[float, ...], float]

FORM_FACTORS: Mapping[str, Gaussians] = MappingProxyType(
    {
        "Li": ((1.1282, 0.7508, 0.6175, 0.4653), (3.9546, 1.0524, 85.3905, 168.261), 0.0377),
        "C": ((2.31, 1.02, 1.5886, 0.865), (20.8439, 10.2075, 0.5687, 51.6512), 0.2156),
        "O": ((3.0485, 2.2868, 1.5463, 0.867), (13.2771, 5.7011, 0.3239, 32.9089), 0.2508),
        "Mg": ((5.4204, 2.1735, 1.2269, 2.3073), (2.8275, 79.2611, 0.3808, 7.1937), 0.8584),
        "Al": ((6.4202, 1.9002, 1.5936, 1.9646), (3.0387, 0.7426, 31.5472, 85.0886), 1.1151),
        "Ca": ((8.6266, 7.3873, 1.5899, 1.0211), (10.4421, 0.6599, 85.7484, 178.437), 1.3751),
        "Ti": ((9.7595, 7.3558, 1.6991, 1.9021), (7.8508, 0.5, 35.6338, 116.105), 1.2807),
        "Mn": ((11.2819, 7.3573, 3.0193, 2.2441), (5.3409, 0.3432, 17.8674, 83.7543), 1.0896),
        "Fe": ((11.7695, 7.3573, 3.5222, 2.3045), (4.7611, 0.3072, 15.3535, 76.8805), 1.0369),
        "Co": ((12.2841, 7.3409, 4.0034, 2.3488), (4.2791, 0.2784, 13.5359, 71.1692), 1.0118),
        "Ni": ((12.8376, 7.292, 4.4438, 2.38), (3.8785, 0.2565, 12.1763, 66.3421), 1.0341),
        "Zn": ((14.0743, 7.0318, 5.1652, 2.41), (3.2655, 0.2333, 10.3163, 58.7097), 1.3041),
        "Sr": ((17.5663, 9.8184, 5.422, 2.6694), (1.5564, 14.0988, 0.1664, 132.376), 2.5064),
        "Zr": ((17.8765, 10.948, 5.4173, 3.6572), (1.2762, 11.916, 0.1176, 87.6627), 2.0693),
        "Ba": ((20.3361, 19.297, 10.888, 2.6959), (3.216, 0.2756, 20.2073, 167.202), 2.7731),
        "La": ((20.578, 19.599, 11.3727, 3.2872), (2.9482, 0.2445, 18.7726, 133.124), 2.1468),
    }
)
"""Element -> (a, b, c): f(s) = sum of a exp(-b s^2) + c."""


@dataclass(frozen=True)
class Crystal:
    """A crystal structure.

    Parameters
    ----------
    formula
        Atoms of one formula unit.
    cell
        a, b, c in angstrom and the angle beta or, where *is_hexagonal*, gamma = 120 degrees.
    atoms
        All atoms of the cell with their fractional coordinates. Several elements on one site are written with a
        plus sign, and share it alike.
    """

    formula: Mapping[str, float]
    cell: tuple[float, float, float, float]
    atoms: Atoms
    is_hexagonal: bool = False

    @property
    def mass(self) -> float:
        """g/mol of a formula unit."""
        return sum(n * MASSES[element] for element, n in self.formula.items())


I_ = (0.5, 0.5, 0.5)
FACES: tuple[Place, ...] = ((0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0))
BODY: tuple[Place, ...] = ((0, 0, 0), I_)
BASE: tuple[Place, ...] = ((0, 0, 0), (0.5, 0.5, 0))
RHOMBOHEDRAL: tuple[Place, ...] = ((0, 0, 0), (2 / 3, 1 / 3, 1 / 3), (1 / 3, 2 / 3, 2 / 3))


def _cell(atoms: Iterable[tuple[str, Place]], centring: tuple[Place, ...] = ((0, 0, 0),)) -> Atoms:
    """Return the atoms with the centring applied, each once, within the cell."""
    found: dict[tuple[str, Place], None] = {}
    for (element, place), shift in itertools.product(atoms, centring):
        moved = tuple(round((x + d) % 1.0, 5) % 1.0 for x, d in zip(place, shift, strict=True))
        found[(element, (moved[0], moved[1], moved[2]))] = None
    return tuple(found)


def _orbit(element: str, places: Iterable[Place]) -> list[tuple[str, Place]]:
    return [(element, place) for place in places]


def _both(places: Iterable[Place]) -> list[Place]:
    return [p for x, y, z in places for p in ((x, y, z), (-x, -y, -z))]


def rock_salt(metal: str, a: float) -> Crystal:
    """Return MO with the structure of NaCl."""
    atoms = _cell([(metal, (0, 0, 0)), ("O", (0.5, 0.5, 0.5))], FACES)
    return Crystal({metal: 1, "O": 1}, (a, a, a, 90), atoms)


def perovskite(large: str, small: str, a: float) -> Crystal:
    """Return cubic ABO3."""
    oxygen = _orbit("O", ((0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)))
    return Crystal(
        {large: 1, small: 1, "O": 3}, (a, a, a, 90), _cell([(large, (0, 0, 0)), (small, (0.5, 0.5, 0.5)), *oxygen])
    )


def spinel(formula: Mapping[str, float], a: float, u: float, tetrahedral: str, octahedral: str) -> Crystal:
    """Return AB2O4, origin at the centre of inversion; *u* is the coordinate of oxygen."""
    v = 0.25 - u
    eight = _both([(u, u, u), (u, v, v), (v, u, v), (v, v, u)])
    four = ((0.5, 0.5, 0.5), (0.5, 0.25, 0.25), (0.25, 0.5, 0.25), (0.25, 0.25, 0.5))
    atoms = [*_orbit(tetrahedral, _both([(1 / 8, 1 / 8, 1 / 8)])), *_orbit(octahedral, four), *_orbit("O", eight)]
    return Crystal(formula, (a, a, a, 90), _cell(atoms, FACES))


def corundum(metal: str, a: float, c: float, z: float, x: float) -> Crystal:
    """Return M2O3 with the structure of Al2O3, hexagonal axes."""
    metals = _orbit(metal, ((0, 0, z), (0, 0, 0.5 - z), (0, 0, -z), (0, 0, 0.5 + z)))
    oxygen = _orbit("O", _both([(x, 0, 0.25), (0, x, 0.25), (-x, -x, 0.25)]))
    return Crystal({metal: 2, "O": 3}, (a, a, c, 120), _cell([*metals, *oxygen], RHOMBOHEDRAL), is_hexagonal=True)


def calcite(metal: str, a: float, c: float, x: float) -> Crystal:
    """Return MCO3 with the structure of CaCO3, hexagonal axes."""
    atoms = [
        *_orbit(metal, ((0, 0, 0), (0, 0, 0.5))),
        *_orbit("C", _both([(0, 0, 0.25)])),
        *_orbit("O", _both([(x, 0, 0.25), (0, x, 0.25), (-x, -x, 0.25)])),
    ]
    return Crystal({metal: 1, "C": 1, "O": 3}, (a, a, c, 120), _cell(atoms, RHOMBOHEDRAL), is_hexagonal=True)


def rutile(metal: str, a: float, c: float, u: float) -> Crystal:
    """Return MO2 with the structure of rutile."""
    oxygen = _both([(u, u, 0), (0.5 + u, 0.5 - u, 0.5)])
    atoms = [*_orbit(metal, ((0, 0, 0), (0.5, 0.5, 0.5))), *_orbit("O", oxygen)]
    return Crystal({metal: 1, "O": 2}, (a, a, c, 90), _cell(atoms))


def anatase(a: float, c: float, z: float) -> Crystal:
    """Return TiO2 with the structure of anatase, origin at titanium."""
    oxygen = ((0, 0, z), (0, 0, -z), (0, 0.5, 0.25 + z), (0, 0.5, 0.25 - z))
    atoms = [*_orbit("Ti", ((0, 0, 0), (0, 0.5, 0.25))), *_orbit("O", oxygen)]
    return Crystal({"Ti": 1, "O": 2}, (a, a, c, 90), _cell(atoms, BODY))


def aragonite(metal: str, cell: tuple[float, float, float], sites: Mapping[str, Place]) -> Crystal:
    """Return MCO3 with the structure of aragonite in Pmcn; *sites* are M, C, O1 and O2."""

    def places(place: Place) -> list[Place]:
        x, y, z = place
        four = [(x, y, z), (0.5 - x, y, z), (x, 0.5 - y, 0.5 + z), (0.5 - x, 0.5 - y, 0.5 + z)]
        return _both(four)

    atoms = [atom for name, place in sites.items() for atom in _orbit(name.rstrip("12"), places(place))]
    return Crystal({metal: 1, "C": 1, "O": 3}, (*cell, 90), _cell(atoms))


def _monoclinic(
    formula: Mapping[str, float],
    cell: tuple[float, float, float, float],
    sites: Iterable[tuple[str, Place]],
    shift: Callable[[Place], Place],
    centring: tuple[Place, ...],
) -> Crystal:
    atoms = [atom for element, place in sites for atom in _orbit(element, [*_both([place]), *_both([shift(place)])])]
    return Crystal(formula, cell, _cell(atoms, centring))


def _zincite(a: float, c: float, u: float) -> Crystal:
    pair = ((1 / 3, 2 / 3, 0.0), (2 / 3, 1 / 3, 0.5))
    atoms = [*_orbit("Zn", pair), *_orbit("O", [(x, y, z + u) for x, y, z in pair])]
    return Crystal({"Zn": 1, "O": 1}, (a, a, c, 120), _cell(atoms), is_hexagonal=True)


def _lanthana(a: float, c: float) -> Crystal:
    pairs = [("La", 0.2467), ("O", 0.6470)]
    atoms = [("O", (0.0, 0.0, 0.0))]
    atoms += [atom for element, z in pairs for atom in _orbit(element, _both([(1 / 3, 2 / 3, z)]))]
    return Crystal({"La": 2, "O": 3}, (a, a, c, 120), _cell(atoms), is_hexagonal=True)


def _layered(metal: str, a: float, c: float, z: float) -> Crystal:
    atoms = [("Li", (0, 0, 0.5)), (metal, (0, 0, 0)), *_orbit("O", _both([(0, 0, z)]))]
    return Crystal({"Li": 1, metal: 1, "O": 2}, (a, a, c, 120), _cell(atoms, RHOMBOHEDRAL), is_hexagonal=True)


CRYSTALS: Mapping[str, Crystal] = MappingProxyType(
    {
        # precursors
        "BaCO3": aragonite(
            "Ba",
            (5.3126, 8.8958, 6.4284),
            {
                "Ba": (0.25, 0.4163, 0.7549),
                "C": (0.25, 0.7570, -0.0810),
                "O1": (0.25, 0.9011, -0.0878),
                "O2": (0.4595, 0.6839, -0.0790),
            },
        ),
        "SrCO3": aragonite(
            "Sr",
            (5.090, 8.358, 5.997),
            {
                "Sr": (0.25, 0.4160, 0.7569),
                "C": (0.25, 0.7601, -0.0864),
                "O1": (0.25, 0.9119, -0.0945),
                "O2": (0.4694, 0.6810, -0.0862),
            },
        ),
        "BaO": rock_salt("Ba", 5.539),
        "SrO": rock_salt("Sr", 5.160),
        "MgO": rock_salt("Mg", 4.2112),
        "NiO": rock_salt("Ni", 4.1769),
        "CoO": rock_salt("Co", 4.2612),
        "MnO": rock_salt("Mn", 4.4457),
        "MgCO3": calcite("Mg", 4.6339, 15.0177, 0.2778),
        "ZnCO3": calcite("Zn", 4.6526, 15.0257, 0.2764),
        "Al2O3": corundum("Al", 4.7589, 12.991, 0.3522, 0.3063),
        "Fe2O3": corundum("Fe", 5.0346, 13.752, 0.3553, 0.3059),
        "TiO2-rutile": rutile("Ti", 4.5937, 2.9587, 0.3048),
        "TiO2-anatase": anatase(3.7845, 9.5143, 0.2081),
        "MnO2": rutile("Mn", 4.3983, 2.8730, 0.3046),
        "ZnO": _zincite(3.2495, 5.2069, 0.382),
        "La2O3": _lanthana(3.9373, 6.1299),
        "Co3O4": spinel({"Co": 3, "O": 4}, 8.0835, 0.2631, "Co", "Co"),
        "Fe3O4": spinel({"Fe": 3, "O": 4}, 8.3969, 0.2549, "Fe", "Fe"),
        "ZrO2": _monoclinic(
            {"Zr": 1, "O": 2},
            (5.1505, 5.2116, 5.3173, 99.23),
            [("Zr", (0.2754, 0.0395, 0.2083)), ("O", (0.0700, 0.3317, 0.3447)), ("O", (0.4496, 0.7569, 0.4792))],
            lambda p: (-p[0], p[1] + 0.5, 0.5 - p[2]),
            ((0, 0, 0),),
        ),
        "Li2CO3": _monoclinic(
            {"Li": 2, "C": 1, "O": 3},
            (8.359, 4.9767, 6.194, 114.72),
            [
                ("C", (0.0, 0.0657, 0.25)),
                ("Li", (0.1960, 0.4488, 0.8350)),
                ("O", (0.0, 0.3214, 0.25)),
                ("O", (0.1456, -0.0653, 0.3138)),
            ],
            lambda p: (-p[0], p[1], 0.5 - p[2]),
            BASE,
        ),
        # targets
        "BaTiO3": perovskite("Ba", "Ti", 4.006),
        "SrTiO3": perovskite("Sr", "Ti", 3.905),
        "BaZrO3": perovskite("Ba", "Zr", 4.193),
        "LaAlO3": perovskite("La", "Al", 3.790),
        "LaFeO3": perovskite("La", "Fe", 3.930),
        "LaCoO3": perovskite("La", "Co", 3.826),
        "MgAl2O4": spinel({"Mg": 1, "Al": 2, "O": 4}, 8.083, 0.2624, "Mg", "Al"),
        "ZnAl2O4": spinel({"Zn": 1, "Al": 2, "O": 4}, 8.086, 0.2636, "Zn", "Al"),
        "CoAl2O4": spinel({"Co": 1, "Al": 2, "O": 4}, 8.104, 0.2633, "Co", "Al"),
        "ZnFe2O4": spinel({"Zn": 1, "Fe": 2, "O": 4}, 8.441, 0.2604, "Zn", "Fe"),
        "NiFe2O4": spinel({"Ni": 1, "Fe": 2, "O": 4}, 8.339, 0.2573, "Fe", "Ni+Fe"),
        "MgFe2O4": spinel({"Mg": 1, "Fe": 2, "O": 4}, 8.394, 0.2570, "Fe", "Mg+Fe"),
        "LiMn2O4": spinel({"Li": 1, "Mn": 2, "O": 4}, 8.247, 0.2632, "Li", "Mn"),
        "LiCoO2": _layered("Co", 2.816, 14.054, 0.2395),
    }
)
"""Name -> structure."""
