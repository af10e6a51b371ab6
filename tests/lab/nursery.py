"""Starts stations and engines quickly: everything is imported once, and each process is forked from here.

Reads a JSON line for each process to start, and answers with its number.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import hosted

from sdl import failpoints
from sdl.campaign.budget import FailurePolicy
from sdl.lab.remote.server import StationServer
from sdl.problem import units


def arm(order: dict[str, Any]) -> None:
    """Have the process die at a place, or note all that it passes."""
    log, point = order.get("log"), order.get("point")
    failpoints.hooks[:] = [failpoints.Log(log)] if log else []
    if point:
        failpoints.hooks.append(failpoints.Kill.parse(point))


def serve(order: dict[str, Any]) -> None:
    """Be a station."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    arm(order)
    folder = Path(order["folder"])
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    lab = hosted.HostedLab(**order["options"])
    server = StationServer(lab, "cell", folder, ends_with_engine=not order.get("stays"))
    signal.signal(signal.SIGTERM, lambda *_: server.end())
    server.serve()


def run(order: dict[str, Any]) -> None:
    """Be an engine, whose station is there already."""
    arm(order)
    folder = Path(order["folder"])
    with hosted.hosted_lab(folder, is_started_here=False, **order["options"]) as lab:
        campaign = hosted.campaign_on(lab, folder, on_failure=FailurePolicy(max_in_a_row=10**6))
        ended = campaign.run(trials=order["trials"])
        while ended.status == "paused" and order.get("arms"):
            campaign.rearm(by="Kim", because="looked")
            ended = campaign.run(trials=order["trials"])
    (folder / "ended").write_text(json.dumps({"status": ended.status, "reason": ended.reason}))


def main() -> None:
    """Start what is asked for."""
    for module in ("sdl.lab.engine", "ophyd", "ophyd_async.core", "scipy.stats.qmc"):
        importlib.import_module(module)
    units.registry()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel takes the dead away
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                sys.stdin = io.StringIO()
                order = json.loads(line)
                run(order) if "trials" in order else serve(order)
            os._exit(0)
        print(child, flush=True)


if __name__ == "__main__":
    main()
