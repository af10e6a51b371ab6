"""Garbage and echoes at a station on a network: strangers.py [--garbage N] [--replays N] [--half-open N] [--seed N].

``--garbage``: messages that are random, or real ones with bytes or fields changed, by a client who may do everything.
``--replays``: the messages of a whole campaign, word for word, in its epoch and in later ones, again and again, by the
same client. ``--half-open``: connections that say nothing. After all of them the station must still serve, and must
have done nothing that the campaign did not do.
"""

from __future__ import annotations

import argparse
import logging
import random
import resource
import socket
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "lab"))

import hosted  # pyright: ignore[reportMissingImports] # beside the tests, whose folder is added above
import zmq
from guests import Inn  # pyright: ignore[reportMissingImports] # as above

from sdl.lab.remote.link import Link
from sdl.lab.remote.messages import Look, Seen, decode, encode
from sdl.lab.remote.sockets import connected

BURST = 20
"""Messages that are on their way at once."""


def recorded(inn: Inn, n_trials: int) -> list[Any]:
    """Run a campaign; return what its engine said."""
    said: list[Any] = []
    send = Link.send

    def noting(link: Link, message: Any) -> bytes:
        said.append(message)
        return send(link, message)

    Link.send = noting  # type: ignore[method-assign, assignment] # until the campaign is over
    try:
        with inn.lab() as lab:
            assert hosted.campaign_on(lab, inn.folder).run(trials=n_trials).status == "finished"
    finally:
        Link.send = send  # type: ignore[method-assign] # as it was
    return said


def spoilt(data: bytes, rng: random.Random) -> bytes:
    """Return a message with something wrong in it, or no message at all."""
    match rng.randrange(5):
        case 0:
            return rng.randbytes(rng.randrange(400))
        case 1:
            return data[: rng.randrange(len(data))]
        case 2:
            return data + rng.randbytes(rng.randrange(1, 50))
        case 3:
            return bytes([0x91]) * rng.randrange(1, 3000) + data
        case _:
            made = bytearray(data)
            for _ in range(rng.randrange(1, 6)):
                made[rng.randrange(len(made))] = rng.randrange(256)
            return bytes(made)


def said_to(inn: Inn, messages: list[bytes]) -> Counter[str]:
    """Say all of them on one connection, and count the answers by kind and code."""
    found: Counter[str] = Counter()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    address = inn.address("all")
    line = connected(context, address.work, address.keys)
    for first in range(0, len(messages), BURST):
        burst = messages[first : first + BURST]
        for data in burst:
            assert line.poll(20_000, zmq.POLLOUT), "the station takes nothing any more"
            line.send_multipart([b"1", data])
        line.send_multipart([b"look", encode(Look())])
        while True:
            assert line.poll(20_000), "the station does not answer any more"
            number, _, data = line.recv_multipart()
            answer = decode(data)
            if number == b"look":
                assert isinstance(answer, Seen)
                break
            found[f"{answer.kind} {getattr(answer, 'code', '')}".strip()] += 1
    line.close()
    context.term()
    return found


def state(inn: Inn) -> tuple[Any, ...]:
    """Return what the station has done: doses, steps and acts in its book."""
    server: Any = inn.server
    return len(hosted.noted(inn.folder / "truth")), frozenset(server._gate.jobs), dict(server._gate.acts)


def half_open(inn: Inn, n: int) -> float:
    """Hold *n* connections that say nothing; return the seconds until a guest is served beside them."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (4 * n + 1000, max(4 * n + 1000, 4096)))
    silent = [socket.create_connection(("127.0.0.1", inn.ports[0]), timeout=20) for _ in range(n)]
    began = time.monotonic()
    assert isinstance(inn.say("reader", Look()), Seen)
    took = time.monotonic() - began
    for line in silent:
        line.close()
    return took


def run(options: argparse.Namespace, folder: Path) -> int:
    """Do all of it; return what went wrong."""
    rng = random.Random(options.seed)
    inn = Inn(folder)
    inn.pairs["all"] = inn.pairs["stranger"]
    inn.allow({"engine": ("operate",), "reader": ("read",), "all": ("read", "operate", "approve")})
    try:
        said = recorded(inn, 3)
        before = state(inn)
        print(f"served in {half_open(inn, options.half_open):.2f} s beside {options.half_open} half-open connections")
        whole = [encode(message) for message in said]
        garbage = [spoilt(rng.choice(whole), rng) for _ in range(options.garbage)]
        print(f"garbage: {len(garbage)} messages, answers {dict(said_to(inn, garbage))}")
        again = [rng.choice(said) for _ in range(options.replays)]
        last = max(message.epoch for message in said)
        again = [encode(message.replace(epoch=rng.choice((message.epoch, last, last + 1)))) for message in again]
        print(f"replays: {len(again)} messages, answers {dict(said_to(inn, again))}")
        after = state(inn)
    finally:
        inn.close()
    n_new = after[0] - before[0]
    changed = [act for act in after[2] if before[2].get(act) != after[2][act]]
    print(f"doses: {before[0]} by the campaign, {n_new} by strangers; steps begun: {len(after[1] - before[1])} more")
    print(f"acts in the book that changed: {len(changed)}")
    return int(n_new + len(after[1] - before[1]))


def main() -> int:
    """Run, print, and say with the exit code whether everything held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--garbage", type=int, default=10_000)
    parser.add_argument("--replays", type=int, default=10_000)
    parser.add_argument("--half-open", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="sdl-") as name:
        return int(bool(run(options, Path(name))))


if __name__ == "__main__":
    sys.exit(main())
