"""What the stations are expected to do next, for all who look: made anew at most every few seconds."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from sdl.campaign.forecast import expected_runs
from sdl.campaign.hosting import Host
from sdl.errors import CampaignError
from sdl.lab import WallClock
from sdl.lab.schedule.rehearsal import RehearsedRun

REST = 2.0
"""Wall seconds between two forecasts: whoever looks must not hold up what is looked at."""

PATIENCE = 1.0
"""Wall seconds for which the campaigns' thread is waited for; the last forecast holds where it is busy."""


@dataclass(frozen=True)
class Forecast:
    """What is expected.

    Parameters
    ----------
    runs
        The runs to come, in the order they begin.
    ends
        When the present runs are expected to end, in UTC seconds, by station.
    """

    runs: tuple[RehearsedRun, ...] = ()
    ends: Mapping[str, float] = field(default_factory=dict[str, float])


class Foreteller:
    """Keeps the last forecast."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._clock = WallClock()
        self._mutex = threading.Lock()
        self._made_at = float("-inf")
        self._last = Forecast()

    def forecast(self) -> Forecast:
        """Return what is expected, a few seconds old at most where the campaigns' thread is free."""
        if self._clock.monotonic() - self._made_at < REST or not self._mutex.acquire(blocking=False):
            return self._last
        try:
            question = self._host.call(self._host.outlook, PATIENCE)
            self._last = Forecast(expected_runs(question), question.ends)
        except (TimeoutError, CampaignError):
            pass
        finally:
            self._made_at = self._clock.monotonic()
            self._mutex.release()
        return self._last
