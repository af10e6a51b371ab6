"""Does a laboratory run slower while many watch it? The pace of the loop with and without 50 lines of live events.

``sdl serve`` runs in a process of its own: a laboratory of 8 stations on the wall clock, 4 campaigns, each with as many
trials under way as it has stations. Every trial has two steps. Those who watch are 50 lines in another process, each of
which reads everything that it is sent. Windows with and without them take turns; compared are the trials that ended in
each, and the processor time that the server took.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
from harness import environment, parser, print_environment, print_table, write_json

import sdl

N_STATIONS, N_CAMPAIGNS, N_WATCHERS = 8, 4, 50

FILE = "name: line{n}\nplanner: random\nin_flight: {in_flight}\nbudget: {{trials: 1000000}}\nautonomy: 4\n"


# --- the laboratory ---------------------------------------------------------------------------------------------------


class Gauge:
    """A device that answers at once."""

    parent = None

    def __init__(self, name: str) -> None:
        self.name = name

    def read(self) -> dict[str, Any]:
        return {self.name: {"value": 1.0, "timestamp": time.time()}}

    def describe(self) -> dict[str, Any]:
        return {self.name: {"source": self.name, "dtype": "number", "shape": []}}


class Hall(sdl.Lab):
    """Eight stations that are all alike."""

    def __init__(self, seconds: float = 0.5, clock: Any = None) -> None:
        gauges: dict[str, Any] = {f"gauge{n}": Gauge(f"gauge{n}") for n in range(N_STATIONS)}
        stations = {f"station{n}": [f"gauge{n}"] for n in range(N_STATIONS)}
        super().__init__("hall", stations=stations, clock=clock or sdl.WallClock(), **gauges)
        self._seconds = seconds

    def space(self) -> sdl.SearchSpace:
        return sdl.SearchSpace(x=sdl.Continuous(0.0, 1.0))

    @property
    def objective(self) -> Any:
        return sdl.Minimize("loss")

    @property
    def experiment(self) -> sdl.Experiment:
        """Return two steps, each on any station."""
        everywhere = tuple(self.stations)

        def wait(_lab: Any, _s: Any) -> Generator[Any, Any, Any]:
            yield from bps.sleep(self._seconds)

        def look(_lab: Any, s: Any) -> Generator[Any, Any, Any]:
            yield from bps.sleep(self._seconds)
            return {"loss": (float(s["x"]) - 0.3) ** 2}

        return sdl.Experiment(sdl.Step("wait", wait, station=everywhere), sdl.Step("look", look, station=everywhere))


# --- those who watch --------------------------------------------------------------------------------------------------


async def _watch(address: str, token: str, n: int) -> None:
    import httpx  # noqa: PLC0415 # in the other process only

    headers = {"Authorization": f"Bearer {token}"}
    limits = httpx.Limits(max_connections=n)
    counts = [0] * n

    async def one(number: int, client: httpx.AsyncClient) -> None:
        async with client.stream("GET", "/api/v1/events", timeout=None) as answer:
            assert answer.status_code == 200, answer.status_code
            async for line in answer.aiter_lines():
                counts[number] += line.startswith("id: ")

    async with httpx.AsyncClient(base_url=address, headers=headers, limits=limits) as client:
        lines = [asyncio.create_task(one(number, client)) for number in range(n)]
        while min(counts) == 0:
            await asyncio.wait(lines, timeout=0.05)
        print("watching", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        for line in lines:
            line.cancel()
        await asyncio.gather(*lines, return_exceptions=True)
        print(min(counts), flush=True)


@contextlib.contextmanager
def watched(address: str, token: str, n: int) -> Generator[list[int]]:
    """Let *n* lines watch; the list gets how many events the line with the fewest has had."""
    command = [sys.executable, __file__, "--watch", address, "--lines", str(n)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env={**os.environ, "SDL_TOKEN": token}, **pipes) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline().strip() == "watching"
        fewest: list[int] = []
        yield fewest
        child.stdin.write("\n")
        child.stdin.flush()
        fewest.append(int(child.stdout.readline()))


# --- measuring --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Window:
    """Trials that ended per wall second, and the processor milliseconds of the server for each."""

    pace: float
    cpu_ms: float


def vars_of(found: Window) -> tuple[float, float]:
    """Return the figures of a window."""
    return found.pace, found.cpu_ms


@contextlib.contextmanager
def served(folder: Path, seconds: float) -> Generator[tuple[int, sdl.Client, str]]:
    """Serve the laboratory; yield the process, somebody who may do everything, and his token."""
    lab = folder / "lab.yaml"
    lab.write_text(f"type: server:Hall\noptions: {{seconds: {seconds}}}\nclock: wall\nat_once: {N_CAMPAIGNS}\n")
    command = [sys.executable, "-m", "sdl", "serve", str(lab), "--port", "0", "--folder", str(folder / "server")]
    paths = {"PYTHONPATH": str(Path(__file__).parent), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=os.environ | paths) as child:
        try:
            assert child.stdout is not None
            found = re.search(r"(http://[0-9.:]+)/#token=(\S+)", child.stdout.readline())
            assert found is not None
            with sdl.Client(found[1], found[2]) as client:
                yield child.pid, client, found[2]
        finally:
            child.kill()


def completed(client: sdl.Client) -> int:
    """Return how many trials have ended."""
    return sum(each.counts.get("completed", 0) for each in client.campaigns())


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def window(pid: int, client: sdl.Client, seconds: float) -> Window:
    """Count for so many wall seconds."""
    n, cpu, began = completed(client), cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    done = completed(client) - n
    took = time.monotonic() - began
    return Window(done / took, 1000.0 * (cpu_seconds(pid) - cpu) / max(1, done))


def measure(pairs: int, seconds: float, step: float, n_watchers: int) -> dict[str, Any]:
    """Measure windows in turns, print a table, and return the figures."""
    alone: list[Window] = []
    together: list[Window] = []
    fewest = 0
    with tempfile.TemporaryDirectory() as folder, served(Path(folder), step) as (pid, client, token):
        for n in range(N_CAMPAIGNS):
            client.submit(FILE.format(n=n, in_flight=N_STATIONS // N_CAMPAIGNS))
        while completed(client) < 2 * N_STATIONS:
            time.sleep(0.1)
        for pair in range(pairs):
            for is_watched in (False, True) if pair % 2 else (True, False):
                if not is_watched:
                    alone.append(window(pid, client, seconds))
                    continue
                with watched(client.address, token, n_watchers) as had:
                    together.append(window(pid, client, seconds))
                fewest += had[0]
    ratios = [b.pace / a.pace for a, b in zip(alone, together, strict=True)]
    rows = [
        [name, *(f"{statistics.median(each):.2f}" for each in zip(*map(vars_of, found), strict=True))]
        for name, found in (("nobody watches", alone), (f"{n_watchers} watch", together))
    ]
    title = f"{N_STATIONS} stations, {N_CAMPAIGNS} campaigns, steps of {step:g} s, {pairs} pairs of {seconds:g} s"
    print_table(title, ["", "trials a second", "processor ms a trial"], rows)
    ratio = statistics.median(ratios)
    print(f"\npace watched / alone: {ratio:.3f}, from {min(ratios):.3f} to {max(ratios):.3f}; the line with the fewest")
    print(f"events had {fewest}\n")
    return {
        "alone": [vars(each) for each in alone],
        "watched": [vars(each) for each in together],
        "ratio": ratio,
        "fewest_events": fewest,
        "step_seconds": step,
    }


def main() -> None:
    """Measure with steps of the lengths that are given."""
    options = parser(__doc__)
    options.add_argument("--watch", metavar="ADDRESS", help="be those who watch")
    options.add_argument("--lines", type=int, default=N_WATCHERS, help="how many watch")
    options.add_argument("--pairs", type=int, default=8, help="pairs of windows")
    options.add_argument("--window", type=float, default=15.0, help="wall seconds of a window")
    options.add_argument("--step", type=float, default=0.5, help="wall seconds of a step")
    given = options.parse_args()
    if given.watch:
        asyncio.run(_watch(given.watch, os.environ["SDL_TOKEN"], given.lines))
        return
    found = environment()
    print_environment(found)
    if given.smoke:
        given.pairs, given.window, given.step, given.lines = 1, 1.0, 0.1, 3
    elif given.quick:
        given.pairs = 2
    results = measure(given.pairs, given.window, given.step, given.lines)
    if given.json is not None:
        write_json(given.json, {"environment": found, "server": results})


if __name__ == "__main__":
    main()
