"""Lines over TCP, serial ports and recordings."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import socketserver
import termios
import threading
import tty
import warnings
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path

import pytest

from sdl.devices import (
    RecordingTransport,
    ReplayTransport,
    SendingTransport,
    SerialTransport,
    TcpTransport,
    Transport,
)
from sdl.errors import DeviceError, DeviceTimeout, TransportError
from sdl.simulators import SimulatedTransport


class Server:
    """A real TCP server whose answers a test chooses."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.answer: Callable[[str], bytes | None] = lambda line: line.upper().encode() + b"\n"
        self.delay_s = 0.0
        self.hangs_up = False
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, BrokenPipeError):
            while line := await reader.readline():
                self.heard.append(line.decode().strip())
                if self.hangs_up:
                    break
                await asyncio.sleep(self.delay_s)
                answer = self.answer(self.heard[-1])
                if answer is not None:
                    writer.write(answer)
                    await writer.drain()
        writer.close()


class Shouting:
    """An instrument below a simulated line."""

    def answer(self, line: str) -> str:
        return line.upper()


@contextlib.asynccontextmanager
async def server() -> AsyncGenerator[Server]:
    made = Server()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        listening.close()
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def tcp(made: Server, timeout_s: float = 2.0) -> AsyncGenerator[TcpTransport]:
    transport = TcpTransport("127.0.0.1", made.port, timeout_s=timeout_s)
    try:
        yield transport
    finally:
        await transport.close()


def test_tcp_carries_a_line_each_way() -> None:
    async def main() -> None:
        async with server() as made, tcp(made) as line:
            assert isinstance(line, Transport)
            assert await line.request("read:power?") == "READ:POWER?"
            assert line.name == f"tcp://127.0.0.1:{made.port}"

    asyncio.run(main())


def test_requests_at_the_same_time_get_their_own_answers() -> None:
    async def main() -> None:
        async with server() as made, tcp(made) as line:
            made.delay_s = 0.005
            answers = await asyncio.gather(*(line.request(f"q{i}") for i in range(10)))
            assert answers == [f"Q{i}" for i in range(10)]

    asyncio.run(main())


def test_a_line_that_broke_is_opened_again_and_nothing_is_sent_twice() -> None:
    async def main() -> None:
        async with server() as made, tcp(made) as line:
            made.hangs_up = True
            with pytest.raises(TransportError, match="'dose 1'"):
                await line.request("dose 1")
            assert made.heard == ["dose 1"]
            made.hangs_up = False
            assert await line.request("volume?") == "VOLUME?"
            assert made.heard == ["dose 1", "volume?"]

    asyncio.run(main())


def test_a_late_answer_is_not_taken_for_the_next_one() -> None:
    async def main() -> None:
        async with server() as made, tcp(made, timeout_s=0.05) as line:
            made.delay_s = 0.1
            with pytest.raises(DeviceTimeout, match=r"'slow\?' within 0.05 s"):
                await line.request("slow?")
            made.delay_s = 0.0
            await asyncio.sleep(0.12)
            assert await line.request("next?") == "NEXT?"

    asyncio.run(main())


def test_a_cancelled_wait_does_not_leave_its_answer_behind() -> None:
    async def main() -> None:
        async with server() as made, tcp(made) as line:
            made.delay_s = 0.05
            waiting = asyncio.create_task(line.request("first?"))
            await asyncio.sleep(0.02)
            waiting.cancel()
            assert await line.request("second?") == "SECOND?"
            with pytest.raises(asyncio.CancelledError):
                await waiting

    asyncio.run(main())


def test_bytes_that_are_no_text_are_the_devices_fault() -> None:
    async def main() -> None:
        async with server() as made, tcp(made) as line:
            made.answer = lambda _: b"\xff\xfe\n"
            with pytest.raises(DeviceError, match="which is no text"):
                await line.request("read?")

    asyncio.run(main())


def test_an_answer_without_end_breaks_the_line() -> None:
    async def main() -> None:
        async with server() as made, tcp(made) as line:
            made.answer = lambda _: b"x" * 200_000
            with pytest.raises(TransportError, match="no end"):
                await line.request("read?")

    asyncio.run(main())


def test_a_command_may_have_no_answer_and_an_answer_another_end() -> None:
    async def main() -> None:
        async with server() as made:
            line = TcpTransport("127.0.0.1", made.port, ends=("\x03", "*"), timeout_s=2.0)
            assert isinstance(line, SendingTransport)
            made.answer = lambda text: None if text == "GO A" else f"\x02{text}*".encode()
            await line.send("GO A")
            assert await line.request("CP") == "\x02CP"
            assert made.heard == ["GO A", "CP"]
            await line.close()

    asyncio.run(main())


def test_what_an_instrument_says_unasked_is_no_answer() -> None:
    async def main() -> None:
        async with server() as made, tcp(made) as line:
            made.answer = lambda text: f"{text.upper()}\nALARM 7\n".encode()
            assert await line.request("first?") == "FIRST?"
            await asyncio.sleep(0.02)
            assert await line.request("second?") == "SECOND?"

    asyncio.run(main())


class Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


@pytest.mark.parametrize("is_simulated", [False, True])
def test_a_line_goes_on_when_its_loop_has_died(is_simulated: bool) -> None:
    """A station whose loop died makes another one, and every driver must be stopped from there."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        made = TcpTransport("127.0.0.1", listening.server_address[1])
        line: Transport = SimulatedTransport(Shouting()) if is_simulated else made

        async def use(*messages: str) -> list[str]:
            return await asyncio.gather(*map(line.request, messages))

        async def die() -> None:
            await use("a", "b")  # the second had to wait, which is when a lock takes its loop
            hung = asyncio.create_task(use("c", "d"))
            await asyncio.sleep(0)
            hung.cancel()

        asyncio.run(die())
        with warnings.catch_warnings(action="ignore"):  # the connection of the loop that died is closed by nobody
            assert asyncio.run(use("e", "f", "g")) == ["E", "F", "G"]
            asyncio.run(line.close())
            gc.collect()
        listening.shutdown()


def test_nobody_at_the_other_side() -> None:
    async def main() -> None:
        async with server() as made:
            port = made.port
        line = TcpTransport("127.0.0.1", port)
        with pytest.raises(TransportError, match=f"127.0.0.1:{port}"):
            await line.open()

    asyncio.run(main())


def test_a_message_is_one_line() -> None:
    async def main() -> None:
        async with server() as made, tcp(made) as line:
            with pytest.raises(TransportError, match="one line"):
                await line.request("a\nb")
            assert made.heard == []

    asyncio.run(main())


@pytest.fixture
def pty_port() -> Iterator[str]:
    """A serial port with an instrument behind it that answers in capitals, and stays silent to ``silence``."""
    master, slave = os.openpty()
    tty.setraw(slave)

    def serve() -> None:
        buffer: bytes = b""
        with contextlib.suppress(OSError):
            while True:
                *lines, buffer = (buffer + os.read(master, 100)).split(b"\r")
                for line in lines:
                    if line == b"quit":
                        return
                    if line != b"silence":
                        os.write(master, line.upper() + b"\r")

    thread = threading.Thread(target=serve)
    thread.start()
    yield os.ttyname(slave)
    os.write(slave, b"quit\r")
    thread.join()
    os.close(slave)
    os.close(master)


def test_serial_carries_a_line_each_way(pty_port: str) -> None:
    async def main() -> None:
        line = SerialTransport(pty_port, 115200, terminator="\r", timeout_s=2)
        assert await line.request("idn?") == "IDN?"
        await line.close()
        assert await line.request("again?") == "AGAIN?"
        await line.close()

    asyncio.run(main())


def test_a_command_without_answer_and_an_answer_without_end_on_a_serial_port(pty_port: str) -> None:
    async def main() -> None:
        line = SerialTransport(pty_port, terminator="\r", timeout_s=10, largest=100)
        await line.send("silence")
        assert await line.request("in_pv_2") == "IN_PV_2"
        with pytest.raises(TransportError, match="no end within 100 bytes"):
            await line.request("x" * 200)
        assert await line.request("again?") == "AGAIN?"
        await line.close()

    asyncio.run(main())


def test_a_port_that_refuses_its_settings_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kernel says it, and an adapter that was pulled: no OSError."""

    def refuse(*_: object, **settings: object) -> None:
        assert (settings["bytesize"], settings["parity"], settings["stopbits"]) == (7, "E", 1)
        raise termios.error(22, "Invalid argument")

    monkeypatch.setattr("serial.Serial", refuse)
    with pytest.raises(TransportError, match=r"serial:///dev/ttyS99: the line broke at opening the line: .*Invalid"):
        asyncio.run(SerialTransport("/dev/ttyS99", frame="7E1").open())


def test_a_library_that_hangs_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the loop, nor the request that runs out of time, nor the next connection."""
    may_go_on = threading.Event()
    monkeypatch.setattr("sdl.devices.transport.GRACE_S", 0.05)

    class Hanging:
        in_waiting = 0

        def write(self, data: bytes) -> None:
            may_go_on.wait(60)

        def cancel_read(self) -> None: ...
        def reset_input_buffer(self) -> None: ...
        def close(self) -> None: ...

    async def main() -> None:
        monkeypatch.setattr("serial.Serial", lambda *_, **__: Hanging())
        line = SerialTransport("/dev/ttyS99", timeout_s=0.05)
        for _ in range(2):
            with pytest.raises(DeviceTimeout, match="'READ'"):
                await asyncio.wait_for(line.request("READ"), 30)
        may_go_on.set()
        await line.close()

    asyncio.run(main())


def test_a_silent_serial_instrument_times_out_and_the_line_works_afterwards(
    pty_port: str,
) -> None:
    async def main() -> None:
        line = SerialTransport(pty_port, 115200, terminator="\r", timeout_s=0.1)
        with pytest.raises(DeviceTimeout, match="silence"):
            await line.request("silence")
        assert await line.request("alive?") == "ALIVE?"
        await line.close()

    asyncio.run(main())


def test_a_serial_port_that_is_not_there() -> None:
    async def main() -> None:
        line = SerialTransport("/dev/no-such-port")
        with pytest.raises(TransportError, match="no-such-port"):
            await line.request("idn?")
        await line.close()

    asyncio.run(main())


def test_a_recording_plays_back_answers_and_errors(tmp_path: Path) -> None:
    path = tmp_path / "traffic.jsonl"

    async def main() -> None:
        async with server() as made, tcp(made, timeout_s=0.05) as line:
            recording = RecordingTransport(line, path)
            assert await recording.request("a") == "A"
            made.answer = lambda _: None
            with pytest.raises(DeviceTimeout) as recorded:
                await recording.request("b")
            await recording.close()
        replay = ReplayTransport(path)
        assert await replay.request("a") == "A"
        with pytest.raises(DeviceTimeout) as replayed:
            await replay.request("b")
        assert replayed.value.message == recorded.value.message
        assert replay.n_left == 0
        with pytest.raises(TransportError, match="has ended after 2 requests, got 'c'"):
            await replay.request("c")

    asyncio.run(main())
    first = json.loads(path.read_text().splitlines()[0])
    assert first["request"] == "a"
    assert first["response"] == "A"
    assert first["seconds"] > 0


def test_a_recording_keeps_what_was_sent_without_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "traffic.jsonl"

    async def main() -> None:
        async with server() as made, tcp(made) as line:
            recording = RecordingTransport(line, path)
            await recording.send("go")
            await recording.close()
        with pytest.raises(TransportError, match="'go' was sent without an answer"):
            await ReplayTransport(path).request("go")
        replay = ReplayTransport(path)
        await replay.send("go")
        assert replay.n_left == 0

    asyncio.run(main())


@pytest.mark.parametrize("line", ["not json", '{"response": "OK"}', '{"request": "a", "response": 5, "password": "x"}'])
def test_a_recording_that_is_none_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "traffic.jsonl"
    path.write_text('{"request": "a", "response": "A", "seconds": 0.01}\n' + line + "\n")
    with pytest.raises(TransportError, match=r"traffic.jsonl: line 2 is no recorded request"):
        ReplayTransport(path)


def test_a_replay_names_the_request_that_differs(tmp_path: Path) -> None:
    path = tmp_path / "traffic.jsonl"
    path.write_text('{"request": "SET:POWER 100", "response": "OK", "seconds": 0.01}\n')

    async def main() -> None:
        replay = ReplayTransport(path)
        with pytest.raises(TransportError, match=r"request 1 was 'SET:POWER 100', got 'SET:POWER 120'"):
            await replay.request("SET:POWER 120")
        assert replay.n_left == 1

    asyncio.run(main())
