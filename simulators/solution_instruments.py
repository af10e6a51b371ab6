"""Instruments for solutions on one deck: a liquid handler, a plate reader, a spectrometer and a potentiostat.

What the liquid handler does is what the others measure: they look into the same vessels. Times and errors are those of
small instruments of a teaching laboratory, chosen and not measured, but for the pipette's, which has the largest errors
that ISO 8655-2 allows a piston pipette of 200 uL: 1.6 uL of systematic and 0.6 uL of random error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdl.devices.plate_reader import well
from sdl.devices.spectrometer import WAVELENGTHS
from sdl.simulators.answering import Handler, Tasking, chance, now, number
from sdl.simulators.solution_physics import absorbance, constant, current, shown
from sdl.simulators.transport import Reply

WELL_UL = 360.0
"""What a well of 96 takes."""

WELL_CM2 = 0.32
"""Its cross-section: with the volume it makes the path of the light."""

FULL_SCALE = 65_535


@dataclass
class Liquid:
    """What stands at a place: its volume, how much dye and redox couple is in it, and what the place can take."""

    volume_ul: float = 0.0
    nanomoles: float = 0.0
    capacity_ul: float = WELL_UL

    @property
    def molar(self) -> float:
        """mol/L."""
        return self.nanomoles / self.volume_ul * 1e-3 if self.volume_ul > 0 else 0.0


class Deck:
    """The places of a deck by name: wells A1 to H12, and what else stands on it.

    Parameters
    ----------
    seed
        Of all chance.
    troughs
        What stands beside the plate.
    """

    def __init__(self, seed: int = 0, **troughs: Liquid) -> None:
        self.seed = seed
        self.places = {well(row, column): Liquid() for row in range(8) for column in range(12)} | troughs
        self._n_uses = 0

    def rng(self, name: str) -> np.random.Generator:
        """Return chance for the next use of the instrument *name*."""
        self._n_uses += 1
        return chance(self.seed, name, self._n_uses)


def stocked(seed: int = 0) -> Deck:
    """Return a deck with troughs of water and of dye at 1 mmol/L, a cuvette with 0.05 of it, and a cell with 1."""
    return Deck(
        seed,
        water=Liquid(50_000.0, 0.0, 1e5),
        dye=Liquid(50_000.0, 50_000.0, 1e5),
        cuvette=Liquid(3000.0, 150.0, 3500.0),
        cell=Liquid(5000.0, 5000.0, 1e4),
    )


class LiquidHandlerTwin(Tasking):
    """A liquid handler as :class:`~sdl.devices.LiquidHandler` drives it.

    Parameters
    ----------
    deck
        Where it works; a stocked one, where it is left out.
    n_tips
        How many tips there are.
    errors_ul
        Systematic and random error of one transfer; the random one is a standard deviation.
    blocked
        How often a tip is blocked.
    """

    identity = "sdl,simulated liquid handler,0,1"

    def __init__(
        self,
        deck: Deck | None = None,
        *,
        n_tips: int = 96,
        errors_ul: tuple[float, float] = (1.6, 0.6),
        blocked: float = 0.0,
    ) -> None:
        super().__init__()
        self.n_tips = n_tips
        self.has_tip = False
        self._deck = deck or stocked()
        self._errors = errors_ul
        self._blocked = blocked

    def _tasks(self) -> dict[str, Handler]:
        return {"TRANSFER": (3, self._transfer), "TIP": (0, self._tip), "TIPS?": (0, lambda: str(self.n_tips))}

    def _tip(self) -> str:
        if self.n_tips < 1:
            return "ERR 25 no tips left"
        return self._begin(8.0, self._taken)

    def _taken(self) -> None:
        self.n_tips, self.has_tip = self.n_tips - 1, True

    def _transfer(self, source: str, target: str, volume: str) -> str:
        asked, places = number(volume), self._deck.places
        missing = [name for name in (source, target) if name not in places]
        if missing:
            return f"ERR 21 no place {' '.join(missing)}"
        if not self.has_tip:
            return "ERR 26 no tip"
        seconds = 6.0 + asked / 40.0  # 40 uL/s up and down, and the way
        rng = self._deck.rng("handler")
        fault = self._fault(rng, *self._pair(source, target), asked)
        return self._begin(seconds, lambda: self._poured(source, target, asked, rng), fault=fault)

    def _pair(self, source: str, target: str) -> tuple[Liquid, Liquid]:
        return self._deck.places[source], self._deck.places[target]

    def _fault(self, rng: np.random.Generator, source: Liquid, target: Liquid, asked: float) -> str:
        if rng.random() < self._blocked:
            return "41 the tip is blocked"
        if source.volume_ul < asked:
            return "42 it drew air"
        return "43 the target would overflow" if target.volume_ul + asked > target.capacity_ul else ""

    def _poured(self, source: str, target: str, asked: float, rng: np.random.Generator) -> None:
        giver, taker = self._pair(source, target)
        systematic, random = self._errors
        given = min(max(asked - systematic * asked / 200.0 + random * rng.standard_normal(), 0.0), giver.volume_ul)
        share = given / giver.volume_ul if giver.volume_ul > 0 else 0.0
        moles = giver.nanomoles * share
        giver.volume_ul, giver.nanomoles = giver.volume_ul - given, giver.nanomoles - moles
        taker.volume_ul, taker.nanomoles = taker.volume_ul + given, taker.nanomoles + moles


class PlateReaderTwin(Tasking):
    """A plate reader as :class:`~sdl.devices.PlateReader` drives it.

    Parameters
    ----------
    deck
        Whose wells it measures; the tray is there where it is out.
    noise
        Standard deviation of an absorbance, and that of its share.
    """

    identity = "sdl,simulated plate reader,0,1"
    ceiling = 3.5

    def __init__(self, deck: Deck | None = None, *, noise: tuple[float, float] = (0.002, 0.003)) -> None:
        super().__init__()
        self.is_out = False
        self.wavelength = 450.0
        self._deck = deck or stocked()
        self._noise = noise
        self._moves_until = 0.0
        self._last: list[str] = []

    def _tasks(self) -> dict[str, Handler]:
        return {
            "TRAY": (1, self._move),
            "TRAY?": (0, self._tray),
            "WAVE": (1, self._tune),
            "WAVE?": (0, lambda: f"{self.wavelength:g}"),
            "READ": (0, self._read),
            "OD?": (0, lambda: " ".join(self._last) or "ERR 29 nothing was read"),
        }

    def _tray(self) -> str:
        if now() < self._moves_until:
            return "MOVING"
        return "OUT" if self.is_out else "IN"

    def _move(self, to: str) -> str:
        if to not in {"IN", "OUT"}:
            return f"ERR 2 {to} is no place of the tray"
        if self._ends is not None:
            return "ERR 23 busy"
        if self.is_out != (to == "OUT"):
            self.is_out, self._moves_until = to == "OUT", now() + 4.0
        return "OK"

    def _tune(self, wavelength: str) -> Reply:
        asked = number(wavelength)
        seconds = abs(asked - self.wavelength) / 200.0  # nm/s
        self.wavelength = round(asked)
        return Reply("OK", seconds)

    def _read(self) -> str:
        if self._tray() != "IN":
            return "ERR 27 the tray is not in"
        return self._begin(0.2 * 96 + 5.0, self._measured)

    def _measured(self) -> None:
        rng, (floor, share) = self._deck.rng("reader"), self._noise
        self._last = []
        for row in range(8):
            for column in range(12):
                liquid = self._deck.places[well(row, column)]
                path = liquid.volume_ul * 1e-3 / WELL_CM2
                found = shown(absorbance(liquid.molar, path, self.wavelength))
                found += rng.standard_normal() * math.hypot(floor, share * found)
                self._last.append("OVER" if found > self.ceiling else f"{found:.4f}")


class SpectrometerTwin(Tasking):
    """A spectrometer as :class:`~sdl.devices.Spectrometer` drives it, with a cuvette of 1 cm.

    Parameters
    ----------
    deck
        Where the cuvette stands.
    place
        Its name there.
    wavelengths
        Of the pixels, nm.
    lamp_fails
        Whether the lamp does not ignite.
    """

    identity = "sdl,simulated spectrometer,0,1"
    counts_per_ms = 400.0
    dark_counts = 600.0

    def __init__(
        self,
        deck: Deck | None = None,
        place: str = "cuvette",
        *,
        wavelengths: tuple[float, ...] = WAVELENGTHS,
        lamp_fails: bool = False,
    ) -> None:
        super().__init__()
        self.wavelengths = wavelengths
        self.integration_ms = 50.0
        self.lit_since: float | None = None
        self._deck = deck or stocked()
        self._place = place
        self._lamp_fails = lamp_fails
        self._last: list[int] = []

    def _tasks(self) -> dict[str, Handler]:
        return {
            "INT": (1, self._integrate),
            "INT?": (0, lambda: f"{self.integration_ms:g}"),
            "LAMP": (1, self._switch),
            "LAMP?": (0, lambda: "OFF" if self.lit_since is None else "ON"),
            "ACQUIRE": (0, self._acquire),
            "COUNTS?": (0, lambda: " ".join(map(str, self._last)) or "ERR 29 nothing was taken"),
        }

    def _integrate(self, milliseconds: str) -> str:
        self.integration_ms = number(milliseconds)
        return "OK"

    def _switch(self, to: str) -> str:
        if to == "ON" and self._lamp_fails:
            return self._begin(2.0, fault="61 the lamp does not ignite")
        if to == "OFF":
            self.lit_since = None
        elif self.lit_since is None:
            self.lit_since = now()
        return "OK"

    def _acquire(self) -> str:
        return self._begin(self.integration_ms / 1000 + 0.02, self._taken)

    def _light(self) -> float:
        """Return the light of the lamp: it brightens by 5 % in its first half hour."""
        return 0.0 if self.lit_since is None else 1.0 - 0.05 * math.exp(-(now() - self.lit_since) / 600.0)

    def _taken(self) -> None:
        rng, liquid = self._deck.rng("spectrometer"), self._deck.places[self._place]
        lamp = self.counts_per_ms * self.integration_ms * self._light()
        self._last = []
        for wavelength in self.wavelengths:
            through = math.pow(10.0, -shown(absorbance(liquid.molar, 1.0, wavelength)))
            electrons = float(rng.poisson(lamp * through + self.dark_counts))  # shot noise, one electron a count
            self._last.append(int(min(max(round(electrons + 8 * rng.standard_normal()), 0), FULL_SCALE)))


class PotentiostatTwin(Tasking):
    """A potentiostat as :class:`~sdl.devices.Potentiostat` drives it.

    Parameters
    ----------
    deck
        Where the cell stands.
    place
        Its name there.
    n_points
        Of a trace.
    range_a
        The largest current that it can give; more is an overload.
    """

    identity = "sdl,simulated potentiostat,0,1"

    def __init__(
        self, deck: Deck | None = None, place: str = "cell", *, n_points: int = 500, range_a: float = 1e-3
    ) -> None:
        super().__init__()
        self._deck = deck or stocked()
        self._place = place
        self._n_points = n_points
        self._range = range_a
        self._last = dict.fromkeys("TEI", np.zeros(n_points))  # what a fresh one reports: nothing was recorded

    def _tasks(self) -> dict[str, Handler]:
        return {
            "SWEEP": (4, self._sweep),
            "HOLD": (2, self._hold),
            "OCP?": (0, self._open_circuit),
            "TRACE?": (1, self._trace),
        }

    def _open_circuit(self) -> str:
        """Answer some 0.2 V below the couple's potential: nearly all of it is reduced."""
        return f"{constant('potential') - 0.2 + 0.0005 * self._deck.rng('ocp').standard_normal():.4f}"

    def _sweep(self, start: str, vertex: str, rate: str, cycles: str) -> str:
        first, turn, n = number(start), number(vertex), int(number(cycles))
        once = np.concatenate([np.linspace(first, turn, 1000, endpoint=False), np.linspace(turn, first, 1000)])
        return self._apply(np.tile(once, n), 2 * abs(turn - first) / number(rate) * n)

    def _hold(self, potential: str, seconds: str) -> str:
        return self._apply(np.full(2000, number(potential)), number(seconds))

    def _apply(self, potentials: NDArray[np.float64], seconds: float) -> str:
        step = seconds / len(potentials)
        found = current(potentials, step, self._deck.places[self._place].molar)
        found += 1e-4 * self._range * self._deck.rng("potentiostat").standard_normal(len(found)) / 10
        every = np.linspace(1, len(found) - 1, self._n_points).astype(int)
        trace = {"T": (every + 1) * step, "E": potentials[every], "I": found[every]}
        worst = float(np.max(np.abs(trace["I"])))
        fault = f"71 current overload: {worst:.2g} A" if worst > self._range else ""
        return self._begin(seconds, lambda: self._last.update(trace), fault=fault)

    def _trace(self, word: str) -> str:
        if word not in self._last:
            return f"ERR 2 there is no {word}"
        return " ".join(f"{value:.6g}" for value in self._last[word])
