"""A planner in a process of its own, asked and told through lines of JSON.

``python -m planning.worker ADAPTER`` reads requests from standard input and answers each on what was standard output;
whatever a library prints goes to standard error, so that it cannot spoil the conversation.

========  =================================  =============================================
request   with                               answer
========  =================================  =============================================
hello     \\                                  ``version``
begin     ``question``, ``seed``             ``ok``, or ``unsupported`` with the reason
ask       ``n``                              ``points``, ``cpu``
tell      ``results``: (point, outcomes)     ``cpu``
========  =================================  =============================================

``cpu`` is processor time of the process and its children in seconds. An exception is answered as ``error``.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
import traceback
import warnings
from importlib import import_module
from typing import Any, TextIO

from planning.wire import Adapter, Question, Unsupported


def processor_time() -> float:
    """Return the seconds of this process, all of its threads, and its finished children."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


class Worker:
    """Answers requests with the adapter of one planner."""

    def __init__(self, name: str) -> None:
        module, _, variant = name.partition(":")
        self._module: Any = import_module(f"planning.adapters.{module}")
        self._variant = variant
        self._adapter: Adapter | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to one request."""
        try:
            return dict(getattr(self, f"_{request['do']}")(request))
        except Unsupported as reason:
            return {"unsupported": str(reason)}
        except Exception as error:  # noqa: BLE001 # the wire: whatever a rival raises is its failure, and is told
            return {"error": f"{type(error).__name__}: {error}"[:500], "traceback": traceback.format_exc()[-3000:]}

    def _hello(self, _request: dict[str, Any]) -> dict[str, Any]:
        return {"version": self._module.version()}

    def _begin(self, request: dict[str, Any]) -> dict[str, Any]:
        self._adapter = None
        gc.collect()
        self._adapter = self._module.make(Question.of(request["question"]), int(request["seed"]), self._variant)
        return {"ok": True}

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._adapter is not None
        began = processor_time()
        points = [dict(point) for point in self._adapter.ask(int(request["n"]))]
        return {"points": points, "cpu": processor_time() - began}

    def _tell(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._adapter is not None
        began = processor_time()
        for point, outcomes in request["results"]:
            self._adapter.tell(point, outcomes)
        return {"cpu": processor_time() - began}


def plain(value: Any) -> Any:
    """Return numbers of other libraries as Python's own, for JSON."""
    return value.item()


def take_standard_output() -> TextIO:
    """Keep standard output for the conversation, and send what others print to standard error."""
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return channel


def main() -> None:
    channel = take_standard_output()
    warnings.simplefilter("ignore")
    worker = Worker(sys.argv[1])
    for line in sys.stdin:
        channel.write(json.dumps(worker.answer(json.loads(line)), default=plain) + "\n")
        channel.flush()


if __name__ == "__main__":
    main()
