"""The process that a planner runs in: ``python -m sdl.campaign.worker``.

It reads one line of JSON that says which planner to make, then a line for every question, and answers each with a line;
the first answer says that the planner is made.
It holds no device and writes no journal. It ends when its parent does. A number behind the command limits its memory,
in bytes.
"""

from __future__ import annotations

import contextlib
import os
import queue
import resource
import sys
import threading
from pathlib import Path
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


def limit_memory(n_bytes: int) -> None:
    """Let this process have no more than so much memory: what asks for more raises MemoryError, or dies.

    Counted is what it may write to (RLIMIT_DATA, on Linux with private mappings), not libraries nor what is reserved.
    """
    resource.setrlimit(resource.RLIMIT_DATA, (n_bytes, n_bytes))


def offer_itself() -> None:
    """Have the kernel end this process first when the machine runs out of memory, and not the campaign's."""
    with contextlib.suppress(OSError):  # no Linux
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def main() -> None:
    """Serve on standard input and output; whatever the planner prints goes to standard error."""
    offer_itself()
    if len(sys.argv) > 1:
        limit_memory(int(sys.argv[1]))
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    questions: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, questions), daemon=True).start()
    serve(questions, answers)


if __name__ == "__main__":
    main()
