"""Other processes for the tests of the journal: forked, so that they start at once."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Generator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sdl.journal import open_journal
from sdl.journal.records import DocumentEmitted, Entry
from sdl.testing.journal import comment

FORK = multiprocessing.get_context("fork")


class Child:
    """A forked process and a line to it."""

    def __init__(self, target: Callable[..., None], *args: object) -> None:
        self.line, theirs = FORK.Pipe()
        self.process = FORK.Process(target=target, args=(theirs, *args))
        self.process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def hear(self, timeout: float = 30.0) -> Any:
        """Return the next thing that the child says."""
        assert self.line.poll(timeout), "the child said nothing"
        return self.line.recv()

    def hear_out(self) -> list[Any]:
        """Return all that a dead child said before."""
        said: list[Any] = []
        try:
            while True:
                said.append(self.line.recv())
        except EOFError:
            return said

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.join()


@contextmanager
def child(target: Callable[..., None], *args: object) -> Generator[Child]:
    """Run ``target(line, *args)`` in another process, and kill it in the end."""
    started = Child(target, *args)
    try:
        yield started
    finally:
        started.kill()
        started.line.close()


def hold(line: Connection, path: Path) -> None:
    """Open *path* for writing, say so, and keep it until told to go on."""
    with open_journal(path) as journal:
        journal.append(comment("held"))
        line.send("ready")
        line.recv()
    line.send("closed")
    line.recv()


def write_on(line: Connection, path: Path) -> None:
    """Append without end, and say what was recorded after every append."""
    with open_journal(path) as journal:
        for i in range(1_000_000):
            entries = [comment(f"{i} {part}") for part in range(1 + i % 3)]
            if i % 5 == 0:
                artifact = journal.put(b"%d" % i, name="n").model_dump(mode="json")
                entries.append(Entry(DocumentEmitted(name="event", document={"data": artifact}), "alpha", 1))
            line.send([(event.sequence, event.hash) for event in journal.append(*entries)])
