"""``ThinFilmLab``: the twin of an autonomous thin-film laboratory that minimises the resistance of Nb-doped TiO2.

The exhibit behind it is R. Shimizu, S. Kobayashi, Y. Watanabe, Y. Ando and T. Hitosugi, "Autonomous materials synthesis
by machine learning and robotics", APL Materials 8, 111110 (2020): a robot arm between a sputter chamber and a module
that measures resistance, with Bayesian optimisation choosing the next conditions. The authors' later review says that
the system made experiments ten times faster (Ishizuki, Shimizu and Hitosugi, Sci. Technol. Adv. Mater. Methods 3,
2197519, 2023). That much is verified, from abstract and review. Which conditions were varied over which ranges, how
many films were made and how long one took is not taken from the paper: knobs, ranges and times here are the twin's
own.

The devices are the drivers of ``sdl.devices``; simulated instruments answer below them. A trial at 320 degC takes a
little over two hours of laboratory time: heating 34 minutes, load-lock 33, cleaning and deposition 25, cooling and
transfer 36, measurement 2.
"""

from __future__ import annotations

from collections.abc import Mapping

from bluesky.utils import MsgGenerator
from pydantic import JsonValue

from sdl.devices import FourPointProbe, SputterSource, TransferRobot
from sdl.devices.stubs import go_together
from sdl.lab.clock import Clock
from sdl.lab.lab import Lab
from sdl.lab.materials import Stock
from sdl.lab.virtual import VirtualClock
from sdl.problem import Continuous, Measurement, Minimize, SearchSpace
from sdl.simulators.thin_film_instruments import Chamber, Faults, ProbeInstrument, RobotInstrument, SputterInstrument
from sdl.simulators.thin_film_physics import REFERENCE_POWER, Conditions, grow
from sdl.simulators.transport import SimulatedTransport

MINUTES = 20.0
"""The deposition time of :func:`deposit_and_measure` and of :meth:`ThinFilmLab.truth`."""


class ThinFilmLab(Lab):
    """A simulated laboratory with a sputter source, a transfer robot and a four-point probe.

    Chance and memory. Whatever could depend on what happened before is set by :meth:`prepare`, which a campaign calls
    at the beginning of every attempt, as a function of (seed, trial, attempt) alone:

    * generators of their own for films, touches of the probe, faults, and the readbacks after each set-point, so that
      a reading more or less does not change a film;
    * the wear of the target and the drift of the probe's gain, which count trials and not hours, because a resumed
      campaign knows its trials exactly;
    * the samples: all are back in the cassette; and the source: cold, without gas, as after a long standby. A trial
      leaves it in standby anyway (``probe.measure`` sees to that), so this shortens a cooling that would go on.

    A campaign that was killed between two trials and resumed in another process therefore makes the same films. With a
    virtual clock that holds to the last bit; on the wall, where steps jitter by milliseconds, within the rounding of
    the gauges. A second attempt at the same trial meets other noise, and other faults, than the first.

    Parameters
    ----------
    seed
        Of all chance.
    clock
        A virtual clock by default; with a ``WallClock`` everything takes as long as it would.
    faults
        How often things go wrong; never, by default.
    stock
        Substrates, hours of a target, and whatever else an account is to be kept of; nothing, by default.

    Attributes
    ----------
    sputter, robot, probe
        The drivers. ``sputter.deposit`` has the robot bring a new substrate, ``probe.measure`` has it fetch the film.
    """

    is_simulated = True

    def __init__(
        self,
        seed: int = 0,
        *,
        clock: Clock | None = None,
        faults: Faults | None = None,
        stock: Stock | None = None,
    ) -> None:
        self.seed = seed
        self.faults = faults or Faults()
        self._chamber = Chamber(seed, self.faults)
        self._source = SputterInstrument(self._chamber)
        self._arm = RobotInstrument(self._chamber, self._source)
        self._tips = ProbeInstrument(self._chamber)
        robot = TransferRobot(SimulatedTransport(self._arm, name="robot"))
        sputter = SputterSource(SimulatedTransport(self._source, name="sputter"), bring_sample=robot.supply)

        def bring_film() -> MsgGenerator[None]:
            yield from sputter.stand_by()
            yield from robot.fetch()

        probe = FourPointProbe(SimulatedTransport(self._tips, name="probe"), bring_sample=bring_film)
        clock = clock or VirtualClock()
        super().__init__("thin-film", clock=clock, stock=stock, sputter=sputter, robot=robot, probe=probe)

    def prepare(self, trial: int, attempt: int) -> None:
        """Begin an attempt: see the class for what this sets."""
        self._chamber.prepare(trial, attempt)
        for instrument in (self._source, self._arm, self._tips):
            instrument.stand_still()

    def describe(self) -> dict[str, JsonValue]:
        """Return what the journal keeps of the laboratory, seed and faults included."""
        return {**super().describe(), "seed": self.seed, "faults": self.faults.model_dump(mode="json")}

    @staticmethod
    def truth(values: Mapping[str, float | str]) -> float:
        """Return the resistance, ohm, without noise, wear and drift: what benchmarks compare with.

        Parameters
        ----------
        values
            ``oxygen`` in Pa, ``temperature`` in degC and, if it is not 100, ``power`` in W.
        """
        return grow(
            Conditions(
                float(values["oxygen"]),
                float(values["temperature"]),
                float(values.get("power", REFERENCE_POWER)),
                MINUTES,
            )
        ).resistance

    @staticmethod
    def space() -> SearchSpace:
        """Return the three knobs and their ranges."""
        return SearchSpace(
            oxygen=Continuous(0.01, 1.0, unit="Pa", log=True),
            temperature=Continuous(20.0, 400.0, unit="degC"),
            power=Continuous(40.0, 200.0, unit="W"),
        )

    objective = Minimize("resistance", unit="ohm")

    @staticmethod
    def deposit_and_measure(lab: ThinFilmLab, s: Mapping[str, float | str]) -> MsgGenerator[dict[str, Measurement]]:
        """Plan: set the knobs that *s* has, deposit for 20 minutes, measure."""
        sputter: SputterSource = lab.sputter
        probe: FourPointProbe = lab.probe
        knobs = {"oxygen": sputter.oxygen, "temperature": sputter.temperature, "power": sputter.power}
        yield from go_together(((knob, s[name]) for name, knob in knobs.items() if name in s), timeout=14_400)
        yield from sputter.deposit(minutes=MINUTES)
        return (yield from probe.measure())
