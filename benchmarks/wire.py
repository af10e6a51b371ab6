"""The wire: what does a station cost that is not in the engine's process?

Compared, in one run, with the same laboratory, the same plans and instruments that answer at once:

* the station in the engine's own process;
* in a process of its own, over a socket file (ipc);
* the same over TCP on the loopback interface, without keys and with CURVE;
* where the user is root: in another network namespace, over TCP with CURVE, and two such stations at once.

Figures are wall time, for a person waits for it: milliseconds for a step that does nothing, for an act that may not be
repeated (its intent goes to the engine and comes back as a word, and both ends of it go into the station's book), and
bluesky documents a second of a step that reads many times. Nothing is written to a journal here: ``durability.py`` has
what that costs. Medians over repeats; a repeat is one step of many readings, or many steps.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import itertools
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import bluesky.plan_stubs as bps
import bluesky.plans as bp
from harness import Spread, environment, parser, print_environment, print_table, write_json

import sdl
from sdl.journal import Entry, MemoryJournal
from sdl.journal.records import SessionStarted
from sdl.lab import Job
from sdl.lab.remote.access import AllowList, Client, Role, ServerKeys
from sdl.lab.remote.keys import ClientKeys, make_keys
from sdl.lab.remote.server import StationServer
from sdl.lab.remote.sockets import Address
from sdl.lab.remote.station import RemoteStation

Steps = Generator[Any, Any, Any]
STATION = "cell"
NUMBERS = itertools.count(1)
"""Each step is one of a trial of its own: an act is done once for each."""


class Done:
    """A status that has ended already."""

    done = success = True

    def add_callback(self, callback: Callable[[Any], None]) -> None:
        callback(self)

    def exception(self, timeout: float | None = 0.0) -> BaseException | None:  # noqa: ARG002 # bluesky's protocol
        return None


class Instrument:
    """Reads 1, and doses, at once."""

    parent = None
    safe_action = "stop_now"
    action_classes: ClassVar = {"set": "cumulative"}

    def __init__(self, name: str) -> None:
        self.name = name

    def set(self, value: float) -> Done:  # noqa: ARG002 # bluesky's protocol
        return Done()

    def stop(self, *, success: bool = False) -> None:
        pass

    def read(self) -> dict[str, Any]:
        return {self.name: {"value": 1.0, "timestamp": 0.0}}

    def describe(self) -> dict[str, Any]:
        return {self.name: {"source": "benchmark", "dtype": "number", "shape": []}}


class Bench(sdl.Lab):
    """One instrument at one station."""

    def __init__(self) -> None:
        super().__init__("bench", stations={STATION: ["instrument"]}, instrument=Instrument("instrument"))


def nothing(lab: Any, s: sdl.Settings) -> Steps:  # noqa: ARG001 # a plan's signature
    """Plan: nothing."""
    yield from bps.null()


def acts(lab: Any, s: sdl.Settings) -> Steps:
    """Plan: so many acts."""
    for _ in range(int(s.number("n"))):
        yield from bps.mv(lab.instrument, 1.0)


def reads(lab: Any, s: sdl.Settings) -> Steps:
    """Plan: so many readings."""
    yield from bp.count([lab.instrument], num=int(s.number("n")))


# --- where the station is ---------------------------------------------------------------------------------------------


def be_station(folder: Path, listen: str, *, is_keyed: bool) -> None:
    """Be the process of a station."""
    keys = ServerKeys.of(folder / "keys", STATION) if is_keyed else None
    server = StationServer(Bench(), STATION, folder / "stations", listen=listen, keys=keys)
    signal.signal(signal.SIGTERM, lambda *_: server.end())
    whole = folder / "points.part"
    whole.write_text("\n".join(server.points))
    whole.rename(folder / "points")
    server.serve()


@contextlib.contextmanager
def station(listen: str, *, is_keyed: bool = False, namespace: str = "") -> Generator[Bench]:
    """Start a station's process; yield a laboratory that has it."""
    with tempfile.TemporaryDirectory(prefix="sdl-") as name:
        folder = Path(name)
        (folder / "stations").mkdir(mode=0o700)
        if is_keyed:
            make_keys(folder / "keys", STATION)
            own = make_keys(folder / "keys", "engine")
            AllowList(folder / "keys").write([Client("engine", frozenset({Role.OPERATE}), own.public)])
        command = [sys.executable, __file__, "--be-station", name, "--listen", listen]
        command += ["--keyed"] if is_keyed else []
        where = ["ip", "netns", "exec", namespace] if namespace else []
        process = subprocess.Popen([*where, *command])  # our own command
        try:
            while not (folder / "points").exists():
                time.sleep(0.02)
            work, pulse = (folder / "points").read_text().splitlines()
            keys = ClientKeys.of(folder / "keys", STATION) if is_keyed else None
            with away(Address(work, pulse, keys=keys).checked()) as lab:
                yield lab
        finally:
            process.terminate()
            process.wait()


@contextlib.contextmanager
def away(address: Address) -> Generator[Bench]:
    """Yield a laboratory whose station is at *address*, in a session of its own."""
    lab = Bench()
    made = RemoteStation(lab.stations[STATION], lab, address, child=None, lease=10.0)
    lab.stations = MappingProxyType({STATION: made})
    journal = MemoryJournal()
    versions = {"sdl": sdl.__version__}
    journal.append(
        Entry(SessionStarted(session=1, is_virtual=False, host="here", pid=os.getpid(), versions=versions), "c")
    )
    with lab:
        made.enter(journal)
        made.connect()
        yield lab


@contextlib.contextmanager
def namespaces(n: int) -> Generator[list[tuple[str, str]]]:
    """Make *n* network namespaces with a line to each; yield their names and addresses."""
    made = [(f"sdlw{os.getpid()}x{index}", f"10.112.{index}.2") for index in range(n)]
    try:
        for index, (name, _) in enumerate(made):
            line = f"sdlw{os.getpid()}.{index}"
            inside = ("ip", "netns", "exec", name, "ip")
            for words in (
                ("ip", "netns", "add", name),
                ("ip", "link", "add", line, "type", "veth", "peer", "name", "eth0", "netns", name),
                ("ip", "addr", "add", f"10.112.{index}.1/24", "dev", line),
                ("ip", "link", "set", line, "up"),
                (*inside, "addr", "add", f"10.112.{index}.2/24", "dev", "eth0"),
                (*inside, "link", "set", "lo", "up"),
                (*inside, "link", "set", "eth0", "up"),
            ):
                subprocess.run(words, check=True)  # our own command
        yield made
    finally:
        for name, _ in made:
            subprocess.run(["ip", "netns", "del", name], check=False)  # our own command


# --- what is measured -------------------------------------------------------------------------------------------------


class Figures:
    """Milliseconds a step and an act, documents a second."""

    def __init__(self) -> None:
        self.step_ms: list[float] = []
        self.act_ms: list[float] = []
        self.documents_s: list[float] = []

    def row(self, name: str) -> list[str]:
        figures = (self.step_ms, self.act_ms, self.documents_s)
        return [name, *(Spread.of(found).written() if found else "" for found in figures)]


def measure(lab: Bench, n: int, n_repeats: int) -> Figures:
    """Measure one station."""
    plans: Any = importlib.import_module("wire")  # a station in another process imports them by this name
    found = Figures()
    run(lab, plans.reads, 3)
    run(lab, plans.acts, 1)
    for _ in range(n_repeats):
        began = time.perf_counter()
        for _ in range(n):
            run(lab, plans.nothing, 1)
        found.step_ms.append(1000 * (time.perf_counter() - began) / n)
        found.act_ms.append(1000 * run(lab, plans.acts, n)[0] / n)
        seconds, n_documents = run(lab, plans.reads, 10 * n)
        found.documents_s.append(n_documents / seconds)
    return found


def run(lab: Bench, plan: Any, n: int) -> tuple[float, int]:
    """Run one step; return its wall seconds, and how many documents came of it."""
    documents: list[str] = []
    settings = sdl.Settings({"n": float(n)})
    job = Job(
        partial(plan, lab, settings),
        md={"campaign": "c", "trial": next(NUMBERS), "step": "s"},
        on_document=lambda name, _: documents.append(name),
    )
    began = time.perf_counter()
    result = lab.stations[STATION].run(job)
    if result.error is not None:
        raise result.error
    return time.perf_counter() - began, len(documents)


def all_places(n: int, n_repeats: int) -> dict[str, Figures]:
    """Measure each place of a station, one after the other."""
    found: dict[str, Figures] = {}
    with Bench() as lab:
        found["in the engine's process"] = measure(lab, n, n_repeats)
    for name, listen, is_keyed in (
        ("own process, ipc", "", False),
        ("own process, tcp", "tcp://127.0.0.1:0", False),
        ("own process, tcp with CURVE", "tcp://127.0.0.1:0", True),
    ):
        with station(listen, is_keyed=is_keyed) as lab:
            found[name] = measure(lab, n, n_repeats)
    return found


def two_at_once(n: int, n_repeats: int) -> dict[str, Figures]:
    """Measure a station in another namespace, and then two of them at once."""
    found: dict[str, Figures] = {}
    with namespaces(2) as places, contextlib.ExitStack() as stack:
        labs = [
            stack.enter_context(station(f"tcp://{host}:5555", is_keyed=True, namespace=name)) for name, host in places
        ]
        found["another namespace, tcp with CURVE"] = measure(labs[0], n, n_repeats)

        def one(lab: Bench, index: int) -> None:
            found[f"one of two namespaces at once ({index})"] = measure(lab, n, n_repeats)

        threads = [threading.Thread(target=one, args=(lab, index)) for index, lab in enumerate(labs, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return found


def options_of() -> argparse.Namespace:
    """Read the command line."""
    made = parser(__doc__)
    made.add_argument("--be-station", type=Path, help=argparse.SUPPRESS)
    made.add_argument("--listen", default="", help=argparse.SUPPRESS)
    made.add_argument("--keyed", action="store_true", help=argparse.SUPPRESS)
    return made.parse_args()


def main() -> None:
    options = options_of()
    logging.getLogger("bluesky").setLevel(logging.ERROR)
    if options.be_station is not None:
        be_station(options.be_station, options.listen, is_keyed=options.keyed)
        return
    n, n_repeats = (3, 1) if options.smoke else (30, 3) if options.quick else (100, 7)
    known = environment()
    print_environment(known)
    found = all_places(n, n_repeats)
    if os.geteuid() == 0 and not options.smoke:
        found |= two_at_once(n, n_repeats)
    print_table(
        f"{n} steps, {n} acts, {10 * n} readings; {n_repeats} repeats",
        ["station", "ms a step", "ms an act", "documents a second"],
        [figures.row(name) for name, figures in found.items()],
    )
    write_json(options.json, {"environment": known, "places": {name: vars(each) for name, each in found.items()}})


if __name__ == "__main__":
    main()
