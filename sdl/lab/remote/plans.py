"""Plans by name: a station finds the function by its import path, so that no code crosses the wire."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeGuard, cast

from sdl.errors import LabError
from sdl.lab.batch import Prepared
from sdl.lab.experiment import Plan, Settings, check_plan
from sdl.lab.job import Job

_HINT = "write the plan as a function of a module that both processes can import, not inside a function or a script"


def path_of(plan: object) -> str:
    """Return ``module:name`` of *plan*. Raises :class:`~sdl.errors.LabError` where no import would find it."""
    module, name = getattr(plan, "__module__", None), getattr(plan, "__qualname__", None)
    shown = name or type(plan).__name__
    if not isinstance(module, str) or not isinstance(name, str) or "<" in name or module == "__main__":
        raise LabError(f"a station in another process cannot import the plan {shown} of {module}", hint=_HINT)
    reference = f"{module}:{name}"
    if find(reference, "plan") is not plan:
        raise LabError(f"{reference} is another function than the plan that is to run", hint=_HINT)
    return reference


def find(reference: str, what: str) -> Any:
    """Import ``module:name``. Raises :class:`~sdl.errors.LabError` that says what is missing."""
    module, colon, name = reference.partition(":")
    if not (module and colon and name):
        raise LabError(f"{what} {reference!r} is not of the form module:name", hint='as in "my_lab:measure"')
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise LabError(f"{what} {reference!r} cannot be imported: {error}", hint=_HINT) from None
    return found


def find_plan(reference: str) -> Plan:
    """Import a plan. Raises :class:`~sdl.errors.LabError` for anything that is no generator function of two."""
    plan = find(reference, "plan")
    check_plan(plan, reference)
    return cast("Plan", plan)


Given = Settings | tuple[Settings, ...]
"""What a plan gets: the settings of a trial, or those of all trials that a run treats."""


class Parts(NamedTuple):
    """A job as it goes to another process: the import paths of its plans, and what they get.

    ``setup`` is the plan of the changeover before, empty for none; ``took`` is told how long that took. ``ready_for``
    and ``is_ready`` are those of :class:`~sdl.lab.batch.Prepared`.
    """

    plan: str
    given: Given
    setup: str = ""
    took: Callable[[float], None] | None = None
    ready_for: str = ""
    is_ready: bool = False


def taken_apart(job: Job) -> Parts:
    """Return the parts of *job*.

    Raises :class:`~sdl.errors.LabError` where the plan is no importable function of a laboratory and settings.
    """
    made: object = job.plan
    if isinstance(made, functools.partial) and len(made.args) == 2 and not made.keywords:
        function: object = made.func
        given: object = made.args[1]
        if _is_given(given):
            if isinstance(function, Prepared):
                plans = path_of(function.plan), given, path_of(function.setup)
                return Parts(*plans, function.took, function.ready_for, function.is_ready)
            return Parts(path_of(function), given)
    raise LabError("only a plan of a laboratory and settings can run in another process", hint=_HINT)


def _is_given(given: object) -> TypeGuard[Given]:
    several = cast("tuple[object, ...]", given) if isinstance(given, tuple) else (given,)
    return bool(several) and all(isinstance(each, Settings) for each in several)


def numbers_of(md: Mapping[str, Any]) -> tuple[int, int]:
    """Return trial and attempt of a job."""
    trial, attempt = md.get("trial", 0), md.get("attempt", 0)
    return (trial if isinstance(trial, int) else 0), (attempt if isinstance(attempt, int) else 0)
