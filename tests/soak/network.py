"""A network between engine and station, cut many times: network.py [--cuts N] [--stale N] [--trials N] [--lease S].

Needs root. Two network namespaces, each with one end of a veth pair; between the pairs this script passes every frame
on, and loses, delays, doubles and reorders them (the kernel's own netem is not everywhere). A cut is ``ip link down``,
or one direction that is lost. Each cut comes in the middle of an act that never ends. Counted, over all cuts:

* how long each end takes to notice: the station's devices are stopped, the engine's act is unknown;
* what was done after it: commands that were queued in the outage, and steps that started again by themselves;
* acts that were done twice.

Then campaigns run over lines with loss, delay, doubles and disorder, and do every act once.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import heapq
import json
import os
import random
import select
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "lab"))

import hosted  # pyright: ignore[reportMissingImports] # beside the tests, whose folder is added above
from test_remote_kills import bodies, view_of  # pyright: ignore[reportMissingImports] # as above
from test_remote_wire import step  # pyright: ignore[reportMissingImports] # as above

from sdl.campaign.budget import FailurePolicy
from sdl.journal.acts import ActEnded, ActIntended
from sdl.lab.remote import host
from sdl.lab.remote.access import AllowList, Client, Role, ServerKeys
from sdl.lab.remote.keys import ClientKeys, make_keys
from sdl.lab.remote.link import Link, Session
from sdl.lab.remote.messages import Ack, Acted, Rearm, decode, encode
from sdl.lab.remote.server import StationServer
from sdl.lab.remote.sockets import Address

HERE = os.getpid()
ENGINE, STATION = f"sdlE{HERE}", f"sdlS{HERE}"
PORT = 5555
BEAT = 0.2
"""Seconds between two heartbeats, as a part of the lease."""
LOSSES = (0.05, 0.2)
"""Parts of the frames that bad lines lose."""
OUTAGE = 2.0
"""Seconds that a cut lasts: longer than a lease, and shorter than what makes 0MQ drop what it has queued."""


@dataclass
class Weather:
    """What happens to a frame: the chance that it is lost or doubled, and how long it takes, in seconds."""

    loss: float = 0.0
    doubled: float = 0.0
    delay: float = 0.0
    jitter: float = 0.0
    is_deaf: bool = False


class Cable:
    """Two namespaces, and the frames between them."""

    def __init__(self) -> None:
        self.weather = Weather()
        self._is_over = False
        self._rng = random.Random(0)
        self._ends = [self._end(ENGINE, "a", 1), self._end(STATION, "b", 2)]
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _end(self, name: str, letter: str, number: int) -> socket.socket:
        outer, inner = f"sdl{letter}{HERE}", f"sdl{letter}x{HERE}"
        ip("netns", "add", name)
        ip("link", "add", outer, "type", "veth", "peer", "name", inner)
        ip("link", "set", inner, "netns", name)
        within(name, "ip", "link", "set", inner, "name", "eth0")
        whole_frames(outer)
        within(name, sys.executable, __file__, "--whole-frames", "eth0")
        within(name, "ip", "addr", "add", f"10.111.0.{number}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            within(name, "ip", "link", "set", device, "up")
        ip("link", "set", outer, "up", "promisc", "on")
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        made.bind((outer, 0))
        made.setblocking(False)
        return made

    def up(self, *, is_up: bool) -> None:
        """``ip link set`` the station's end up or down."""
        within(STATION, "ip", "link", "set", "eth0", "up" if is_up else "down")

    def _work(self) -> None:
        late: list[tuple[float, int, socket.socket, bytes]] = []
        n = 0
        while not self._is_over:
            wait = 0.05 if not late else min(0.05, max(0.0, late[0][0] - time.monotonic()))
            for end in select.select(self._ends, [], [], wait)[0]:
                other = self._ends[1 - self._ends.index(end)]
                for frame in frames_of(end):
                    for delay in self._fates(is_back=end is self._ends[1]):
                        n += 1
                        heapq.heappush(late, (time.monotonic() + delay, n, other, frame))
            while late and late[0][0] <= time.monotonic():
                _, _, to, frame = heapq.heappop(late)
                with contextlib.suppress(OSError):
                    to.send(frame)

    def _fates(self, *, is_back: bool) -> list[float]:
        """Return after how long each copy of a frame arrives."""
        weather, rng = self.weather, self._rng
        if (weather.is_deaf and is_back) or rng.random() < weather.loss:
            return []
        n = 2 if rng.random() < weather.doubled else 1
        return [weather.delay + rng.random() * weather.jitter for _ in range(n)]

    def close(self) -> None:
        self._is_over = True
        self._thread.join()
        for end, letter, name in zip(self._ends, "ab", (ENGINE, STATION), strict=True):
            end.close()
            ip("link", "del", f"sdl{letter}{HERE}")
            ip("netns", "del", name)


def frames_of(end: socket.socket) -> Iterator[bytes]:
    """Yield what has come in at *end*; not what was sent out by it."""
    with contextlib.suppress(OSError):
        while True:
            frame, origin = end.recvfrom(1 << 16)
            if origin[2] != 4:  # PACKET_OUTGOING
                yield frame


def whole_frames(device: str) -> None:
    """Have the kernel finish checksums and cut segments itself: no hardware follows that would."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for option in (0x17, 0x15, 0x1F, 0x25, 0x2C):  # ETHTOOL_STXCSUM, _SRXCSUM, _STSO, _SGSO, _SGRO
            value = bytearray(struct.pack("II", option, 0))
            with contextlib.suppress(OSError):
                order = struct.pack("16sP", device.encode(), address_of(value))
                fcntl.ioctl(asked, 0x8946, order)  # SIOCETHTOOL


def address_of(value: bytearray) -> int:
    """Return where *value* is in memory, as the kernel wants to know it."""
    import ctypes

    return ctypes.addressof(ctypes.c_char.from_buffer(value))


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def within(name: str, *words: str) -> None:
    subprocess.run(["ip", "netns", "exec", name, *words], check=True)


def started(name: str, *words: str) -> subprocess.Popen[bytes]:
    """Start this script in a namespace, as another part of the play."""
    path = os.pathsep.join([str(Path(__file__).parent.parent / "lab"), *sys.path])
    command = ["ip", "netns", "exec", name, sys.executable, __file__, *words]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})


# --- in the namespaces ------------------------------------------------------------------------------------------------


def be_station(folder: Path, seconds: float) -> None:
    """Serve until told to end."""
    lab = hosted.HostedLab(str(folder), seconds=seconds)
    keys = ServerKeys.of(folder / "keys", "cell")
    server = StationServer(lab, "cell", folder / "stations", listen=f"tcp://10.111.0.2:{PORT}", keys=keys)
    signal.signal(signal.SIGTERM, lambda *_: server.end())
    server.serve()


def lab_at(folder: Path, lease: float) -> Any:
    """Return the engine's laboratory, whose station is on the other host."""
    at = {"cell": f"tcp://10.111.0.2:{PORT}"}
    given = {"folder": str(folder)}
    return host(hosted.HostedLab(str(folder)), "hosted:HostedLab", given, at=at, keys=folder / "keys", lease=lease)


def be_engine(folder: Path, lease: float, n_cuts: int, n_stale: int) -> None:
    """For each cut: act, be cut off, go on sending as one who has not noticed, and count the answers to that."""
    address = Address(f"tcp://10.111.0.2:{PORT}", "", keys=ClientKeys.of(folder / "keys", "cell")).checked()
    for cut in range(1, n_cuts + 1):
        link: Any = Link("cell", address, Session("s", cut, lease), lambda: True, time.monotonic)
        welcome = link.open(60.0)
        if welcome.latch:
            told = Rearm(store="s", epoch=cut, latch=welcome.latch, by="Kim", because="looked")
            assert not link.ask(told, 20.0).latch
        act(link, cut)
        tell(folder, "acting", cut=cut)
        while not link.lost:
            time.sleep(0.002)
        tell(folder, "noticed", cut=cut)
        counts = pester(link, cut, n_stale, folder / f"healed{cut}")
        tell(folder, "answers", cut=cut, **counts)
        link.close()


def act(link: Any, cut: int) -> None:
    """Begin a step, and let its act begin; it never ends."""
    link.ask(step(link, job=f"act{cut}", sequence=1, epoch=cut).replace(mark=f"cut{cut}"), 20.0)
    while True:
        event = link.event(0.1)
        if event is None:
            continue
        ack = Ack(job=event.job, store="s", epoch=cut, number=event.number, expires=link.expires(5.0))
        link.send(ack)
        if isinstance(event, Acted) and isinstance(event.body, ActIntended):
            return


def pester(link: Any, cut: int, n_stale: int, healed: Path) -> dict[str, int]:
    """Send commands in the outage, past every check of our own; return how they were answered."""
    socket, counts = link._socket, Counter[str]()
    for number in range(n_stale):
        command = step(link, job=f"late{cut}.{number}", sequence=2 + number, epoch=cut, expires=0.5)
        with contextlib.suppress(Exception):
            socket.send_multipart([f"late{number}".encode(), encode(command)], 1)
            counts["queued"] += 1
        time.sleep(0.01)
    wait_for(healed)
    until = time.monotonic() + 6.0
    while (left := until - time.monotonic()) > 0 and counts["queued"] > counts["refused"] + counts["accepted"]:
        if socket.poll(int(left * 1000)):
            number, _, data = socket.recv_multipart()
            counts[decode(data).kind] += number.startswith(b"late")
    return {"queued": counts["queued"], "refused": counts["refused"], "accepted": counts["accepted"]}


def be_runner(folder: Path, lease: float, n_trials: int) -> None:
    """Run a campaign to its end, whatever the weather."""
    with lab_at(folder, lease) as lab:
        campaign = hosted.campaign_on(lab, folder, on_failure=FailurePolicy(max_in_a_row=10**6))
        ended = campaign.run(trials=n_trials)
        tell(folder, "ended", status=ended.status, reason=ended.reason)


def tell(folder: Path, what: str, **fields: Any) -> None:
    with (folder / what).open("a") as file:
        file.write(json.dumps({"at": time.monotonic(), **fields}) + "\n")


def wait_for(path: Path, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(path)
        time.sleep(0.01)


# --- the play ---------------------------------------------------------------------------------------------------------

KINDS = ("both directions", "to the engine")


def cut_often(cable: Cable, folder: Path, lease: float, n_cuts: int, n_stale: int) -> Counter[str]:
    """Cut the line *n_cuts* times; print how long each end took, and return what went wrong."""
    station = started(STATION, "--be-station", str(folder), "--seconds", "3600")
    engine = started(
        ENGINE, "--be-engine", str(folder), "--lease", str(lease), "--cuts", str(n_cuts), "--stale", str(n_stale)
    )
    took: dict[tuple[str, str], list[float]] = {}
    try:
        for cut in range(1, n_cuts + 1):
            kind = KINDS[cut % 5 == 0]
            line_of(folder, "acting", cut)
            time.sleep(random.Random(cut).uniform(0.0, BEAT))
            n_stops, at = len(hosted.noted(folder / "stops")), time.monotonic()
            if kind == KINDS[0]:
                cable.up(is_up=False)
                at = time.monotonic()
            else:
                cable.weather.is_deaf = True
            took.setdefault((kind, "engine"), []).append(line_of(folder, "noticed", cut)["at"] - at)
            took.setdefault((kind, "station"), []).append(stop_after(folder, n_stops)["at"] - at)
            time.sleep(max(0.0, at + OUTAGE - time.monotonic()))
            cable.weather.is_deaf = False
            if kind == KINDS[0]:
                cable.up(is_up=True)
            (folder / f"healed{cut}").touch()
            line_of(folder, "answers", cut)
            if cut % 10 == 0:
                print(f"{cut} cuts", flush=True)
    finally:
        engine.wait(60)
        station.terminate()
        station.wait(60)
    return verdict(folder, took, lease)


def line_of(folder: Path, what: str, cut: int) -> dict[str, Any]:
    """Wait for what the engine tells of a cut."""
    deadline = time.monotonic() + 120.0
    while time.monotonic() < deadline:
        for line in hosted.noted(folder / what):
            if line["cut"] == cut:
                return dict(line)
        time.sleep(0.005)
    raise TimeoutError(f"{what} {cut}")


def stop_after(folder: Path, n: int) -> dict[str, Any]:
    """Wait until the station's devices have been stopped once more."""
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        if len(found := hosted.noted(folder / "stops")) > n:
            return dict(found[n])
        time.sleep(0.005)
    raise TimeoutError("nothing was stopped")


def verdict(folder: Path, took: dict[tuple[str, str], list[float]], lease: float) -> Counter[str]:
    """Print the figures; return what went wrong."""
    wrong: Counter[str] = Counter()
    for (kind, end), found in sorted(took.items()):
        n_leases = 2 if (kind, end) == (KINDS[1], "station") else 1
        limit = n_leases * (lease + lease * BEAT)
        n_late = sum(seconds > limit for seconds in found)
        wrong[f"{end} later than {limit:.2f} s"] += n_late
        print(
            f"cut {kind}: {end} noticed {len(found)} of {len(found)}, median {statistics.median(found):.2f} s, "
            f"longest {max(found):.2f} s, later than {limit:.2f} s: {n_late}"
        )
    answers = hosted.noted(folder / "answers")
    sums = {kind: sum(line[kind] for line in answers) for kind in ("queued", "refused", "accepted")}
    n_acts = len(hosted.noted(folder / "truth"))
    print(f"commands queued in the outages: {sums['queued']}, refused after them: {sums['refused']}")
    print(f"commands done after an outage: {sums['accepted']}; acts: {n_acts} in {len(answers)} cuts")
    wrong["stale commands done"] = sums["accepted"]
    wrong["acts too many"] = n_acts - len(answers)
    return wrong


def foul(cable: Cable, folder: Path, loss: float, n_trials: int) -> Counter[str]:
    """Run a campaign over a bad line; return what went wrong.

    A line that loses a fifth of all frames may be silent for a whole lease: an act is unknown then, and the campaign
    waits for a person. Where less is lost, it comes to its end.
    """
    lease = 5.0
    cable.weather = Weather(loss=loss, doubled=0.05, delay=0.02, jitter=0.05)
    station = started(STATION, "--be-station", str(folder), "--seconds", "0.02")
    engine = started(ENGINE, "--be-runner", str(folder), "--lease", str(lease), "--trials", str(n_trials))
    try:
        engine.wait(60 + 20 * n_trials)
    finally:
        station.terminate()
        station.wait(60)
        cable.weather = Weather()
    (ended,) = hosted.noted(folder / "ended")
    doses = Counter(line["trial"] for line in hosted.noted(folder / "truth"))
    outcomes = Counter(body.outcome for body in bodies(folder, ActEnded))
    states = Counter(trial.state.value for trial in view_of(folder).trials)
    print(f"{loss:.0%} lost, 5 % doubled, 20 to 70 ms, out of order: {ended['status']} {ended['reason']}")
    print(f"  trials {dict(states)}, acts {dict(outcomes)}, doses {sum(doses.values())}")
    return Counter(
        {
            "doses twice": sum(n > 1 for n in doses.values()),
            "done without a dose": max(0, outcomes["done"] - sum(doses.values())),
            "campaigns that did not end": int(ended["status"] != "finished" and not outcomes["unknown"]),
        }
    )


def play(options: argparse.Namespace) -> int:

    wrong: Counter[str] = Counter()
    cable = Cable()
    try:
        with tempfile.TemporaryDirectory(prefix="sdl-") as name:
            for part in ("cuts", *(f"foul {loss}" for loss in LOSSES)):
                folder = Path(name) / part
                (folder / "stations").mkdir(mode=0o700, parents=True)
                make_keys(folder / "keys", "cell")
                engine = make_keys(folder / "keys", "engine")
                AllowList(folder / "keys").write([Client("engine", frozenset(Role), engine.public)])
                if part == "cuts" and options.cuts:
                    wrong += cut_often(cable, folder, options.lease, options.cuts, options.stale)
                if part != "cuts" and options.trials:
                    wrong += foul(cable, folder, float(part.removeprefix("foul ")), options.trials)
    finally:
        cable.close()
    print(dict(+wrong) or "nothing went wrong")
    return int(bool(+wrong))


def main() -> int:
    """Run, print, and say with the exit code whether everything held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=50)
    parser.add_argument("--stale", type=int, default=60, help="commands in each outage")
    parser.add_argument("--trials", type=int, default=20, help="over the bad line")
    parser.add_argument("--lease", type=float, default=1.0, help="seconds")
    parser.add_argument("--seconds", type=float, default=0.0, help=argparse.SUPPRESS)
    for part in ("station", "engine", "runner"):
        parser.add_argument(f"--be-{part}", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--whole-frames", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.whole_frames:
        whole_frames(options.whole_frames)
    elif options.be_station:
        be_station(options.be_station, options.seconds)
    elif options.be_engine:
        be_engine(options.be_engine, options.lease, options.cuts, options.stale)
    elif options.be_runner:
        be_runner(options.be_runner, options.lease, options.trials)
    elif os.geteuid() != 0:
        print("network.py needs root, for network namespaces")
        return 2
    else:
        return play(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
