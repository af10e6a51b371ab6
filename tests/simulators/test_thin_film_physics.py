"""The film's physics: limits that follow from the formulas, and figures that the sources give."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl.simulators.thin_film_physics import (
    CALIBRATED,
    DONORS,
    ELECTRON_CHARGE,
    RUTILE_CARRIER_RATIO,
    RUTILE_MOBILITY_RATIO,
    Conditions,
    anatase_mobility,
    carrier_density,
    effective_conductivity,
    grow,
    growth_rate,
    impurity_mobility,
    phases,
    probe_resistance,
)

oxygens = st.floats(1e-3, 2.0)
temperatures = st.floats(18.0, 500.0)
powers = st.floats(20.0, 300.0)


def resistance(oxygen: float, temperature: float, power: float = 100.0) -> float:
    return grow(Conditions(oxygen, temperature, power)).resistance


OXYGENS = np.geomspace(0.01, 1.0, 21).tolist()
TEMPERATURES = np.linspace(220, 400, 19).tolist()  # below, films are amorphous
POWERS = (40.0, 60.0, 80.0, 100.0, 120.0, 150.0, 200.0)


def best(power: float) -> tuple[float, float, float]:
    """Return the lowest resistance on a grid at this power, with its oxygen and temperature."""
    return min((resistance(o, t, power), o, t) for o, t in itertools.product(OXYGENS, TEMPERATURES))


@given(oxygen=oxygens, temperature=temperatures, power=powers)
def test_every_film_is_possible(oxygen: float, temperature: float, power: float) -> None:
    film = grow(Conditions(oxygen, temperature, power))
    assert math.isclose(film.amorphous + film.anatase + film.rutile, 1.0)
    assert min(film.amorphous, film.anatase, film.rutile) >= 0
    assert 0 < film.carriers <= DONORS
    assert 0 < film.mobility < CALIBRATED["lattice_mobility"][0]
    assert film.thickness > 0
    assert 0 < film.resistance < math.inf


@given(oxygen=oxygens, temperature=temperatures, factor=st.floats(1.01, 100))
def test_oxygen_takes_carriers_and_heat_gives_them_back(oxygen: float, temperature: float, factor: float) -> None:
    carriers = carrier_density(oxygen, temperature)
    assert carrier_density(oxygen * factor, temperature) < carriers
    assert carrier_density(oxygen, temperature + 20) > carriers


def test_the_exponent_is_minus_a_quarter_where_vacancies_compensate() -> None:
    slope = math.log(carrier_density(2e6, 300) / carrier_density(1e6, 300)) / math.log(2)
    assert slope == pytest.approx(-0.25, abs=0.003)
    assert carrier_density(1e-9, 300) == pytest.approx(DONORS, rel=1e-4)
    assert carrier_density(CALIBRATED["vacancies"][0], 300) == pytest.approx(DONORS / 2)


def test_all_donors_and_a_perfect_lattice_give_the_epitaxial_resistivity() -> None:
    resistivity = 1 / (ELECTRON_CHARGE * DONORS * CALIBRATED["lattice_mobility"][0])
    assert 2e-4 <= resistivity <= 3e-4  # Furubayashi 2005


def test_the_best_film_is_a_good_sputtered_one() -> None:
    _, oxygen, temperature = best(100.0)
    film = grow(Conditions(oxygen, temperature))
    assert 5 <= film.mobility <= 9  # 5 to 7 in source C
    assert 0.5e21 <= film.carriers <= 2.0e21  # source C
    assert 3e-4 <= film.resistivity <= 2e-3  # between the epitaxial film of B and the 1.6e-3 of C


def test_rutile_is_two_to_three_orders_worse() -> None:
    ratio = 1 / (RUTILE_CARRIER_RATIO * RUTILE_MOBILITY_RATIO)
    assert 1e2 <= ratio <= 1e3  # Zhang 2007


def test_a_cold_substrate_leaves_the_film_amorphous_and_resistive() -> None:
    film = grow(Conditions(0.1, 20))
    assert film.amorphous > 0.95
    assert 1e3 < film.resistance / best(100.0)[0] < 1e5  # 2e4 in source F


@given(oxygen=oxygens, temperature=st.floats(250, 400), power=st.floats(60, 250))
def test_heat_power_and_want_of_oxygen_favour_rutile(oxygen: float, temperature: float, power: float) -> None:
    def share(o: float, t: float, p: float) -> float:
        _, anatase, rutile = phases(o, t, p)
        return rutile / (anatase + rutile)

    here = share(oxygen, temperature, power)
    assert share(oxygen, temperature + 20, power) > here
    assert share(oxygen, temperature, power + 20) > here
    assert share(oxygen / 3, temperature, power) > here


@given(oxygen=oxygens, power=powers)
def test_oxide_on_the_target_slows_growth_and_power_speeds_it(oxygen: float, power: float) -> None:
    rate = growth_rate(oxygen, power)
    assert growth_rate(oxygen * 2, power) < rate
    assert growth_rate(oxygen, power * 1.1) > rate * 1.1
    assert CALIBRATED["poisoned_rate"][0] < rate / growth_rate(1e-9, power) < 1


def test_a_worn_target_grows_thinner_films_in_proportion_to_time() -> None:
    new, worn = grow(Conditions(0.1, 300)), grow(Conditions(0.1, 300, wear=0.2))
    assert worn.thickness == pytest.approx(0.8 * new.thickness)
    assert grow(Conditions(0.1, 300, minutes=10)).thickness == pytest.approx(new.thickness / 2)


def test_bombardment_costs_mobility_and_heat_anneals_it() -> None:
    assert anatase_mobility(1e21, 300, 150) < anatase_mobility(1e21, 300, 80)
    assert anatase_mobility(1e21, 350, 150) > anatase_mobility(1e21, 300, 150)


def test_impurities_scatter_in_proportion_to_their_number() -> None:
    assert impurity_mobility(1e21, 2e21) == pytest.approx(impurity_mobility(1e21, 1e21) / 2)


def test_the_mixture_percolates_at_one_third() -> None:
    # Bruggeman in three dimensions: a share f of a conductor in an insulator conducts (3 f - 1) / 2.
    assert effective_conductivity((0.5, 0.5), (1.0, 1e-12)) == pytest.approx(0.25, rel=1e-6)
    assert effective_conductivity((0.3, 0.7), (1.0, 1e-12)) < 1e-9
    assert effective_conductivity((1.0, 0.0), (3.0, 1.0)) == pytest.approx(3.0)


@given(share=st.floats(0, 1), ratio=st.floats(1e-6, 1))
def test_a_mixture_lies_between_layers_across_and_along(share: float, ratio: float) -> None:
    along = share + (1 - share) * ratio
    across = 1 / (share + (1 - share) / ratio)
    assert across * (1 - 1e-9) <= effective_conductivity((share, 1 - share), (1.0, ratio)) <= along * (1 + 1e-9)


def test_a_sheet_of_100_ohm_reads_22_at_the_probe() -> None:
    # R_sheet = 4.532 V/I (Smits 1958); 1e-3 ohm cm at 100 nm are 100 ohm per square.
    assert probe_resistance(1e-3, 100.0) == pytest.approx(100 / 4.532, rel=1e-3)


def test_the_optimum_lies_inside_and_moves_when_power_does() -> None:
    found = {power: best(power) for power in POWERS}
    optimum = min(POWERS, key=lambda power: found[power][0])
    value, oxygen, temperature = found[optimum]
    assert 40 < optimum < 200
    assert 0.02 < oxygen < 0.5
    assert 250 < temperature < 390
    assert found[40.0][0] > 1.2 * value
    assert found[200.0][0] > 1.2 * value
    oxygens, temperatures = ([found[power][k] for power in (60.0, 100.0, 150.0, 200.0)] for k in (1, 2))
    assert oxygens == sorted(oxygens)  # faster growth needs more oxygen
    assert oxygens[-1] > 3 * oxygens[0]
    assert temperatures == sorted(temperatures, reverse=True)  # power heats, and brings rutile sooner


def test_the_minimum_over_oxygen_is_sharp_and_the_space_spans_decades() -> None:
    value, _, temperature = best(100.0)
    assert resistance(0.01, temperature) > 30 * value
    assert resistance(1.0, temperature) > 2 * value
    rng = np.random.default_rng(0)
    sample = [resistance(10 ** rng.uniform(-2, 0), rng.uniform(20, 400), rng.uniform(40, 200)) for _ in range(500)]
    assert 2 < math.log10(max(sample) / min(sample)) < 4.5
    assert 0.01 < sum(r < 2 * value for r in sample) / len(sample) < 0.2
