"""What a mutant is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """What to write in place of what, in which file, and the test that must fail then."""

    name: str
    file: str
    changes: tuple[tuple[str, str], ...]
    test: str
