"""The harness's end of a worker: a process that is asked and told, and given up when it does not answer."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planning.environments import ENVIRONMENTS, python_of, variables
from planning.wire import Point, Question, Unsupported


class PlannerFailedError(RuntimeError):
    """The planner raised, answered nothing in time, or its process ended."""


@dataclass(frozen=True)
class Contender:
    """A planner that takes part.

    Parameters
    ----------
    adapter
        Module in :mod:`planning.adapters`, and after a colon which of its planners.
    environment
        Where it is installed; None for the environment of sdl.
    """

    name: str
    adapter: str
    environment: str | None = None
    told: str = ""


CONTENDERS: Mapping[str, Contender] = {
    contender.name: contender
    for contender in (
        Contender("sdl", "ours:Bayesian", None, "BayesianPlanner()"),
        Contender("sdl-sobol", "ours:Sobol", None, "SobolPlanner()"),
        Contender("random", "ours:random", None, "RandomPlanner()"),
        Contender("optuna-gp", "of_optuna:gp", "optuna", "GPSampler"),
        Contender("optuna-tpe", "of_optuna:tpe", "optuna", "TPESampler"),
        Contender("ax", "of_ax", "ax", "Client, default generation strategy"),
        Contender("baybe", "of_baybe", "baybe", "TwoPhaseMetaRecommender"),
        Contender("bofire", "of_bofire", "bofire", "SoboStrategy, MoboStrategy"),
        Contender("xopt", "of_xopt", "xopt", "ExpectedImprovementGenerator, MOBOGenerator"),
        Contender("bluesky-adaptive", "of_bluesky_adaptive", "bluesky-adaptive", "Agent"),
        Contender("nimo", "of_nimo", "nimo", "PHYSBO through nimo.selection"),
        Contender("hebo", "of_hebo", "hebo", "HEBO"),
        Contender("smac", "of_smac", "smac", "HyperparameterOptimizationFacade, BlackBoxFacade"),
    )
}
"""Name -> contender."""


class Client:
    """A worker process.

    Raises
    ------
    PlannerFailedError
        From every method, when the planner failed; the process is then gone.
    """

    def __init__(self, contender: Contender, cache: Path) -> None:
        python = Path(sys.executable)
        folder = cache / "sdl"
        if contender.environment is not None:
            python = python_of(contender.environment, cache)
            folder = cache / f"{contender.environment}-{ENVIRONMENTS[contender.environment].digest}"
        folder.mkdir(parents=True, exist_ok=True)
        scratch = folder / "scratch" / f"{os.getpid()}-{threading.get_ident()}"
        scratch.mkdir(parents=True, exist_ok=True)
        with (folder / "worker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(python), "-m", "planning.worker", contender.adapter],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=variables(folder),
                cwd=scratch,
            )
        self._rest = b""
        self.version = str(self._ask({"do": "hello"}, 600.0)["version"])

    def begin(self, question: Question, seed: int, timeout: float) -> None:
        """Start on a question. Raises Unsupported where the planner cannot answer it."""
        self._ask({"do": "begin", "question": question.as_json(), "seed": seed}, timeout)

    def ask(self, n: int, timeout: float) -> tuple[list[Point], float]:
        """Return *n* points, and the processor seconds that they took."""
        answer = self._ask({"do": "ask", "n": n}, timeout)
        return list(answer["points"]), float(answer["cpu"])

    def tell(self, results: Sequence[tuple[Point, Mapping[str, float]]], timeout: float) -> float:
        """Tell what was measured; return the processor seconds that it took."""
        return float(self._ask({"do": "tell", "results": list(results)}, timeout)["cpu"])

    def close(self) -> None:
        """End the process."""
        with suppress(OSError):
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def _ask(self, request: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()
            answer = dict(json.loads(self._line(time.monotonic() + timeout)))
        except (OSError, ValueError, PlannerFailedError) as error:
            self.close()
            raise PlannerFailedError(str(error)) from error
        if "unsupported" in answer:
            raise Unsupported(str(answer["unsupported"]))
        if "error" in answer:
            self.close()
            raise PlannerFailedError(f"{answer['error']}\n{answer['traceback']}")
        return answer

    def _line(self, deadline: float) -> bytes:
        stdout = self._process.stdout
        assert stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise PlannerFailedError("no answer in time")
                chunk = os.read(stdout.fileno(), 1 << 16)
                if not chunk:
                    raise PlannerFailedError(f"the process ended with code {self._process.wait()}")
                self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line
