"""One cell of the comparison: a planner, a case, a seed. What is run, and what is kept of it."""

from __future__ import annotations

import atexit
import hashlib
import heapq
import json
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import sdl.planners
from planning.cases import REVISION, Case, Outcomes
from planning.client import CONTENDERS, Client, PlannerFailedError
from planning.environments import ENVIRONMENTS, EnvironmentMissingError
from planning.measured import MEASURED, TABLES, table
from planning.synthetic import RECIPES, SPECIAL, recipe_case
from planning.wire import Knob, Point, Question, Unsupported, Value, key_of

N_RANDOM = 200
"""Trials of random search, to which acceleration is measured."""

LINEAR_TOLERANCE = 1e-3
"""How far a sum may be off: rivals solve equations to such an accuracy."""

CASES = (*RECIPES, *SPECIAL, *MEASURED, *TABLES)


def make_case(name: str, seed: int, datasets: str | None) -> Case:
    """Return an instance of the case *name*."""
    if name in RECIPES:
        return recipe_case(name, seed)
    if name in TABLES:
        if datasets is None:
            raise FileNotFoundError(f"{name} needs the folder of tables: --datasets or SDL_DATASETS")
        return table(name, seed, datasets)
    return {**SPECIAL, **MEASURED}[name](seed)


@dataclass(frozen=True)
class Job:
    """What is to be run.

    Parameters
    ----------
    n_trials
        None: as many as the case asks for; random search makes at least so many as acceleration needs.
    limit_s
        Wall seconds after which the cell is a failure.
    """

    planner: str
    case: str
    seed: int
    cache: str
    datasets: str | None = None
    n_trials: int | None = None
    limit_s: float = 3600.0

    @property
    def key(self) -> str:
        """Tells this cell from all others, also from the same with other code."""
        return json.dumps([self.planner, source_of(self.planner), self.case, self.seed, self.n_trials, REVISION])


@dataclass(frozen=True)
class Cell:
    """What came of a job.

    Parameters
    ----------
    gaps
        How far from the best after each trial; shorter than asked for where the planner failed.
    cpu
        For each request, how many points were wanted and the processor seconds since the request before: telling
        counts too, because some planners fit their model then.
    error, unsupported
        Why it failed, or that the planner cannot do such a case.
    n_repeats, n_illegal
        Points that were asked for before; points outside of the space, each of which cost a trial.
    """

    key: str
    planner: str
    version: str
    case: str
    seed: int
    n_trials: int
    best: float
    worst: float
    threshold: float
    gaps: list[float] = field(default_factory=list[float])
    cpu: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    n_repeats: int = 0
    n_illegal: int = 0
    seconds: float = 0.0
    error: str | None = None
    unsupported: str | None = None

    def as_line(self) -> str:
        """Return one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, line: str) -> Cell:
        """Return what :meth:`as_line` gave."""
        data: dict[str, Any] = json.loads(line)
        data["cpu"] = [(int(n), float(seconds)) for n, seconds in data["cpu"]]
        return cls(**data)


@cache
def source_of(planner: str) -> str:
    """Return what changes with the code of *planner*: our sources' digest, or what is installed for a rival."""
    environment = CONTENDERS[planner].environment
    if environment is not None:
        return ENVIRONMENTS[environment].digest
    if planner == "random":
        return "random"
    digest = hashlib.sha256()
    for path in sorted(Path(sdl.planners.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


# --- running ----------------------------------------------------------------------------------------------------------

_kept = threading.local()
_all_clients: list[Client] = []


def client_of(planner: str, cache_folder: str) -> Client:
    """Return this thread's worker for *planner*: the last one stays, since importing a rival takes seconds."""
    if getattr(_kept, "name", None) != (planner, cache_folder):
        drop_client()
        _kept.client = Client(CONTENDERS[planner], Path(cache_folder))
        _kept.name = (planner, cache_folder)
        _all_clients.append(_kept.client)
    client: Client = _kept.client
    return client


def drop_client() -> None:
    """End this thread's worker, if there is one."""
    if getattr(_kept, "name", None) is not None:
        _kept.client.close()
        _all_clients.remove(_kept.client)
        _kept.name = None


@atexit.register
def close_clients() -> None:
    """End all workers."""
    for client in _all_clients:
        client.close()
    _all_clients.clear()


class Session:
    """A case that a worker is asked about, trial by trial."""

    def __init__(self, client: Client, case: Case, n_trials: int, limit_s: float) -> None:
        self._client = client
        self._case = case
        self._n_trials = n_trials
        self._deadline = time.monotonic() + limit_s
        self._rows = None if case.question.pool is None else {key_of(row) for row in case.question.rows()}
        self._seen: set[tuple[tuple[str, Value], ...]] = set()
        self.truths: list[Outcomes | None] = []
        self.cpu: list[tuple[int, float]] = []
        self.n_repeats = 0
        self.n_illegal = 0
        self._spent = 0.0

    def run(self) -> None:
        """Make all trials."""
        if self._case.duration is None:
            self._in_rounds()
        else:
            self._one_by_one(self._case.duration)

    def gaps(self) -> list[float]:
        """Return the gap after each trial; one that gave nothing leaves it as it was."""
        legal = [truth for truth in self.truths if truth is not None]
        gaps = iter(self._case.gaps(legal) if legal else [])
        last = self._case.worst
        found: list[float] = []
        for truth in self.truths:
            last = last if truth is None else next(gaps)
            found.append(last)
        return found

    def _in_rounds(self) -> None:
        while len(self.truths) < self._n_trials:
            n = min(self._case.question.n_at_once, self._n_trials - len(self.truths))
            first = len(self.truths) + 1
            self._end([(number, point) for number, point in enumerate(self._ask(n), first)])

    def _one_by_one(self, duration: Any) -> None:
        """Keep so many trials running; whenever one ends, ask for one more while the others are pending."""
        running: list[tuple[float, int, Point]] = []
        n_begun, now = 0, 0.0
        while len(self.truths) < self._n_trials:
            n = min(self._case.question.n_at_once - len(running), self._n_trials - n_begun)
            for point in self._ask(n) if n else []:
                n_begun += 1
                heapq.heappush(running, (now + duration(n_begun), n_begun, point))
            now, number, point = heapq.heappop(running)
            self._end([(number, point)])

    def _ask(self, n: int) -> list[Point]:
        points, cpu = self._client.ask(n, self._left())
        if len(points) != n:
            raise PlannerFailedError(f"{n} points were asked for, {len(points)} came")
        self.cpu.append((n, cpu + self._spent))
        self._spent = 0.0
        for point in points:
            self.n_repeats += key_of(point) in self._seen
            self._seen.add(key_of(point))
        return points

    def _end(self, trials: Sequence[tuple[int, Point]]) -> None:
        results: list[tuple[Point, Mapping[str, float]]] = []
        for number, point in trials:
            is_legal = is_in_space(self._case.question, self._rows, point)
            self.truths.append(self._case.truth(point) if is_legal else None)
            if is_legal:
                results.append((point, self._case.measure(point, number)))
            self.n_illegal += not is_legal
        self._spent += self._client.tell(results, self._left()) if results else 0.0

    def _left(self) -> float:
        return max(0.001, self._deadline - time.monotonic())


def is_in_space(question: Question, rows: set[tuple[tuple[str, Value], ...]] | None, point: Point) -> bool:
    """Tell whether *point* may be tried."""
    if rows is not None:
        return key_of(point) in rows
    if set(point) != set(question.names) or not all(fits(knob, point[knob.name]) for knob in question.knobs):
        return False
    for given in question.constraints:
        total = sum(weight * float(point[name]) for name, weight in given.coefficients.items())
        if given.lower is not None and total < given.lower - LINEAR_TOLERANCE:
            return False
        if given.upper is not None and total > given.upper + LINEAR_TOLERANCE:
            return False
    return True


def fits(knob: Knob, value: Value) -> bool:
    """Tell whether *value* is one of the knob's."""
    if knob.kind == "continuous":
        slack = 1e-6 * (knob.high - knob.low)
        return not isinstance(value, str) and knob.low - slack <= value <= knob.high + slack
    return value in knob.values


def run_cell(job: Job) -> Cell:
    """Run one cell. A planner's failure is part of the result; other errors are raised."""
    case = make_case(job.case, job.seed, job.datasets)
    n_trials = job.n_trials or case.question.n_trials
    if job.planner == "random" and job.n_trials is None:
        n_trials = max(N_RANDOM, n_trials)
    facts: dict[str, Any] = {
        "key": job.key, "planner": job.planner, "version": "", "case": job.case, "seed": job.seed,
        "n_trials": n_trials, "best": case.best, "worst": case.worst, "threshold": case.threshold,
    }  # fmt: skip
    began = time.monotonic()
    session: Session | None = None
    try:
        client = client_of(job.planner, job.cache)
        facts["version"] = client.version
        client.begin(case.question, job.seed, job.limit_s)
        session = Session(client, case, n_trials, job.limit_s)
        session.run()
    except Unsupported as reason:
        facts["unsupported"] = str(reason)
    except (PlannerFailedError, EnvironmentMissingError) as error:
        facts["error"] = str(error)
        drop_client()
    finally:
        case.close()
    if session is not None:
        facts |= {"gaps": session.gaps(), "cpu": session.cpu, "n_repeats": session.n_repeats}
        facts |= {"n_illegal": session.n_illegal}
    return Cell(**facts, seconds=time.monotonic() - began)


# --- keeping ----------------------------------------------------------------------------------------------------------


class Results:
    """Cells in a file, one a line. A half-written last line is left out, and its cell is run again."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "cells.jsonl"
        self._cells: dict[str, Cell] = {}
        if self._path.exists():
            text = self._path.read_text(encoding="utf-8")
            for line in text.splitlines():
                self._take(line)
            if text and not text.endswith("\n"):
                self._append("")

    def _take(self, line: str) -> None:
        try:
            cell = Cell.of(line)
        except (ValueError, TypeError):
            return
        self._cells[cell.key] = cell

    def __contains__(self, key: str) -> bool:
        return key in self._cells

    def add(self, cell: Cell) -> None:
        """Keep *cell*."""
        self._cells[cell.key] = cell
        self._append(cell.as_line())

    def _append(self, line: str) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def of(self, jobs: Iterable[Job]) -> list[Cell]:
        """Return the cells of *jobs*, as far as they are there."""
        return [self._cells[job.key] for job in jobs if job.key in self._cells]
