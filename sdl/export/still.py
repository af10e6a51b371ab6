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

    _still_trials: tuple[Trial, ...] | None = None
    _still_front: tuple[Trial, ...] | None = None
    _still_history: History | None = None

    @classmethod
    def of_view(cls, view: CampaignView) -> Self:
        """Return *view* as it is now. Raises CampaignError where the campaign has not begun."""
        still = cls(view.name)
        vars(still).update(vars(view))
        still._still_trials = view.trials
        return still

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials, oldest first."""
        if self._still_trials is None:
            self._still_trials = super().trials
        return self._still_trials

    @property
    def pareto(self) -> tuple[Trial, ...]:
        """The completed, feasible trials that no other one beats in every objective, oldest first."""
        if self._still_front is None:
            self._still_front = super().pareto
        return self._still_front

    @property
    def history(self) -> History:
        """What a planner may know now."""
        if self._still_history is None:
            self._still_history = super().history
        return self._still_history

    def in_state(self, *states: TrialState) -> tuple[Trial, ...]:
        """Return the trials in one of *states*, oldest first."""
        return tuple(trial for trial in self.trials if trial.state in states)
