"""The kill harness: run a campaign, kill it at a named place or at a random moment, start it again until it is done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

from sdl.failpoints import LOG_VARIABLE, VARIABLE, Hook, hooks

PATIENCE = 60.0
"""Wall seconds after which a run that does not end is killed, and counts as hung."""


class Reached(BaseException):
    """Raised at a fail point by :func:`failing_at`; like a kill, it is no error that anybody handles."""


class Ending(NamedTuple):
    """How one run ended: its exit code (minus the signal's number when killed), whether it hung, processor seconds."""

    code: int
    is_hung: bool = False
    seconds: float = 0.0

    @property
    def was_killed(self) -> bool:
        """Whether it was killed, at a place or by the clock."""
        return self.code == -signal.SIGKILL and not self.is_hung


class Killed(NamedTuple):
    """One campaign that was killed, and started again until it was done."""

    folder: Path
    kills: tuple[str | float, ...]
    endings: tuple[Ending, ...]

    @property
    def n_kills(self) -> int:
        """How many runs were killed."""
        return sum(ending.was_killed for ending in self.endings)

    @property
    def is_done(self) -> bool:
        """Whether the last run came to its end by itself."""
        return self.endings[-1].code == 0


_QUIET = {"OPHYD_CONTROL_LAYER": "dummy"}  # with pyepics, the import of ophyd starts threads, which no fork survives


class KillHarness:
    """Runs a function in processes of their own, and kills them.

    The function gets the name of a folder, keeps everything there, runs a campaign to its end, and closes what it
    opened; called again it goes on. What it prints is in ``output.txt`` in that folder. Use the harness as a context
    manager.

    Parameters
    ----------
    target
        ``"module:function"``.
    path
        Folders from which the module is imported, beside those of this process.
    patience
        Wall seconds that a run may take.
    """

    def __init__(self, target: str, *, path: Sequence[str | Path] = (), patience: float = PATIENCE) -> None:
        self.target = target
        self._patience = patience
        places = [*map(str, path), *filter(None, sys.path)]
        kept = {name: value for name, value in os.environ.items() if name not in {VARIABLE, LOG_VARIABLE}}
        self._nursery = subprocess.Popen(  # noqa: S603 # our own module, no shell
            [sys.executable, "-m", "sdl.testing.nursery", target],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=_QUIET | kept | {"PYTHONPATH": os.pathsep.join(places), "OMP_NUM_THREADS": "1"},
        )
        try:
            self._hear()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes."""
        with suppress(ProcessLookupError):
            os.killpg(self._nursery.pid, signal.SIGKILL)
        self._nursery.wait()
        for pipe in (self._nursery.stdin, self._nursery.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def places(self, folder: Path) -> tuple[str, ...]:
        """Run once to the end in the new *folder*, and return the names of the fail points that were passed."""
        log = folder / "places.txt"
        ending = self.run(folder, log=log)
        if ending.code != 0:
            said = (folder / "output.txt").read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"{self.target} does not come to its end by itself: {ending}\n{said[-2000:]}")
        return tuple(log.read_text(encoding="utf-8").split())

    def run(self, folder: Path, kill: str | float | None = None, *, log: Path | None = None) -> Ending:
        """Run once in *folder*.

        Parameters
        ----------
        kill
            ``"PLACE:HIT"``, or wall seconds after the start; None: let it run.
        log
            Where the names of fail points are written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        is_timed = isinstance(kill, float | int)
        request = {
            "folder": str(folder),
            "point": kill if isinstance(kill, str) else "",
            "after": kill if is_timed else self._patience,
            "log": "" if log is None else str(log),
        }
        assert self._nursery.stdin is not None
        self._nursery.stdin.write(json.dumps(request) + "\n")
        self._nursery.stdin.flush()
        answer = self._hear()
        return Ending(answer["code"], is_hung=not (answer["was_in_time"] or is_timed), seconds=answer["seconds"])

    def until_done(self, folder: Path, *kills: str | float) -> Killed:
        """Run in *folder*; once for each of *kills*, as far as it gets, then once more to the end."""
        endings: list[Ending] = []
        for kill in kills:
            endings.append(self.run(folder, kill))
            if not endings[-1].was_killed:
                return Killed(folder, kills, tuple(endings))
        endings.append(self.run(folder))
        return Killed(folder, kills, tuple(endings))

    def every_place(self, folder: Path, *, hits: int) -> Iterator[Killed]:
        """Kill at every fail point, at each of the first *hits* passages that there are; one folder a case."""
        for place in self.places(folder / "places"):
            for hit in range(1, hits + 1):
                case = self.until_done(folder / f"{place}-{hit}", f"{place}:{hit}")
                if case.n_kills == 0:
                    break
                yield case

    def _hear(self) -> dict[str, Any]:
        assert self._nursery.stdout is not None
        line = self._nursery.stdout.readline()
        if not line:
            raise RuntimeError(f"the process that runs {self.target} ended; what it printed says why")
        answer: dict[str, Any] = json.loads(line)
        return answer


class _Raise(Hook):
    def __init__(self, name: str, hit: int, error: BaseException) -> None:
        self._name, self._left, self._error = name, hit, error

    def passed(self, name: str) -> None:
        """Raise at the right passage, and only there."""
        if name == self._name:
            self._left -= 1
            if self._left == 0:
                raise self._error


@contextmanager
def failing_at(place: str, hit: int = 1, error: BaseException | None = None) -> Generator[None]:
    """Raise *error*, by default :class:`Reached`, at the *hit*-th passage of the fail point *place* in this process."""
    hook = _Raise(place, hit, error or Reached(f"{place}:{hit}"))
    hooks.append(hook)
    try:
        yield
    finally:
        hooks.remove(hook)
