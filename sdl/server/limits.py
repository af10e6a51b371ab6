"""How often somebody may ask: buckets of tokens that fill up with time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

MAX_KEYS = 10_000
"""Buckets that are kept; the one that was used longest ago goes first."""


class Buckets:
    """One bucket for every key.

    Parameters
    ----------
    burst
        How many a full bucket holds.
    per_second
        How fast it fills.
    monotonic
        Seconds that never go back.
    """

    def __init__(self, burst: float, per_second: float, monotonic: Callable[[], float]) -> None:
        self._burst = burst
        self._per_second = per_second
        self._monotonic = monotonic
        self._filled: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._mutex = threading.Lock()

    def take(self, key: str) -> float:
        """Take one from the bucket of *key*; return 0, or the seconds until there is one again."""
        with self._mutex:
            now = self._monotonic()
            level, then = self._filled.pop(key, (self._burst, now))
            level = min(self._burst, level + (now - then) * self._per_second)
            is_there = level >= 1.0
            self._filled[key] = (level - 1.0 if is_there else level, now)
            while len(self._filled) > MAX_KEYS:
                self._filled.popitem(last=False)
        return 0.0 if is_there else (1.0 - level) / self._per_second
