"""What a station remembers of the earlier steps of a trial: whether what they have set up can still be relied on."""

from __future__ import annotations

from dataclasses import dataclass, field

N_TRIALS = 1000
"""So many trials are remembered, the latest ones."""


@dataclass(frozen=True)
class Place:
    """Where a step stands: ``trial`` names campaign, trial and attempt.

    ``goes_on``: it is the plan for the rest of a step that was cut off, which knows what to look at again.
    """

    trial: str = ""
    step: str = ""
    goes_on: bool = False


@dataclass
class SetUps:
    """In which boot of the station the steps of each trial have run.

    Set-points and homing are taken for lost with that boot, and when the station was latched: its devices went where
    they are safe then.
    """

    ready_for: str = ""
    """What the last run with a changeover has left the devices ready for; empty where nobody knows."""
    _boots: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])

    def note(self, trial: str, step: str, boot: str) -> None:
        """A step begins in *boot*."""
        if trial:
            steps = self._boots.pop(trial, {})
            self._boots[trial] = steps | {step: boot}
            while len(self._boots) > N_TRIALS:
                del self._boots[next(iter(self._boots))]

    def undo(self) -> None:
        """The devices went where they are safe: nothing that was set up stands any more."""
        self.ready_for = ""
        for steps in self._boots.values():
            steps.update(dict.fromkeys(steps, ""))

    def clear(self) -> None:
        """The trials to come are those of another store."""
        self.ready_for = ""
        self._boots.clear()

    def lost(self, place: Place, boot: str) -> str:
        """Return the name of an earlier step of the trial that set up what is lost; empty where there is none."""
        if place.goes_on:
            return ""
        earlier = self._boots.get(place.trial, {})
        return next((step for step, then in earlier.items() if then != boot and step != place.step), "")
