"""A laboratory at whose bench somebody weighs by hand: its trials wait for a person, on the wall clock."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from asking import PEOPLE, Asking, served

FILE = """
name: by hand
space: {parameters: {mass: {kind: continuous, low: 1, high: 9}}}
objective: {kind: maximize, outcome: colour}
planner: random
autonomy: 4
experiment: weighing:weigh
budget: {trials: 3}
"""

LAB = {"type": "weighing:Bench", "clock": "wall", "experiments": ["weighing:weigh"]}

MODULE = '''
"""A bench at which somebody weighs by hand."""

import sdl
from sdl.lab import Person


class Bench(sdl.Lab):
    def __init__(self, *, clock=None):
        super().__init__("bench", clock=clock, kim=Person("kim"))


def weigh(lab, s):
    note = yield from lab.kim.do(f"Weigh the powder of sample {s.trial}", expected="2 min")
    return {"colour": len(note)}
'''


@contextmanager
def bench_in(folder: Path) -> Generator[Asking]:
    """Serve the bench."""
    (folder / "weighing.py").write_text(MODULE)
    with served(folder / "server", PEOPLE, **LAB) as found:
        yield found
