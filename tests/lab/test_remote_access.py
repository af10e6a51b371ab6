"""Who may say what to a station on a network: keys, roles, and what strangers can do to it: nothing."""

from __future__ import annotations

import ast
import os
import pickle
import random
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

import hosted
import pytest
import zmq
from guests import GUESTS, Inn, say

from sdl.errors import LabError
from sdl.lab.remote import host, remote, server, sockets
from sdl.lab.remote.access import NEEDED, AllowList, Role, ServerKeys
from sdl.lab.remote.keys import ClientKeys, key_pair, make_keys
from sdl.lab.remote.link import Link, Session, StationLost
from sdl.lab.remote.messages import (
    MAX_MESSAGE,
    Abort,
    Ack,
    Ask,
    Beat,
    Bye,
    Code,
    Give,
    Hello,
    Hold,
    Look,
    Message,
    Probe,
    Rearm,
    Refused,
    Run,
    Seen,
    Take,
    Transfer,
    decode,
    encode,
)
from sdl.lab.remote.sockets import bound, check_point, two_ports
from sdl.problem.value import Value

EVERY_KIND: tuple[type[Value], ...] = get_args(get_args(Message)[0])
HALF_OPEN_MS = 400
WHO: dict[str, Any] = {"store": "s", "epoch": 1}
SAMPLES: tuple[Value, ...] = (
    Look(),
    Hello(station="elsewhere", lease=1.0, **WHO),  # refused for another reason, where the role would do
    Run(
        job="j",
        boot="",
        sequence=1,
        expires=0.0,
        plan="",
        settings={},
        md={},
        timeout=None,
        n_acts_before=0,
        mark="m",
        **WHO,
    ),
    Hold(boot="", expires=0.0, campaign="c", step="s", trials=(), goes_on=False, **WHO),
    Ack(job="j", number=1, expires=0.0, **WHO),
    Ask(campaign="c", act="a", mark="m", **WHO),
    Probe(record={}, **WHO),
    Bye(**WHO),
    Beat(boot="", **WHO),
    Abort(reason="enough", **WHO),
    Rearm(latch="l", by="Kim", because="looked", **WHO),
    Take(by="", because=""),
    Give(by="", because=""),
    Transfer(by="", because=""),
)


@pytest.fixture(scope="module")
def inn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inn]:
    before = sockets.HANDSHAKE_MS
    sockets.HANDSHAKE_MS = HALF_OPEN_MS
    made = Inn(tmp_path_factory.mktemp("inn"))
    sockets.HANDSHAKE_MS = before
    yield made
    made.close()


def serves(inn: Inn) -> bool:
    return isinstance(inn.say("reader", Look()), Seen)


# --- keys -------------------------------------------------------------------------------------------------------------


def test_a_secret_is_its_owners_and_is_shown_to_nobody(tmp_path: Path) -> None:
    pair = make_keys(tmp_path / "keys", "cell")
    path = tmp_path / "keys" / "cell.secret"
    assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert key_pair(tmp_path / "keys", "cell") == pair
    shown = repr(pair) + repr(ClientKeys(pair, pair.public)) + str(ServerKeys(pair, AllowList(tmp_path)))
    assert pair.secret.decode() not in shown
    with pytest.raises(LabError, match="is there already"):
        make_keys(tmp_path / "keys", "cell")
    path.chmod(0o640)
    with pytest.raises(LabError, match="others can read the secret"):
        key_pair(tmp_path / "keys", "cell")
    path.chmod(0o600)
    path.write_text("no key\n")
    with pytest.raises(LabError, match=r"cell.secret has no key \(one line of 40 signs"):
        key_pair(tmp_path / "keys", "cell")
    for name in ("../cell", "", ".cell", "a/b"):
        with pytest.raises(LabError, match="cannot be the name of a key"):
            make_keys(tmp_path / "keys", name)
    (tmp_path / "keys").chmod(0o777)
    with pytest.raises(LabError, match="can be written by others"):
        make_keys(tmp_path / "keys", "other")


@pytest.mark.parametrize("point", ["tcp://0.0.0.0:5555", "tcp://*:5555", "tcp://192.0.2.1:5555", "tcp://eth0:5555"])
def test_without_keys_nothing_is_bound_off_this_host(point: str) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with pytest.raises(LabError, match="without keys: who reaches it would command it"):
        bound(context, point)
    context.term()


def test_a_socket_that_is_open_all_the_same_is_not_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the socket that is looked at, and not what it was meant to be."""
    make_keys(tmp_path, "cell")
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    monkeypatch.setattr(zmq.Socket, "setsockopt", _without_curve(zmq.Socket.setsockopt))
    with pytest.raises(LabError, match="would be open at"):
        bound(context, "tcp://0.0.0.0:0", ServerKeys(key_pair(tmp_path, "cell"), AllowList(tmp_path)))
    context.term()


def _without_curve(whole: Any) -> Any:
    def setsockopt(one: Any, option: int, value: Any) -> None:
        if option not in {zmq.CURVE_SERVER, zmq.CURVE_SECRETKEY}:
            whole(one, option, value)

    return setsockopt


def test_every_socket_is_made_where_keys_are_asked_for() -> None:
    """Nothing else of the stations' code binds or connects one."""
    folder = Path(sockets.__file__).parent
    for path in sorted(folder.glob("*.py")):
        nodes = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        calls = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        assert path.name == "sockets.py" or not calls & {"bind", "bind_to_random_port", "socket"}, path


def test_what_is_no_address_is_refused() -> None:
    for point in ("tcp://host", "tcp://ho st:1", "udp://h:1", "tcp://h:x", "tcp://h:1@evil", "inproc://x"):
        with pytest.raises(LabError, match="a station cannot be at"):
            check_point(point, is_keyed=True)
    assert two_ports("tcp://10.0.0.1:5555") == ("tcp://10.0.0.1:5555", "tcp://10.0.0.1:5556")
    assert two_ports("tcp://[::1]:0") == ("tcp://[::1]:0", "tcp://[::1]:0")
    with pytest.raises(LabError, match="PORT and the next one"):
        two_ports("tcp://10.0.0.1:65535")


def test_another_host_needs_keys_and_the_stations_own(tmp_path: Path) -> None:
    at = {"cell": "tcp://192.0.2.1:5555"}
    with hosted.HostedLab(str(tmp_path)) as lab:
        with pytest.raises(LabError, match="cell on other hosts cannot be reached without keys"):
            host(lab, "hosted:HostedLab", at=at)
        with pytest.raises(LabError, match=r"there is no .*engine.secret \(sdl keys make"):
            host(lab, "hosted:HostedLab", at=at, keys=tmp_path / "keys")
        make_keys(tmp_path / "keys", "engine")
        with pytest.raises(LabError, match=r"there is no .*cell.public \(copy it from"):
            host(lab, "hosted:HostedLab", at=at, keys=tmp_path / "keys")
    make_keys(tmp_path / "keys", "cell")
    with remote("hosted:HostedLab", {"folder": str(tmp_path)}, at=at, keys=tmp_path / "keys") as away:
        assert "tcp" not in str(away.describe())


# --- who comes in -----------------------------------------------------------------------------------------------------


def test_who_is_on_the_list_is_known_by_name(inn: Inn) -> None:
    for name, roles in GUESTS.items():
        if "read" in roles:
            seen = inn.say(name, Look())
            assert (seen.client, set(seen.roles)) == (name, set(roles))


@pytest.mark.parametrize("channel", [0, 1])
@pytest.mark.parametrize("who", ["a stranger", "nobody in particular", "one who expects another station"])
def test_who_is_not_on_the_list_gets_no_word_in(inn: Inn, channel: int, who: str) -> None:
    point = f"tcp://127.0.0.1:{inn.ports[channel]}"
    keys = {
        "a stranger": ClientKeys(inn.pairs["stranger"], inn.pairs["cell"].public),
        "nobody in particular": None,
        "one who expects another station": ClientKeys(inn.pairs["engine"], inn.pairs["stranger"].public),
    }[who]
    message = Look() if channel == 0 else Beat(boot="", **WHO)
    assert say(point, message, keys, seconds=0.5) is None
    assert serves(inn)


@pytest.mark.parametrize(
    ("name", "why"), [("stranger", "it does not let in this key"), ("engine", "has not the key that the station must")]
)
def test_an_engine_is_told_why_it_does_not_get_in(inn: Inn, name: str, why: str) -> None:
    address = inn.address(name)
    if name == "engine":
        keys = ClientKeys(inn.pairs["engine"], inn.pairs["stranger"].public)
        address = type(address)(address.work, address.pulse, keys=keys)
    link = Link("cell", address, Session("s", 1, 5.0), lambda: True, time.monotonic)
    with pytest.raises(StationLost, match=why):
        link.open(1.0)
    link.close()


def test_who_is_taken_off_the_list_is_out_at_once(inn: Inn) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    address = inn.address("reader")
    with closing(sockets.connected(context, address.work, address.keys)) as line:
        assert isinstance(_answer(line), Seen)
        inn.allow({name: roles for name, roles in GUESTS.items() if name != "reader"})
        deadline = time.monotonic() + 20.0
        while not (isinstance(found := _answer(line), Refused) and found.code == "role"):
            assert time.monotonic() < deadline
        assert inn.say("reader", Look(), seconds=0.5) is None
        (inn.keys / "allowed").write_text("engine everything x\n")
        assert inn.say("engine", Look(), seconds=0.5) is None  # a list that cannot be read allows nobody
        inn.allow(GUESTS)
        assert isinstance(inn.say("reader", Look()), Seen)
    context.term()


def _answer(line: zmq.Socket[bytes]) -> Any:
    line.poll(20_000, zmq.POLLOUT)
    line.send_multipart([b"1", encode(Look())])
    assert line.poll(20_000)
    return decode(line.recv_multipart()[-1])


# --- roles ------------------------------------------------------------------------------------------------------------


def test_every_kind_of_message_has_a_role_or_is_the_stations_own() -> None:
    """A new kind that nobody has thought about fails here, and is refused by the station."""
    tree = ast.parse(Path(server.__file__).read_text())
    handled = {
        node.id
        for case in ast.walk(tree)
        if isinstance(case, ast.MatchClass)
        for node in ast.walk(case.cls)
        if isinstance(node, ast.Name)
    } | {"Beat", "Abort"}  # these two come by the other channel
    kinds = {kind.__name__ for kind in EVERY_KIND}
    replies = {"Welcome", "Refused", "Accepted", "Documented", "Acted", "Finished", "Answer", "Found", "Pulse", "Seen"}
    assert {kind.__name__ for kind in NEEDED} == kinds - replies
    assert handled >= kinds - replies
    assert {type(sample) for sample in SAMPLES} == set(NEEDED)


@pytest.mark.parametrize("name", [name for name in GUESTS if name != "engine"])
def test_what_a_role_does_not_include_is_refused(inn: Inn, name: str) -> None:
    (role,) = map(Role, GUESTS[name])
    for sample in SAMPLES:
        if isinstance(sample, Ack) and role is Role.OPERATE:
            continue  # it has no answer
        found = inn.say(name, sample)
        is_lacking = isinstance(found, Refused) and found.code == "role"
        assert is_lacking == (NEEDED[type(sample)] is not role), sample
    assert not hosted.noted(inn.folder / "truth")


def test_the_reference_has_every_message_and_every_code() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "reference" / "stations.md").read_text(encoding="utf-8")
    for kind in EVERY_KIND:
        name = kind.model_fields["kind"].default
        assert f"`{name}`" in page, f"docs/reference/stations.md has no {name}"
        role = NEEDED.get(kind)
        row = next(line for line in page.splitlines() if f"`{name}`" in line)
        assert role is None or f"| {role} |" in row, f"{name} needs {role}"
    assert all(f"`{code}`" in page for code in get_args(Code))


def test_a_reader_can_neither_keep_an_engine_alive_nor_stop_it(inn: Inn) -> None:
    point = inn.server.points[1]
    for name, is_heard in (("reader", False), ("operator", True)):
        keys = inn.address(name).keys
        assert (say(point, Beat(boot="", **WHO), keys, seconds=20.0 if is_heard else 0.5) is not None) == is_heard
    assert not hosted.noted(inn.folder / "stops")


def test_over_a_socket_file_the_owner_of_the_folder_has_every_role(inn: Inn) -> None:
    address = sockets.Address.under(inn.folder / "stations", "cell")
    assert say(address.work, Look(), None).roles == tuple(sorted(Role))


# --- what strangers try -----------------------------------------------------------------------------------------------


def test_random_bytes_half_open_lines_and_probes_do_no_harm(inn: Inn) -> None:
    rng = random.Random(1)
    probes = [
        b"GET / HTTP/1.0\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"SSH-2.0-x\r\n",
        b"\xff" + bytes(8) + b"\x7f\x03\x00NULL",
    ]
    probes += [rng.randbytes(rng.randrange(1, 400)) for _ in range(20)]
    silent = [socket.create_connection(("127.0.0.1", port), timeout=20) for port in inn.ports for _ in range(50)]
    for probe in probes:
        with socket.create_connection(("127.0.0.1", rng.choice(inn.ports)), timeout=20) as line:
            line.sendall(probe)
    assert serves(inn)
    for line in silent:  # those who say nothing are sent away
        with line:
            while line.recv(4096):
                pass
    assert serves(inn)


def test_a_message_that_is_too_long_cuts_only_its_own_line(inn: Inn) -> None:
    keys = inn.address("operator").keys
    assert say(inn.server.points[0], bytes(MAX_MESSAGE + 1), keys, seconds=1.0) is None
    assert serves(inn)


class Trap:
    """What leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def test_a_pickle_runs_nothing(inn: Inn, tmp_path: Path) -> None:
    """By one who may do everything else, at both channels; not even where the answer never comes."""
    trap = pickle.dumps(Trap(tmp_path / "mark"))
    assert trap[:1] == b"\x80"
    for point in inn.server.points:
        say(point, trap, inn.address("engine").keys, seconds=1.0)
    assert serves(inn)
    assert not (tmp_path / "mark").exists()
    pickle.loads(trap)
    assert (tmp_path / "mark").exists()  # the trap would have worked


@pytest.mark.parametrize(
    "data", [b"\x80\x04\x95\x0b.", b"\x81\xa4kind\xa5shell", b"\x91" * 100_000, b"\xdf\xff\xff\xff\xff", b""]
)
def test_what_is_no_message_is_refused_as_such(inn: Inn, data: bytes) -> None:
    found = say(inn.server.points[0], data, inn.address("operator").keys)
    assert (found.kind, found.code) == ("refused", "malformed")


def test_no_secret_is_in_what_is_written_or_in_any_argument(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Of a campaign over a network: store, books, log, output, and the command lines of all processes."""
    made = Inn(tmp_path)
    try:
        with made.lab() as lab:
            assert hosted.campaign_on(lab, tmp_path).run(trials=1).status == "finished"
        lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if os.access(path, os.R_OK)]
    finally:
        made.close()
    out, err = capfd.readouterr()
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".secret"]
    everything = b"\n".join([*files, *lines, out.encode(), err.encode()])
    assert made.pairs["engine"].public in everything  # it is looked for as it would be found
    for pair in made.pairs.values():
        assert pair.secret not in everything
