"""What the resistance of a sputtered Nb-doped TiO2 film is: growth, phases, carriers, mobility, geometry.

The chain, each link a function of this module::

    oxygen, temperature, power, minutes
      -> growth rate and thickness        target coverage by oxide (Berg and Nyberg, Thin Solid Films 476, 215, 2005)
      -> phases: amorphous, anatase, rutile
      -> carriers                         donors against titanium vacancies, by mass action
      -> mobility                         lattice, ionised impurities, bombardment damage, added as rates
      -> conductivity of the mixture      Bruggeman's effective medium (Landauer, J. Appl. Phys. 23, 779, 1952)
      -> resistance at the probe          V/I of four points in line on a thin sheet (Smits, 1958)

What is published and stands behind the numbers (A to G are quoted by these letters below):

* A: epitaxial anatase with 3 % Nb and more has 2 to 3e-4 ohm cm; carriers between 1e19 and 2e21 per cm3.
  Furubayashi et al., Appl. Phys. Lett. 86, 252101 (2005).
* B: sputtering from oxide targets gives 3e-4 ohm cm (epitaxial) at an optimal oxygen pressure, without annealing.
  Yamada et al., Thin Solid Films 518, 3101 (2010). Polycrystalline films on glass reach 9.5e-4 ohm cm after annealing.
  Yamada et al., Jpn. J. Appl. Phys. 46, 5275 (2007).
* C: polycrystalline sputtered films have 0.5 to 2.0e21 carriers per cm3 and 5 to 7 cm2/Vs ("Electrical and optical
  properties of Nb-doped TiO2 films deposited by dc magnetron sputtering using slightly reduced Nb-doped TiO2-x
  ceramic targets", abstract).
* D: rutile Nb:TiO2 has a resistivity 2 to 3 orders of magnitude above anatase, and a mobility about 30 times lower.
  Zhang et al., J. Appl. Phys. 102 (1), 2007.
* E: a share of about 0.8 of the niobium is Nb5+ at 6 % Nb; acceptor-like defects that excess oxygen makes compensate
  donors. Nogawa et al., J. Phys. D 44, 365404 (2011). The titanium vacancy, a quadruple acceptor, is the native defect
  of lowest formation energy in n-type anatase. Na-Phattalung et al., Phys. Rev. B 73, 125205 (2006).
* F: a sputtered film as grown can have 2e4 times the resistance that it has after vacuum annealing ("Mechanism of
  insulator-to-metal transition in heavily Nb doped anatase TiO2", abstract).
* G: higher substrate temperature, higher discharge current and a smaller share of oxygen favour rutile beside anatase
  in sputtered films. J. Vac. Sci. Technol. A 10, 1479 (1992). Anatase turns into rutile above 400 to 600 degC. Jia et
  al., Nanoscale Res. Lett. 11, 324 (2016).

These sources were read as abstracts and summaries. Where a number had to be chosen so that the film comes out as
published, it stands in :data:`CALIBRATED` with its reason; nothing there was fitted to a data set. The absolute
conditions of the optimum are therefore those of this twin, not those of any chamber.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

ELECTRON_CHARGE = 1.602176634e-19  # C, exact (SI)
PLANCK = 6.62607015e-34  # J s, exact (SI)
ELECTRON_MASS = 9.1093837e-31  # kg (CODATA)
VACUUM_PERMITTIVITY = 8.8541878e-12  # F/m (CODATA)
BOLTZMANN_EV = 8.617333e-5  # eV/K (CODATA)

TITANIUM_SITES = 2.93e22  # per cm3: four formula units in the anatase cell, 0.3785 x 0.3785 x 0.9514 nm
NIOBIUM_SHARE = 0.06  # of the titanium sites, as in the films of E
DONORS = 0.8 * NIOBIUM_SHARE * TITANIUM_SITES  # per cm3; the share that is Nb5+ is E's
VACANCY_CHARGE = 4  # of the titanium vacancy (E)
EFFECTIVE_MASS = 0.6  # of the electron's mass; a usual figure for heavily doped anatase, assumed
PERMITTIVITY = 31.0  # relative, static; a usual figure for anatase, assumed
RUTILE_MOBILITY_RATIO = 1 / 30  # D
RUTILE_CARRIER_RATIO = 1 / 10  # D: 300 times the resistivity in all
AMORPHOUS_RATIO = 1 / 2e4  # F: conductivity of the film as grown against the crystallised film

CALIBRATED: Mapping[str, tuple[float, str]] = MappingProxyType(
    {
        "rate": (6.0, "nm/min at 100 W on a metallic target: 20 minutes make a film of about 100 nm"),
        "poisoning": (0.25, "Pa of oxygen at 100 W at which half of the target is covered by oxide"),
        "poisoned_rate": (0.45, "growth rate of a covered target against a bare one; oxides sputter more slowly"),
        "vacancies": (0.045, "Pa of oxygen at 300 degC and the reference rate at which half of the donors are lost"),
        "oxidation": (-0.5, "eV per O2: colder films take up more excess oxygen"),
        "lattice_mobility": (18.0, "cm2/Vs: with the donors of E this is the 2.5e-4 ohm cm of A"),
        "damage_mobility": (16.0, "cm2/Vs at 100 W: with the lattice this gives the 5 to 7 cm2/Vs of C"),
        "damage_exponent": (2.0, "how bombardment damage grows with power"),
        "damage_annealing": (220.0, "degC by which a hotter substrate anneals damage by a factor e"),
        "plasma_heating": (0.22, "degC per W by which the plasma warms the growing surface"),
        "crystallisation": (245.0, "degC at the surface where half of a well oxidised film is anatase"),
        "crystallisation_width": (24.0, "degC"),
        "rutile": (410.0, "degC at the surface where half of the crystals are rutile; from the range of G"),
        "rutile_width": (18.0, "degC"),
        "rutile_power": (0.35, "degC per W above 100 W by which power moves that temperature down, after G"),
        "starvation": (0.10, "Pa of oxygen at the reference rate under which the film lacks oxygen"),
        "starvation_shift": (
            50.0,
            "degC per factor e of missing oxygen: anatase later, rutile sooner (the latter is G)",
        ),
    }
)
"""Numbers that were chosen, not measured: name -> (value, unit and reason)."""

REFERENCE_POWER = 100.0  # W
REFERENCE_RATE = 5.0  # nm/min


def _calibrated(name: str) -> float:
    return CALIBRATED[name][0]


@dataclass(frozen=True)
class Conditions:
    """What a film was grown under.

    Parameters
    ----------
    oxygen
        Partial pressure of oxygen, Pa, above 0.
    temperature
        Of the substrate, degC.
    power
        Of the discharge, W, above 0.
    minutes
        How long the shutter was open.
    wear
        Share of the growth rate that the target has lost, 0 for a new one.
    """

    oxygen: float
    temperature: float
    power: float = REFERENCE_POWER
    minutes: float = 20.0
    wear: float = 0.0


@dataclass(frozen=True)
class Film:
    """What grew.

    Parameters
    ----------
    thickness
        nm.
    amorphous, anatase, rutile
        Shares of the volume; they sum to 1.
    carriers
        Electrons per cm3 in the anatase.
    mobility
        cm2/Vs in the anatase.
    resistivity
        Of the whole film, ohm cm.
    resistance
        V/I at four points in line, ohm.
    """

    thickness: float
    amorphous: float
    anatase: float
    rutile: float
    carriers: float
    mobility: float
    resistivity: float
    resistance: float


def grow(conditions: Conditions) -> Film:
    """Return the film that grows under the conditions, without any noise."""
    rate = growth_rate(conditions.oxygen, conditions.power) * (1 - conditions.wear)
    available = conditions.oxygen * REFERENCE_RATE / rate
    amorphous, anatase, rutile = phases(available, conditions.temperature, conditions.power)
    carriers = carrier_density(available, conditions.temperature)
    mobility = anatase_mobility(carriers, conditions.temperature, conditions.power)
    conductivity = ELECTRON_CHARGE * carriers * mobility
    best = ELECTRON_CHARGE * DONORS * _calibrated("lattice_mobility")
    mixture = effective_conductivity(
        (amorphous, anatase, rutile),
        (AMORPHOUS_RATIO * best, conductivity, RUTILE_CARRIER_RATIO * RUTILE_MOBILITY_RATIO * conductivity),
    )
    thickness = rate * conditions.minutes
    return Film(
        thickness, amorphous, anatase, rutile, carriers, mobility, 1 / mixture, probe_resistance(1 / mixture, thickness)
    )


def growth_rate(oxygen: float, power: float) -> float:
    """Return nm/min of a new target.

    In proportion to power; lower where oxide covers the target. The covered share follows from oxygen arriving against
    ions removing it (Berg and Nyberg 2005, in its simplest form), so more power keeps the target cleaner.
    """
    half = _calibrated("poisoning") * power / REFERENCE_POWER
    covered = oxygen / (oxygen + half)
    clean = _calibrated("rate") * power / REFERENCE_POWER
    return clean * (1 - covered * (1 - _calibrated("poisoned_rate")))


def phases(available: float, temperature: float, power: float) -> tuple[float, float, float]:
    """Return the shares of amorphous, anatase and rutile TiO2.

    *available* is the oxygen pressure, Pa, that would give the same oxygen per growing layer at the reference rate: a
    film that grows twice as fast needs twice the pressure. Crystals grow above a temperature of the surface, and turn
    to rutile above a higher one; a lack of oxygen narrows the range between the two, and power lowers the upper end.
    """
    surface = temperature + _calibrated("plasma_heating") * power
    lack = _softplus(math.log(_calibrated("starvation") / available)) * _calibrated("starvation_shift")
    crystalline = _sigmoid((surface - _calibrated("crystallisation") - lack) / _calibrated("crystallisation_width"))
    sooner = _calibrated("rutile_power") * (power - REFERENCE_POWER)
    rutile = _sigmoid((surface - _calibrated("rutile") + sooner + lack) / _calibrated("rutile_width"))
    return 1 - crystalline, crystalline * (1 - rutile), crystalline * rutile


def carrier_density(available: float, temperature: float) -> float:
    """Return electrons per cm3: donors less what titanium vacancies take.

    Excess oxygen enters as O2 + 4 e' = 2 O_O + V_Ti''''. With K its constant and N the donors, electroneutrality is
    N = n + 4 K p n^4. At low pressure n = N; at high pressure n falls with the power -1/4 of the oxygen pressure, the
    exponent of donor-doped TiO2 whose donors are compensated by titanium vacancies. K follows van 't Hoff; equilibrium
    at the growing surface is an assumption.
    """
    kelvin = temperature + 273.15
    enthalpy = _calibrated("oxidation")
    constant = math.exp(-enthalpy / BOLTZMANN_EV * (1 / kelvin - 1 / 573.15)) if kelvin > 0 else 0.0
    # In units of the donors, x + q x^4 = 1, and x = 1/2 where q = 8.
    q = 8 * constant * available / _calibrated("vacancies")
    return DONORS * _root(lambda x: x + q * x**4 - 1, 0.0, 1.0)


def anatase_mobility(carriers: float, temperature: float, power: float) -> float:
    """Return cm2/Vs at room temperature of anatase grown at *temperature* with *power* (Matthiessen's rule).

    The lattice term is a constant. Ionised impurities: donors and vacancies, see :func:`impurity_mobility`. Damage by
    fast particles grows with power and anneals at higher temperature.
    """
    damage = (power / REFERENCE_POWER) ** _calibrated("damage_exponent")
    damage *= math.exp(-(temperature - 300.0) / _calibrated("damage_annealing"))
    vacancies = (DONORS - carriers) / VACANCY_CHARGE
    rates = (
        1 / _calibrated("lattice_mobility"),
        1 / impurity_mobility(carriers, DONORS + VACANCY_CHARGE**2 * vacancies),
        damage / _calibrated("damage_mobility"),
    )
    return 1 / sum(rates)


def impurity_mobility(carriers: float, scatterers: float) -> float:
    """Return cm2/Vs of a degenerate electron gas limited by ionised impurities.

    The formula of Brooks, Herring and Dingle for parabolic bands, as in Ellmer, J. Phys. D 34, 3097 (2001).
    *scatterers* is the sum over impurities of density times charge squared, so that a vacancy of charge 4 counts 16
    times. Both in per cm3.
    """
    permittivity = PERMITTIVITY * VACUUM_PERMITTIVITY
    mass = EFFECTIVE_MASS * ELECTRON_MASS
    wavenumber = math.cbrt(3 * math.pi**2 * carriers * 1e6)
    screening = permittivity * PLANCK**2 * wavenumber / (mass * ELECTRON_CHARGE**2)
    logarithm = math.log1p(screening) - screening / (1 + screening)
    top = 3 * permittivity**2 * PLANCK**3 * carriers
    return 1e4 * top / (ELECTRON_CHARGE**3 * mass**2 * logarithm * scatterers)


def effective_conductivity(shares: tuple[float, ...], conductivities: tuple[float, ...]) -> float:
    """Return the conductivity of a random mixture (Bruggeman, in three dimensions).

    It solves sum of share (c - s) / (c + 2 s) = 0 for s; a good conductor percolates from a share of one third.
    """

    parts = tuple(zip(shares, conductivities, strict=True))

    def balance(logarithm: float) -> float:
        mixture = math.exp(logarithm)
        total = 0.0
        for share, own in parts:
            total += share * (mixture - own) / (own + 2 * mixture)
        return total

    return math.exp(_root(balance, math.log(min(conductivities)), math.log(max(conductivities))))


def probe_resistance(resistivity: float, thickness: float) -> float:
    """Return V/I, ohm, of four equidistant points in line on a sheet that is thin and wide against their distance.

    The sheet resistance is pi / ln 2 times V/I (Smits, Bell Syst. Tech. J. 37, 711, 1958). Resistivity in ohm cm,
    thickness in nm.
    """
    return math.log(2) / math.pi * resistivity / (thickness * 1e-7)


def _sigmoid(x: float) -> float:
    return 0.5 * (1 + math.tanh(x / 2))


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where a rising *function* crosses zero, by halving: after 45 steps the error is far below any noise."""
    for _ in range(45):
        middle = 0.5 * (low + high)
        if function(middle) < 0:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)
