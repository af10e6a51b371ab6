"""Planners that misbehave, importable by a planner process."""

from __future__ import annotations

import os
import time
from typing import Any, ClassVar

from sdl.campaign import Suggestion
from sdl.journal.records import Decision
from sdl.problem.value import Value


def suggestion(values: dict[str, Any]) -> Suggestion:
    """Return a suggestion without a reason."""
    decision = Decision(planner="bad", version="1", seed=0, n_observed=0, n_pending=0)
    return Suggestion(values=values, decision=decision)


class Misbehaving(Value):
    """Does what ``how`` says whenever it is asked."""

    version: ClassVar[str] = "1"
    how: str

    @property
    def name(self) -> str:
        """The name that decision records carry."""
        return f"misbehaving ({self.how})"

    def suggest(self, problem: Any, history: Any, n: int, *, situation: Any, seed: int) -> Any:
        """Misbehave."""
        match self.how:
            case "raise":
                raise ZeroDivisionError("no model")
            case "hang":
                time.sleep(6)
            case "die":
                os.abort()
            case "hoard":
                hoard = [bytearray(2**24) for _ in range(64)]
                return [suggestion({"x": 0.25})] * len(hoard)
            case "print":
                print("thinking aloud")
                return [suggestion({"x": 0.25})]
            case "outside":
                return [suggestion({"x": 1.5})]
            case "other parameter":
                return [suggestion({"y": 0.5})]
            case "text":
                return [suggestion({"x": "0.5"})]
            case "not a number":
                return [
                    Suggestion.model_construct(values={"x": float("nan")}, decision=suggestion({"x": 0.5}).decision)
                ]
            case "too many":
                return [suggestion({"x": 0.1 * i}) for i in range(n + 1)]
            case "nonsense":
                return ["0.5"]
            case "None":
                return None
            case "nothing":
                return []
            case _:
                return [suggestion({"x": 0.5})] * n
        return []
