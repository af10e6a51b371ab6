"""What a station lets pass, as a pure model: whatever comes twice, late, or out of order, acts at most once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sdl.errors import LabError
from sdl.lab.remote.book import Book, Keeper, Record
from sdl.lab.remote.gate import Command, Gate, Refusal
from sdl.lab.remote.setups import Place

LEASE = 10.0


class Pages:
    """A book in memory that outlives its gate, as a file outlives its process."""

    def __init__(self) -> None:
        self.pages: list[Record] = []

    def append(self, record: Record) -> None:
        self.pages.append(record)

    def records(self) -> Iterator[Record]:
        yield from list(self.pages)


def gate_of(pages: Keeper, *, boot: str = "a", store: str = "s", epoch: int = 1, now: float = 0.0) -> Gate:
    gate = Gate(pages, boot)
    gate.hello(store, epoch, LEASE, now)
    return gate


def command(*, boot: str = "a", store: str = "s", epoch: int = 1, expires: float = 5.0) -> Command:
    return Command(boot, store, epoch, expires)


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("start"), st.integers(0, 3), st.integers(1, 3), st.sampled_from("ab")),
        st.tuples(st.just("end"), st.integers(0, 3)),
        st.tuples(st.just("ask"), st.integers(0, 3)),
        st.tuples(st.just("kill")),
        st.tuples(st.just("hello"), st.integers(1, 3)),
        st.tuples(st.just("wait"), st.floats(0.0, 12.0)),
    ),
    max_size=40,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(MOVES)
@example([("start", 0, 1, "a"), ("start", 0, 1, "a")])
@example([("start", 0, 1, "a"), ("end", 0), ("start", 0, 1, "a")])
@example([("ask", 0), ("start", 0, 1, "a")])
@example([("start", 0, 1, "b"), ("ask", 0), ("start", 0, 1, "a")])
@example([("start", 0, 1, "a"), ("wait", 12.0), ("start", 1, 1, "a")])
def test_whatever_is_delivered_an_act_is_begun_once_and_never_after_it_was_said_that_it_was_not(
    moves: list[tuple[object, ...]],
) -> None:
    pages, now, boots = Pages(), 0.0, 0
    gate = gate_of(pages)
    begun: Counter[str] = Counter()
    proposed: set[str] = set()
    denied: set[str] = set()
    highest = 1
    for kind, *rest in moves:
        act = f"act{rest[0]}" if rest else ""
        match kind:
            case "start":
                epoch = int(str(rest[1]))
                told = command(boot=gate.boot if rest[2] == "a" else "old", epoch=epoch, expires=now + 5)
                with suppress(Refusal):
                    gate.propose(act)
                    proposed.add(act)
                    gate.start(act, told, now)
                    begun[act] += 1
                    assert epoch == highest
                    assert act not in denied
                    assert gate.holds(now)
            case "end":
                if gate.acts.get(act) is not None and gate.acts[act].is_ours:
                    gate.end(act, "done", "")
            case "ask":
                state = gate.query_or_cancel(act).state
                if state in {"cancelled", "missing"}:
                    denied.add(act)
                assert (state == "cancelled") == (act in proposed - set(begun))
                assert (state == "missing") == (act not in proposed)
            case "kill":
                boots += 1
                gate = Gate(pages, f"boot{boots}")
            case "hello":
                epoch = int(str(rest[0]))
                with suppress(Refusal):
                    gate.hello("s", epoch, LEASE, now)
                    assert epoch >= highest
                    highest = epoch
            case _:
                now += float(str(rest[0]))
                if gate.is_lost(now):
                    gate.lose("silence")
                    assert gate.latch
    assert max(begun.values(), default=0) <= 1


def test_a_step_that_comes_twice_or_out_of_its_order_is_not_begun() -> None:
    gate = gate_of(Pages())
    gate.admit("one", command(), 1, 0.0)
    gate.admit("three", command(), 3, 0.0)
    for job, sequence, code in (("one", 4, "seen"), ("two", 2, "order"), ("again", 3, "order")):
        with pytest.raises(Refusal) as refused:
            gate.admit(job, command(), sequence, 0.0)
        assert refused.value.code == code


@given(st.permutations(range(1, 9)))
def test_a_shuffled_window_of_steps_only_goes_forward(order: list[int]) -> None:
    gate = gate_of(Pages())
    begun: list[int] = []
    for sequence in order:
        with suppress(Refusal):
            gate.admit(f"job{sequence}", command(), sequence, 0.0)
            begun.append(sequence)
    assert begun == sorted(begun)
    assert begun[-1] == 8


@pytest.mark.parametrize(
    ("told", "now", "code"),
    [
        (command(boot="before"), 0.0, "boot"),
        (command(epoch=2), 0.0, "epoch"),
        (command(store="other"), 0.0, "store"),
        (command(expires=1.0), 1.5, "expired"),
        (command(expires=99.0), LEASE + 1, "lease"),
        (command(expires=float("nan")), 0.0, "expired"),
    ],
)
def test_a_command_that_is_not_of_now_and_here_is_refused(told: Command, now: float, code: str) -> None:
    gate = gate_of(Pages())
    with pytest.raises(Refusal) as refused:
        gate.start("act", told, now)
    assert refused.value.code == code
    assert "act" not in gate.acts


def test_a_lower_epoch_is_refused_after_a_restart_too() -> None:
    pages = Pages()
    gate_of(pages, epoch=7)
    gate = Gate(pages, "b")
    with pytest.raises(Refusal, match="epoch 6 is over"):
        gate.hello("s", 6, LEASE, 0.0)
    gate.hello("s", 8, LEASE, 0.0)


@pytest.mark.parametrize(("epoch", "session", "past"), [(7, "y", ""), (9, "y", ""), (9, "y", "y"), (9, "", "")])
def test_a_store_with_another_history_needs_a_person_however_high_its_epoch_is(
    epoch: int, session: str, past: str
) -> None:
    """A restored store gets as many events as the one that it takes the place of."""
    pages = Pages()
    Gate(pages, "a").hello("s", 7, LEASE, 0.0, session="x")
    gate = Gate(pages, "b")
    with pytest.raises(Refusal) as refused:
        gate.hello("s", epoch, LEASE, 0.0, session=session, past=past)
    assert refused.value.code == "history"
    gate.hello("s", 9, LEASE, 0.0, session="y", past="x")
    assert Gate(pages, "c").session == "y"
    gate.transfer("Kim", "restored from the backup of Monday")
    gate.hello("s", 8, LEASE, 0.0, session="z")


def test_another_store_needs_a_person() -> None:
    pages = Pages()
    gate = gate_of(pages)
    with pytest.raises(Refusal, match="belongs to store s"):
        gate.hello("other", 99, LEASE, 0.0)
    gate.transfer("Kim", "the old store is archived")
    gate.hello("other", 3, LEASE, 0.0)
    assert (Gate(pages, "b").store, Gate(pages, "b").epoch) == ("other", 3)


def test_a_person_who_takes_the_station_has_it_until_they_give_it_back() -> None:
    """In the next process too; and what they give back is latched."""
    pages = Pages()
    gate = gate_of(pages)
    gate.take("Kim", "a noise")
    assert not gate.beat("s", 1, 0.1)
    with pytest.raises(Refusal, match="latched: Kim has taken the station by hand: a noise"):
        gate.start("act", command(), 0.1)
    for after in (gate, Gate(pages, "b")):
        with pytest.raises(Refusal, match="Kim has taken the station by hand: a noise") as refused:
            after.hello("s", 2, LEASE, 0.2)
        assert refused.value.code == "local"
        with pytest.raises(Refusal, match="Kim has taken the station by hand: a noise"):
            after.take("Lee", "too")
    gate.give("Kim", "it was the pump")
    gate.hello("s", 2, LEASE, 0.3)
    with pytest.raises(Refusal, match="latched"):
        gate.admit("job", command(epoch=2), 1, 0.4)
    with pytest.raises(Refusal, match="nobody has taken"):
        gate.give("Kim", "again")


def test_after_a_restart_what_was_begun_is_not_known_and_what_was_ended_is() -> None:
    pages = Pages()
    gate = gate_of(pages)
    gate.start("begun", command(), 0.0)
    gate.start("ended", command(), 0.0)
    gate.end("ended", "failed", "it clogged")
    after = Gate(pages, "b")
    assert after.query_or_cancel("begun").state == "started"
    assert not after.query_or_cancel("begun").is_ours
    assert (after.query_or_cancel("ended").state, after.query_or_cancel("ended").reason) == ("failed", "it clogged")


def test_a_book_that_has_nothing_of_an_act_does_not_say_that_it_was_not_begun() -> None:
    """It may be a new one. The act is not begun any more all the same."""
    pages = Pages()
    gate = gate_of(pages)
    gate.propose("waits")
    gate.propose("begun")
    gate.start("begun", command(), 0.0)
    assert Gate(pages, "b").query_or_cancel("waits").state == "cancelled"
    lost = gate_of(Pages(), boot="b", epoch=2)
    for act in ("waits", "begun"):
        assert lost.query_or_cancel(act).state == "missing"
        with pytest.raises(Refusal, match="was missing before"):
            lost.propose(act)
        with pytest.raises(Refusal, match="was missing before"):
            lost.start(act, command(boot="b", epoch=2), 0.0)


def test_a_latch_outlives_the_process_and_only_a_person_opens_it() -> None:
    pages = Pages()
    gate = gate_of(pages)
    with pytest.raises(Refusal) as spent:
        gate.hello("s", 1, LEASE, LEASE + 1)
    assert spent.value.code == "lease"
    latch = gate.lose("silence")
    gate.hello("s", 1, LEASE, LEASE + 1)
    with pytest.raises(Refusal, match="latched: silence"):
        gate.start("act", command(expires=99.0), LEASE + 2)
    after = gate_of(pages, boot="b", epoch=2)
    assert after.latch == latch
    with pytest.raises(Refusal, match="latched: silence"):
        after.admit("job", command(boot="b", epoch=2), 1, 0.0)
    assert not after.rearm("another", "Kim", "looked")
    assert after.rearm(latch, "Kim", "looked")
    after.admit("job", command(boot="b", epoch=2), 1, 0.0)


@pytest.mark.parametrize("is_failing_before", [False, True])
def test_a_latch_that_the_book_cannot_take_holds_and_outlives_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_failing_before: bool
) -> None:
    path = tmp_path / "cell.book"
    gate = gate_of(book := Book(path))
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda number, data: write(number, data[: len(data) // 2]))
        if is_failing_before:
            with pytest.raises(LabError, match="the disk is full"):
                gate.admit("job", command(), 1, 0.0)
        with pytest.raises(LabError, match="the disk is full"):
            gate.lose("silence")
        assert gate.latched_because == "silence"
        with pytest.raises(Refusal, match="latched: silence"):
            gate.start("act", command(), 0.0)
    book.close()
    for _ in range(2):  # the next process has it, and the one after that, from the book itself
        book = Book(path)
        after = Gate(book, "b")
        assert (after.latch, after.latched_because) == (gate.latch, "silence")
        book.close()
    book = Book(path)
    assert Gate(book, "c").rearm(gate.latch, "Kim", "looked")
    book.close()
    book = Book(path)
    assert not Gate(book, "d").latch
    book.close()


def test_of_samples_that_are_treated_at_once_each_is_remembered() -> None:
    pages = Pages()
    gate_of(pages).admit("job1", command(), 1, 0.0, Place("s/c/1/1", "heat"), Place("s/c/2/1", "heat"))
    anew = gate_of(pages, boot="b", epoch=2)
    for number in (1, 2):
        with pytest.raises(Refusal, match="since step heat of this trial"):
            anew.admit(f"job2{number}", command(boot="b", epoch=2), 1, 0.0, Place(f"s/c/{number}/1", "measure"))


def test_what_a_step_has_set_up_is_lost_with_the_boot_and_by_a_latch_whichever_engine_asks() -> None:
    pages = Pages()
    gate_of(pages).admit("job1", command(), 1, 0.0, Place("s/c/1/1", "heat"))
    gate_of(pages, epoch=2).admit("job2", command(epoch=2), 1, 0.0, Place("s/c/1/1", "stir"))  # the same boot
    anew = gate_of(pages, boot="b", epoch=3)
    told = command(boot="b", epoch=3)
    with pytest.raises(Refusal, match="since step heat of this trial") as refused:
        anew.admit("job3", told, 1, 0.0, Place("s/c/1/1", "measure"))
    assert refused.value.code == "undone"
    with pytest.raises(Refusal, match="since step heat of this trial"):  # one of those that are treated at once
        anew.admit("job3", told, 1, 0.0, Place("s/c/7/1", "measure"), Place("s/c/1/1", "measure"))
    anew.admit("job4", told, 1, 0.0, Place("s/c/1/1", "measure", goes_on=True))
    anew.admit("job5", told, 2, 0.0, Place("s/c/1/2", "heat"))  # the next attempt begins at the beginning
    anew.admit("job6", told, 3, 0.0, Place("s/c/1/2", "measure"))
    anew.rearm(anew.close("silence"), "Kim", "looked")
    for gate in (anew, gate_of(pages, boot="b", epoch=3)):
        with pytest.raises(Refusal, match="since step heat of this trial"):
            gate.admit("job7", told, 9, 0.0, Place("s/c/1/2", "measure"))
        gate.admit(f"job8{gate is anew}", told, 10, 0.0, Place("s/c/2/1", "heat"))
        assert not gate.latch


def test_a_beat_that_comes_after_the_lease_does_not_bring_it_back() -> None:
    gate = gate_of(Pages())
    assert gate.beat("s", 1, LEASE - 1)
    assert gate.holds(LEASE + 5)
    assert not gate.beat("s", 1, 3 * LEASE)
    assert gate.is_lost(3 * LEASE)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 200))
def test_a_book_that_a_crash_cut_off_has_everything_that_was_synced(cut: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "book"
        book = Book(path)
        sizes: list[int] = []
        for number in range(5):
            book.append({"kind": "job", "job": str(number)})
            sizes.append(path.stat().st_size)
        book.close()
        kept = max(0, sizes[-1] - cut)
        path.write_bytes(path.read_bytes()[:kept])
        again = Book(path)
        assert len(list(again.records())) == sum(size <= kept for size in sizes)
        again.append({"kind": "job", "job": "after"})
        again.close()
        last = Book(path)
        assert [record["job"] for record in last.records()][-1] == "after"
        last.close()


def test_a_book_that_was_changed_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "book"
    book = Book(path)
    for number in range(3):
        book.append({"kind": "job", "job": str(number)})
    book.close()
    data = bytearray(path.read_bytes())
    data[15] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(LabError, match="line 1, is not what was written"):
        Book(path)
