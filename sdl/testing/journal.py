"""What every journal must do, as a test class."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from sdl.errors import JournalCorrupt, JournalError
from sdl.journal.protocol import Journal
from sdl.journal.records import (
    Artifact,
    Body,
    CampaignOpened,
    Comment,
    Decision,
    DocumentEmitted,
    Entry,
    Event,
    Failure,
    FailureCategory,
    Observation,
    Prediction,
    RunnerUp,
    StepEnded,
    TrialCompleted,
    TrialFailed,
    TrialProposed,
    TrialStarted,
)
from sdl.problem import Continuous, Measurement, Minimize, Problem, SearchSpace

GENESIS = (0, "0" * 64)


class SteppingTime:
    """Times for tests: each question is a second later than the one before."""

    def __init__(self, start: float = 1_767_225_600.0) -> None:
        self.now = start

    def time(self) -> float:
        """Return seconds since 1970-01-01 UTC."""
        self.now += 1.0
        return self.now

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self.now - 1_767_225_600.0


def comment(text: str, campaign: str = "alpha", trial: int | None = None) -> Entry:
    """Return the shortest entry there is."""
    return Entry(Comment(text=text), campaign, trial)


def opened(campaign: str) -> Entry:
    """Return the first entry of a campaign."""
    problem = Problem(SearchSpace(x=Continuous(0, 1)), Minimize("y"))
    body = CampaignOpened(
        problem=problem, problem_digest=problem.digest, planner={"name": "random"}, lab={"name": "table"}, seed=1
    )
    return Entry(body, campaign)


def proposed(x: float = 0.25) -> TrialProposed:
    """Return a proposal with a full decision."""
    decision = Decision(
        planner="bayesian",
        version="0.1.0",
        seed=3,
        n_observed=12,
        n_pending=1,
        predicted={"y": Prediction(1.5, 0.25)},
        acquisition=-0.125,
        acquisition_name="log noisy expected improvement",
        expected_improvement=0.03,
        runners_up=(RunnerUp(values={"x": 0.5}, acquisition=-0.25, predicted={"y": Prediction(1.75, 0.5)}),),
        note="größte erwartete Verbesserung",  # what lies outside ASCII is kept as it is
    )
    return TrialProposed(values={"x": x}, decision=decision)


def bodies() -> tuple[Body, ...]:
    """Return bodies of several kinds, with every sort of field."""
    outcomes = {"y": Measurement(0.1 + 0.2, "ohm", standard_error=1e-300)}
    raw = Artifact(sha256="ab" * 32, size=3, name="raw.csv", media_type="text/csv")
    return (
        proposed(),
        TrialStarted(attempt=1),
        DocumentEmitted(name="start", document={"uid": "u", "nested": {"list": [1, 2.5, None, True, "\x00\u2028"]}}),
        StepEnded(
            step="s", station="bench", attempt=1, is_success=True, seconds=0.5, runs=("u",), returned={"big": 2**70}
        ),
        TrialCompleted(observation=Observation(outcomes=outcomes, runs=("u",)), cost=2.0),
        TrialFailed(failure=Failure(category=FailureCategory.DEVICE, reason="no answer", partial=outcomes, raw=raw)),
        Comment(text="said 'so'; \"twice\" \\ 🙂"),
    )


class JournalContract:
    """Subclass it, and give it a fixture ``journal`` that makes an empty journal that can be written.

    The journal shall take its times from :class:`SteppingTime`. The subclass closes it.
    """

    @pytest.fixture
    def journal(self) -> Iterator[Journal]:
        """Yield an empty journal, and close it."""
        raise NotImplementedError("give the subclass a fixture named journal")

    # --- appending ----------------------------------------------------------------------------------------------------

    def test_an_empty_journal_has_the_genesis_head(self, journal: Journal) -> None:
        assert journal.head == GENESIS
        assert list(journal.read()) == []
        assert list(journal.campaigns) == []

    def test_append_numbers_events_without_gaps(self, journal: Journal) -> None:
        first = journal.append(comment("one"))
        more = journal.append(comment("two"), comment("three", trial=7))
        assert [event.sequence for event in (*first, *more)] == [1, 2, 3]
        assert [event.trial for event in (*first, *more)] == [None, None, 7]

    def test_append_returns_what_is_read_back(self, journal: Journal) -> None:
        written = journal.append(*(Entry(body, "alpha", 1) for body in bodies()))
        found = list(journal.read())
        assert found == list(written)
        assert tuple(event.body for event in found) == bodies()
        assert [event.kind for event in found] == [body.kind for body in bodies()]

    def test_appending_nothing_changes_nothing(self, journal: Journal) -> None:
        journal.append(comment("one"))
        head = journal.head
        assert list(journal.append()) == []
        assert journal.head == head

    def test_the_envelope_says_who_and_when(self, journal: Journal) -> None:
        entry = Entry(body=Comment(text="checked the shutter"), campaign="alpha", trial=2, actor="M. Curie")
        first, second = (*journal.append(entry), *journal.append(comment("later")))
        assert (first.actor, second.actor) == ("M. Curie", "engine")
        assert first.time == datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)
        assert second.time > first.time
        assert second.monotonic > first.monotonic
        assert first.boot_id == second.boot_id != ""
        assert first.version != ""

    def test_time_can_be_taken_from_another_clock(self, journal: Journal) -> None:
        journal.keep_time(SteppingTime(0.0))
        (event,) = journal.append(comment("one"))
        assert event.time == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)

    def test_an_event_is_frozen(self, journal: Journal) -> None:
        (event,) = journal.append(comment("one"))
        with pytest.raises(AttributeError):
            event.trial = 3  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]

    def test_the_chain_can_be_recomputed_from_the_columns(self, journal: Journal) -> None:
        journal.append(*(Entry(body, "größe/é", 1) for body in bodies()))
        previous = GENESIS[1]
        for event in journal.read():
            columns = list(event[:9])
            text = previous + json.dumps(columns, separators=(",", ":"), ensure_ascii=False) + event.text
            assert event.previous_hash == previous
            assert event.hash == hashlib.sha256(text.encode()).hexdigest()
            previous = event.hash
        assert journal.head == (len(bodies()), previous)

    def test_text_that_cannot_be_encoded_is_refused_and_the_journal_goes_on(self, journal: Journal) -> None:
        with pytest.raises(JournalError, match="Unicode"):
            journal.append(comment("good"), comment("bad \ud800"))
        with pytest.raises(JournalError, match="Unicode"):
            journal.append(comment("good", campaign="bad \ud800"))
        assert journal.head == GENESIS
        assert journal.append(comment("good"))[0].sequence == 1

    def test_threads_append_at_once_and_batches_stay_together(self, journal: Journal) -> None:
        def work(thread: int) -> None:
            for i in range(10):
                journal.append(*(comment(f"{thread} {i} {part}", trial=thread) for part in range(3)))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        events = list(journal.read())
        assert [event.sequence for event in events] == list(range(1, 121))
        assert chained(events)
        for start in range(0, 120, 3):
            said = [_text(event).split() for event in events[start : start + 3]]
            assert [part for *_, part in said] == ["0", "1", "2"]
            assert len({(thread, i) for thread, i, _ in said}) == 1

    def test_what_is_decided_while_it_is_held_is_not_overtaken(self, journal: Journal) -> None:
        with ThreadPoolExecutor(1) as pool:
            with journal.hold():
                other = pool.submit(journal.append, comment("late"))
                before = journal.head
                assert [event.sequence for event in journal.read()] == []
                assert not wait([other], 0.02).done  # it has every chance
                (mine,) = journal.append(comment("mine"))
                assert mine.previous_hash == before[1]
            assert other.result(10.0)[0].sequence == 2

    def test_nothing_is_short_where_there_is_room(self, journal: Journal) -> None:
        assert journal.shortage == ""
        journal.append(comment("one"))
        assert journal.shortage == ""

    # --- reading ------------------------------------------------------------------------------------------------------

    def test_filters_go_together(self, journal: Journal) -> None:
        self._fill(journal)
        assert [e.sequence for e in journal.read(campaign="beta")] == [2, 5, 8, 11]
        assert [e.sequence for e in journal.read(trial=1)] == [1, 2, 3, 4, 5, 6]
        assert [e.sequence for e in journal.read(campaign="beta", trial=1)] == [2, 5]
        assert [e.sequence for e in journal.read(kinds={"comment"})] == [3, 6, 9, 12]
        assert [e.sequence for e in journal.read(kinds=("comment", "trial.started"))] == [1, 3, 4, 6, 7, 9, 10, 12]
        assert [e.sequence for e in journal.read(6, kinds=["document", "comment"])] == [8, 9, 11, 12]
        assert [e.sequence for e in journal.read(3, campaign="alpha", trial=1, kinds=("trial.started",))] == [4]
        assert list(journal.read(kinds=())) == []
        assert list(journal.read(campaign="gamma")) == []
        assert list(journal.read(12)) == []
        assert list(journal.read(99)) == []

    def _fill(self, journal: Journal) -> None:
        for trial in (1, 1, 2, 2):
            journal.append(
                Entry(TrialStarted(attempt=1), "alpha", trial),
                Entry(DocumentEmitted(name="event", document={"seq_num": 1}), "beta", trial),
                comment("so", "alpha", trial),
            )

    def test_long_journals_are_read_in_order(self, journal: Journal) -> None:
        n = 2500  # more than a page of any sensible size
        journal.append(*(comment(str(i), "alpha" if i % 3 else "beta") for i in range(n)))
        assert [event.sequence for event in journal.read()] == list(range(1, n + 1))
        assert [int(_text(event)) for event in journal.read(campaign="beta")] == list(range(0, n, 3))
        assert len(list(journal.read(2000))) == n - 2000

    def test_what_is_appended_while_reading_is_left_for_the_next_time(self, journal: Journal) -> None:
        journal.append(comment("one"), comment("two"))
        for event in journal.read():
            journal.append(comment(f"after {event.sequence}"))
        assert journal.head[0] == 4
        assert [event.sequence for event in journal.read(2)] == [3, 4]

    def test_a_reader_that_stops_early_holds_nothing_up(self, journal: Journal) -> None:
        journal.append(*(comment(str(i)) for i in range(1500)))
        reader = iter(journal.read())
        assert next(reader).sequence == 1
        assert journal.append(comment("more"))[0].sequence == 1501

    def test_reading_in_one_thread_while_another_appends(self, journal: Journal) -> None:
        stop = threading.Event()

        def append() -> None:
            while not stop.is_set():
                journal.append(comment("a"), comment("b"))

        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(append)
            try:
                for _ in range(20):
                    events = list(journal.read())
                    assert len(events) % 2 == 0
                    assert chained(events)
            finally:
                stop.set()
            future.result()

    def test_campaigns_are_named_in_the_order_in_which_they_were_opened(self, journal: Journal) -> None:
        journal.append(opened("zeta"), comment("hello", "zeta"))
        journal.append(opened("alpha"), opened("zeta"))
        assert list(journal.campaigns) == ["zeta", "alpha"]

    # --- artifacts ----------------------------------------------------------------------------------------------------

    def test_artifacts_come_back_byte_by_byte(self, journal: Journal) -> None:
        data = bytes(range(256)) * 100
        artifact = journal.put(data, name="image.tiff", media_type="image/tiff")
        assert artifact.sha256 == hashlib.sha256(data).hexdigest()
        assert (artifact.size, artifact.name, artifact.media_type) == (25600, "image.tiff", "image/tiff")
        assert journal.get(artifact) == data

    def test_equal_bytes_are_one_artifact_whatever_their_names(self, journal: Journal) -> None:
        first, second = journal.put(b"", name="../../etc/passwd"), journal.put(b"", name="b")
        assert first.sha256 == second.sha256
        assert (first.name, second.name) == ("../../etc/passwd", "b")
        assert journal.get(first) == journal.get(second) == b""

    def test_an_unknown_artifact_is_an_error(self, journal: Journal) -> None:
        with pytest.raises(JournalCorrupt, match=r"spectrum\.csv"):
            journal.get(Artifact(sha256="0" * 64, size=1, name="spectrum.csv"))

    # --- closing ------------------------------------------------------------------------------------------------------

    def test_a_closed_journal_says_so(self, journal: Journal) -> None:
        artifact = journal.put(b"x", name="x")
        journal.close()
        journal.close()
        with pytest.raises(JournalError, match="closed"):
            journal.append(comment("late"))
        with pytest.raises(JournalError, match="closed"):
            list(journal.read())
        with pytest.raises(JournalError, match="closed"):
            journal.put(b"y", name="y")
        with pytest.raises(JournalError, match="closed"):
            journal.get(artifact)


def chained(events: Sequence[Event]) -> bool:
    """Say whether *events* follow one another without a gap."""
    return all(
        after.sequence == before.sequence + 1 and after.previous_hash == before.hash
        for before, after in pairwise(events)
    )


def _text(event: Event) -> str:
    assert isinstance(event.body, Comment)
    return event.body.text
