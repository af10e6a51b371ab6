"""Contracts: test classes that a planner or a journal of your own runs by subclassing them.

pytest is needed only for what is asked for; importing this package does not import it.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdl.testing.journal import JournalContract
    from sdl.testing.planner import PlannerContract

_WHERE = {"JournalContract": "journal", "PlannerContract": "planner"}

__all__ = ["JournalContract", "PlannerContract"]

# Under pytest, let it rewrite the assertions of the contracts too, so that a failure shows the values.
if "pytest" in sys.modules:
    sys.modules["pytest"].register_assert_rewrite(*{f"{__name__}.{module}" for module in _WHERE.values()})


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
