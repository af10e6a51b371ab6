"""Faults from a seed, for a campaign of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np

from sdl.campaign import Campaign
from sdl.errors import SdlError
from sdl.lab import Lab
from sdl.lab.envelope import tree
from sdl.testing.checker import CheckReport, check
from sdl.testing.disturbances import Disturbance, Verb, disturbed, failing, hanging, slow

VERBS = ("set", "trigger")


class Faults:
    """Makes devices slow, hang or fail now and then, as a seed says, and checks what a campaign leaves behind.

    Parameters
    ----------
    seed
        Which faults, and when.
    store
        Where the campaign shall keep its journal.
    share
        How many of the acts are disturbed.
    """

    def __init__(self, seed: int, store: Path, *, share: float = 0.1) -> None:
        self.seed = seed
        self.store = store
        self.told: list[str] = []
        self._share = share
        self._rng = np.random.default_rng(seed)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def disturb(self, lab: Lab) -> None:
        """Disturb the devices of *lab* from now on, to the end of the test."""
        for name, device in lab.devices.items():
            for path, part in tree(name, device):
                for verb in VERBS:
                    if callable(getattr(part, verb, None)) and hasattr(part, "__dict__"):
                        self._stack.enter_context(disturbed(part, verb, self._now_and_then(f"{path}.{verb}")))

    def run(self, make: Callable[[Path], Campaign], *, trials: int, sessions: int = 3) -> CheckReport:
        """Run the campaign that ``make(store)`` makes, anew for each session, and check what is left.

        Every session but the last is disturbed; a session may end with an error of sdl, and the next goes on. No
        other error may come through. Returns the checker's report, which has been found sound.
        """
        for session in range(sessions):
            campaign = make(self.store)
            try:
                if session < sessions - 1:
                    self.disturb(campaign.lab)
                campaign.run(trials=trials)
            except SdlError as error:
                self.told.append(f"session {session} ended: {error}")
            finally:
                self._stack.close()
                campaign.lab.close()
        report = check(self.store)
        if not report.ok:
            raise AssertionError(f"seed {self.seed}: {report}\nfaults: {'; '.join(self.told)}")
        return report

    def _now_and_then(self, name: str) -> Disturbance:
        def disturb(verb: Verb) -> Verb:
            def maybe(*arguments: Any, **named: Any) -> Any:
                if self._rng.random() >= self._share:
                    return verb(*arguments, **named)
                what, how = self._pick()
                self.told.append(f"{name}: {what}")
                return how(verb)(*arguments, **named)

            return maybe

        return disturb

    def _pick(self) -> tuple[str, Disturbance]:
        seconds = float(self._rng.uniform(1.0, 600.0))
        error = OSError("a fault from a seed")
        kinds: tuple[tuple[str, Disturbance], ...] = (
            (f"{seconds:.0f} s late", slow(seconds)),
            ("hangs", hanging()),
            ("fails", failing(error)),
            ("acts, then fails", failing(error, after_acting=True)),
        )
        return kinds[int(self._rng.integers(len(kinds)))]
