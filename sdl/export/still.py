"""A view that stands still, for whoever asks it the same things many times."""

from __future__ import annotations

from typing import Self

from sdl.campaign.planner import History, TrialState
from sdl.campaign.trials import Trial
from sdl.campaign.view import CampaignView


class StillView(CampaignView):
    """What a :class:`~sdl.campaign.CampaignView` knows at one moment; trials and history are made once.

    It is made by :meth:`of_view`, and takes in no more events.
    """

    _trials: tuple[Trial, ...] | None = None
    _front: tuple[Trial, ...] | None = None
    _history: History | None = None

    @classmethod
    def of_view(cls, view: CampaignView) -> Self:
        """Return *view* as it is now. Raises CampaignError where the campaign has not begun."""
        still = cls(view.name)
        vars(still).update(vars(view))
        still._trials = view.trials
        return still

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials, oldest first."""
        if self._trials is None:
            self._trials = super().trials
        return self._trials

    @property
    def pareto(self) -> tuple[Trial, ...]:
        """The completed, feasible trials that no other one beats in every objective, oldest first."""
        if self._front is None:
            self._front = super().pareto
        return self._front

    @property
    def history(self) -> History:
        """What a planner may know now."""
        if self._history is None:
            self._history = super().history
        return self._history

    def in_state(self, *states: TrialState) -> tuple[Trial, ...]:
        """Return the trials in one of *states*, oldest first."""
        return tuple(trial for trial in self.trials if trial.state in states)
