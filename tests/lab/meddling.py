"""What may lie between engine and station: a line that is cut, slow or reset, and one that repeats and shuffles."""

from __future__ import annotations

import random
import select
import socket
import threading
import time
from collections import deque
from typing import Any

import zmq


class Line:
    """A TCP line to *port* on this host, through a port of its own. What waits while it is cut comes through later."""

    def __init__(self, port: int) -> None:
        self.target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.is_cut = self.is_deaf = False
        self.delay = 0.0
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._outer: set[socket.socket] = set()
        self._late: deque[tuple[float, socket.socket, bytes]] = deque()
        self._is_over = False
        self._is_resetting = False
        self._n_turns = 0
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def cut(self, *, is_cut: bool = True) -> None:
        """Let nothing through from now on, or again."""
        self.is_cut = is_cut
        turn = self._n_turns
        while self._n_turns < turn + 2:
            time.sleep(0.002)

    def reset(self) -> None:
        """Break every connection; new ones may be made."""
        self._is_resetting = True
        while self._is_resetting:
            time.sleep(0.005)

    def close(self) -> None:
        self._is_over = True
        self._thread.join()

    def _work(self) -> None:
        while not self._is_over:
            self._n_turns += 1
            if self._is_resetting:
                self._drop(*self._pairs)
                self._is_resetting = False
            heard = [] if self.is_cut else [one for one in self._pairs if not (self.is_deaf and one not in self._outer)]
            ready, _, _ = select.select([self._listener, *heard], [], [], 0.01)
            for one in ready:
                if one is self._listener:
                    self._join()
                elif one in self._pairs:
                    self._pass(one)
            while self._late and self._late[0][0] <= time.monotonic():
                _, to, data = self._late.popleft()
                self._write(to, data)
        self._drop(*self._pairs)
        self._listener.close()

    def _join(self) -> None:
        outer, _ = self._listener.accept()
        try:
            inner = socket.create_connection(("127.0.0.1", self.target), timeout=5.0)
        except OSError:
            outer.close()
            return
        inner.settimeout(5.0)
        outer.settimeout(5.0)
        self._outer.add(outer)
        self._pairs |= {outer: inner, inner: outer}

    def _pass(self, one: socket.socket) -> None:
        try:
            data = one.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._drop(one)
        elif self.delay:
            self._late.append((time.monotonic() + self.delay, self._pairs[one], data))
        else:
            self._write(self._pairs[one], data)

    def _write(self, to: socket.socket, data: bytes) -> None:
        try:
            to.sendall(data)
        except OSError:
            self._drop(to)

    def _drop(self, *some: socket.socket) -> None:
        for one in some:
            other = self._pairs.pop(one, None)
            if other is not None:
                self._pairs.pop(other, None)
                self._outer -= {one, other}
                one.close()
                other.close()


class Meddler:
    """Passes messages on between engines and the socket file *target*; each twice, and out of order in a window."""

    def __init__(self, target: str, *, copies: int = 2, window: int = 8, seed: int = 0) -> None:
        self._target, self._copies, self._window = target, copies, window
        self._rng = random.Random(seed)
        self._context: zmq.Context[Any] = zmq.Context()
        self._front: Any = self._context.socket(zmq.ROUTER)
        self._front.setsockopt(zmq.LINGER, 0)
        self._front.setsockopt(zmq.ROUTER_HANDOVER, 1)
        self.point = f"tcp://127.0.0.1:{self._front.bind_to_random_port('tcp://127.0.0.1')}"
        self._backs: dict[bytes, Any] = {}
        self.n_passed = 0
        self._is_over = False
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def close(self) -> None:
        self._is_over = True
        self._thread.join()
        for each in (self._front, *self._backs.values()):
            each.close()
        self._context.term()

    def _work(self) -> None:
        while not self._is_over:
            poller = zmq.Poller()
            for each in (self._front, *self._backs.values()):
                poller.register(each, zmq.POLLIN)
            if not poller.poll(20):
                continue
            for identity, frames in self._shuffled(self._from_engines()):
                self._back(identity).send_multipart(frames)
            for identity, back in self._backs.items():
                for _, frames in self._shuffled([(identity, found) for found in _all_of(back, self._window)]):
                    self._front.send_multipart([identity, *frames])

    def _from_engines(self) -> list[tuple[bytes, list[bytes]]]:
        return [(identity, rest) for identity, *rest in _all_of(self._front, self._window)]

    def _shuffled(self, found: list[tuple[bytes, list[bytes]]]) -> list[tuple[bytes, list[bytes]]]:
        self.n_passed += len(found)
        copies = found * self._copies
        self._rng.shuffle(copies)
        return copies

    def _back(self, identity: bytes) -> Any:
        if identity not in self._backs:
            made: Any = self._context.socket(zmq.DEALER)
            made.setsockopt(zmq.LINGER, 0)
            made.setsockopt(zmq.ROUTING_ID, identity)
            made.connect(self._target)
            self._backs[identity] = made
        return self._backs[identity]


def _all_of(one: Any, most: int) -> list[list[bytes]]:
    """Return what has come, and what comes within a moment, *most* at most."""
    found: list[list[bytes]] = []
    while len(found) < most and one.poll(5):
        found.append(one.recv_multipart())
    return found
