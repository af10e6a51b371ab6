"""Named places where a test may kill the process: the states between which a crash leaves something half done.

``SDL_FAILPOINT=journal.before_commit:3`` in the environment kills the process with SIGKILL at the third passage of that
place; ``SDL_FAILPOINT_LOG=file`` has each name appended to the file once, so that a test finds all the places there
are. Without either, a place costs the call of a function that does nothing.
"""

from __future__ import annotations

import os

VARIABLE, LOG_VARIABLE = "SDL_FAILPOINT", "SDL_FAILPOINT_LOG"

_KILL = 9


def fail_point(name: str) -> None:
    """Pass the place *name*; do nothing, unless a test has armed a point."""
    if hooks:
        for hook in hooks:
            hook.passed(name)


class Hook:
    """Looks at every passage."""

    def passed(self, name: str) -> None:
        """Do what is to be done at the place *name*."""


class Kill(Hook):
    """Kills the process with SIGKILL at the *hit*-th passage of the place *name*."""

    def __init__(self, name: str, hit: int) -> None:
        self.name, self.hit = name, hit
        self._passages: list[None] = []

    @classmethod
    def parse(cls, text: str) -> Kill:
        """Return the kill that ``NAME`` or ``NAME:HIT`` asks for."""
        name, _, hit = text.partition(":")
        if not name or not (hit or "1").isdecimal() or int(hit or 1) < 1:
            raise ValueError(f"{VARIABLE} must be NAME or NAME:HIT with a whole HIT from 1, got {text!r}")
        return cls(name, int(hit or 1))

    def passed(self, name: str) -> None:
        """Count a passage; the append is atomic, so that threads may pass at once."""
        if name == self.name:
            self._passages.append(None)
            if len(self._passages) >= self.hit:
                os.kill(os.getpid(), _KILL)


class Log(Hook):
    """Appends each name to the file *path* once."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._names: set[str] = set()

    def passed(self, name: str) -> None:
        """Write *name*, the first time; in one write, which a kill cannot cut."""
        if name not in self._names:
            self._names.add(name)
            number = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.write(number, f"{name}\n".encode())
            os.close(number)


hooks: list[Hook] = []
"""Empty outside tests."""

if os.environ.get(LOG_VARIABLE):
    hooks.append(Log(os.environ[LOG_VARIABLE]))
if os.environ.get(VARIABLE):
    hooks.append(Kill.parse(os.environ[VARIABLE]))
