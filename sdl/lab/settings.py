"""What a plan gets of a trial: its values, and where it stands."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sdl.errors import LabError, PointError
from sdl.journal.trust import Quality
from sdl.lab.actions import ActRecord
from sdl.problem import units as _units
from sdl.problem.value import listing

if TYPE_CHECKING:
    from bluesky.utils import Msg
    from pint.facets.plain import PlainQuantity

Plan = Callable[[Any, "Settings"], "Generator[Msg, Any, Any]"]
"""A generator function of the laboratory and the settings; what it returns is the step's result."""

BatchPlan = Callable[[Any, tuple["Settings", ...]], "Generator[Msg, Any, Any]"]
"""A plan that treats several samples; what it returns is a sequence of results, one for each of the settings."""


class NoSuchParameter(PointError, KeyError):
    """A plan asks for a parameter that the trial does not have."""


class Settings(Mapping[str, "float | str"]):
    """What a plan gets of a trial: its parameter values, and where it stands.

    Parameters
    ----------
    values
        A canonical point: floats in the declared units, and strings.
    units
        The declared unit of each parameter; a parameter without one may be left out.
    trial, attempt
        The trial's number in the campaign, and which attempt at it this is, both from 1.
    campaign
        The campaign's name; empty outside a campaign.
    results
        What the plans of earlier steps returned, by step name.
    positions
        Where the trial's sample is or is to be put, by rack: ``s.positions["hotel"]``. See :class:`~sdl.Step`.
    acts
        What had been done of a step that was cut off, for its plan for the rest; see ``resume`` of :class:`~sdl.Step`.
    role
        What the trial is made for: ``search``, ``control``, ``blank`` or ``replicate``.
    station
        The station that runs the step: one of several where a step names a kind of station.
    judge
        Says whether what a step returned can be trusted; see :meth:`quality`.
    """

    def __init__(
        self,
        values: Mapping[str, float | str],
        *,
        units: Mapping[str, str | None] | None = None,
        trial: int = 1,
        attempt: int = 1,
        campaign: str = "",
        results: Mapping[str, Any] | None = None,
        positions: Mapping[str, str] | None = None,
        acts: Sequence[ActRecord] = (),
        role: str = "search",
        station: str = "",
        judge: Callable[[str], Quality] | None = None,
    ) -> None:
        self._values = dict(values)
        self._units = dict(units or {})
        self.trial = trial
        self.attempt = attempt
        self.campaign = campaign
        self.results: Mapping[str, Any] = MappingProxyType(results if results is not None else {})
        self.acts = tuple(acts)
        self.role = role
        self.station = station
        self._judge = judge
        self.positions: Mapping[str, str] = MappingProxyType(positions if positions is not None else {})

    def __getitem__(self, name: str) -> float | str:
        try:
            return self._values[name]
        except KeyError:
            raise NoSuchParameter(
                f"trial {self.trial} has no parameter {name!r}", hint=f"it has {listing(self._values) or 'none'}"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Settings({self._values!r}, trial={self.trial}, attempt={self.attempt})"

    def __contains__(self, name: object) -> bool:
        return name in self._values

    @property
    def units(self) -> Mapping[str, str | None]:
        """The declared units, of the parameters that have one."""
        return MappingProxyType(self._units)

    def number(self, name: str) -> float:
        """Return the number *name*, in its declared unit. Raises :class:`~sdl.errors.PointError` for a string."""
        value = self[name]
        if isinstance(value, str):
            raise PointError(f"{name} = {value!r} is no number")
        return value

    def quantity(self, name: str) -> PlainQuantity[float]:
        """Return *name* as a pint quantity in its declared unit."""
        return _units.quantity(self.number(name), self._units.get(name))

    def in_unit(self, name: str, unit: str) -> float:
        """Return *name* converted to *unit*. Raises :class:`~sdl.errors.UnitError` for another dimension."""
        return _units.convert(self.number(name), self._units.get(name), unit, name=name)

    def quality(self, step: str) -> Quality:
        """Return whether what *step* returned can be trusted, by the campaign's checks; ``valid`` without any.

        Raises :class:`~sdl.errors.LabError` for a step that has not ended, or was skipped.
        """
        if step not in self.results:
            raise LabError(
                f"step {step!r} of trial {self.trial} has returned nothing yet", hint=f"{listing(self.results)} have"
            )
        return Quality.VALID if self._judge is None else self._judge(step)
