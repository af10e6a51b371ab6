"""The process from which a kill harness forks: ``python -m sdl.testing.nursery MODULE:FUNCTION``.

It runs the function once, then forks for every line of JSON that it reads, and answers with a line that says how the
child ended. A child costs a twentieth of a process that starts from nothing.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TextIO

from sdl import failpoints

Target = Callable[[str], None]


def main(name: str) -> None:
    """Serve until standard input ends."""
    module, _, function = name.partition(":")
    target: Target = getattr(importlib.import_module(module), function)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever is printed here belongs into the log, not between the answers
    _learn(target)
    _say(answers, {"ready": True})
    for line in sys.stdin:
        _say(answers, _raise_child(target, json.loads(line)))


def _say(answers: TextIO, what: dict[str, Any]) -> None:
    answers.write(json.dumps(what) + "\n")
    answers.flush()


def _learn(target: Target) -> None:
    """Run once here, for what is imported and set up on first use; children inherit that, but no threads."""
    folder = Path(tempfile.mkdtemp())
    try:
        target(str(folder))
        left = threading.enumerate()[1:]
        if left:
            raise RuntimeError(f"the function left threads behind, which no fork survives: {left}")
    finally:
        shutil.rmtree(folder)


def _raise_child(target: Target, request: dict[str, Any]) -> dict[str, Any]:
    """Fork, wait, kill when the time has come, and say how it ended."""
    child = os.fork()
    if child == 0:
        _live(target, request)
    number = os.pidfd_open(child)
    ended, _, _ = select.select([number], [], [], request["after"])
    if not ended:
        signal.pidfd_send_signal(number, signal.SIGKILL)
    os.close(number)
    _, status, usage = os.wait4(child, 0)
    seconds = usage.ru_utime + usage.ru_stime
    return {"code": os.waitstatus_to_exitcode(status), "was_in_time": bool(ended), "seconds": seconds}


def _live(target: Target, request: dict[str, Any]) -> NoReturn:
    """Be the child: arm the fail point, run, and end without the clean-up that belongs to the parent."""
    code = 1
    try:
        output = os.open(Path(request["folder"]) / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if request["log"]:
            failpoints.hooks.append(failpoints.Log(request["log"]))
        if request["point"]:
            failpoints.hooks.append(failpoints.Kill.parse(request["point"]))
        target(request["folder"])
        code = 0
    except BaseException:  # noqa: BLE001 # the border: whatever it was is told, and the child ends
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1])
