"""The process that a planner runs in: ``python -m sdl.campaign.worker``.

It reads one line of JSON that says which planner to make, then a line for every question, and answers each with a line;
the first answer says that the planner is made.
It holds no device and writes no journal. It ends when its parent does.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from typing import BinaryIO

from sdl.campaign.planner import Planner
from sdl.campaign.planning import Answer, PlannerSpec, Request


def serve(questions: queue.SimpleQueue[bytes], answers: BinaryIO) -> None:
    """Answer questions until there are no more."""
    planner: Planner | None = None
    while line := questions.get():
        try:
            if planner is None:
                planner, answer = PlannerSpec.from_json(line).make(), Answer()
            else:
                answer = _answer(planner, Request.from_json(line))
        except Exception as error:  # noqa: BLE001 # the border: whatever a planner raises is an answer
            answer = Answer(error=f"{type(error).__name__}: {error}")
        answers.write(answer.to_json().encode() + b"\n")
        answers.flush()


def _answer(planner: Planner, request: Request) -> Answer:
    suggestions = planner.suggest(
        request.problem, request.history, request.n, situation=request.situation, seed=request.seed
    )
    return Answer(suggestions=tuple(suggestions))


def _read(source: BinaryIO, questions: queue.SimpleQueue[bytes]) -> None:
    for line in source:
        questions.put(line)
    # The parent is gone, perhaps killed: nobody waits for what the planner still computes.
    os._exit(0)


def main() -> None:
    """Serve on standard input and output; whatever the planner prints goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    questions: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, questions), daemon=True).start()
    serve(questions, answers)


if __name__ == "__main__":
    main()
