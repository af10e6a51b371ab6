"""A station's process that the engine starts itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from pydantic import JsonValue

from sdl.lab.interlocks import Interlock

END_TIMEOUT = 10.0
"""Seconds that a station's process gets to end in order."""


class Process(Protocol):
    """The process of a station, as the engine that starts it sees it."""

    @property
    def pid(self) -> int | None:
        """Its number; None where there is none."""
        ...

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        ...

    @property
    def last_words(self) -> str:
        """The last line that it wrote."""
        ...

    def start(self) -> None:
        """Start it, unless it runs."""
        ...

    def end(self) -> None:
        """Wait until it has ended, as it was asked to; stop it where it does not."""
        ...


class Added(NamedTuple):
    """What a file gives a laboratory beside what its class brings: a clock of another kind, and interlocks."""

    clock: Literal["wall"] | None = None
    interlocks: Sequence[Interlock] = ()

    def arguments(self) -> list[str]:
        """Return it as arguments of ``sdl station``."""
        rules = [rule.model_dump(mode="json") for rule in self.interlocks]
        clock = [] if self.clock is None else ["--clock", self.clock]
        return [*clock, *(["--interlocks", json.dumps(rules)] if rules else [])]


class Child:
    """Starts ``sdl station`` when it is needed, and again when it has died.

    Parameters
    ----------
    lab
        What names the laboratory: ``module:Class``.
    options
        The arguments of the class.
    station, folder
        Which station, and where its sockets and its book are.
    added
        What the laboratory gets beside what the class brings.
    """

    def __init__(
        self, lab: str, options: Mapping[str, JsonValue], station: str, folder: Path, added: Added | None = None
    ) -> None:
        self._command = [
            *(sys.executable, "-m", "sdl", "station", lab),
            *("--station", station, "--folder", str(folder)),
            *("--options", json.dumps(dict(options), default=str), "--ends-with-engine"),  # a path is a text there
            *(added or Added()).arguments(),
        ]
        self._log = folder / f"{station}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Of the process; None where there is none."""
        return None if self._process is None else self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def last_words(self) -> str:
        """The last line that it wrote."""
        lines = self._log.read_text(errors="replace").strip().splitlines() if self._log.exists() else []
        return lines[-1] if lines else "it said nothing"

    def start(self) -> None:
        """Start it, unless it runs. It finds the modules that this process finds."""
        if self.is_alive:
            return
        path = os.pathsep.join(part or str(Path.cwd()) for part in sys.path)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 # our own command
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,  # an interrupt from the keyboard is the engine's to handle
            )

    def end(self) -> None:
        """Wait until it has ended, as it was asked to; stop it where it does not."""
        if self._process is None:
            return
        try:
            self._process.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            try:
                self._process.wait(END_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None
