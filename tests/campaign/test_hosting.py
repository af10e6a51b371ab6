"""Whoever asks something of a laboratory that ends is told so at once."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

import pytest
from toy import ToyLab

from sdl.campaign import hosting
from sdl.errors import CampaignError
from sdl.journal import MemoryJournal

NO_MORE = "runs no campaigns any more"


def running() -> tuple[hosting.Host, threading.Thread]:
    host = hosting.Host(ToyLab(), MemoryJournal())
    thread = threading.Thread(target=host.run, daemon=True)
    thread.start()
    return host, thread


def test_what_is_asked_during_the_last_turn_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    host, thread = running()
    is_closing, is_asked = threading.Event(), threading.Event()

    class Asked(Future[Any]):
        def result(self, timeout: float | None = None) -> Any:
            is_asked.set()  # it is in the mailbox
            return super().result(timeout)

    def close() -> None:
        host.close()
        is_closing.set()
        assert is_asked.wait(60)

    host.post(close)
    assert is_closing.wait(60)
    monkeypatch.setattr(hosting, "Future", Asked)
    with pytest.raises(CampaignError, match=NO_MORE):
        host.call(lambda: None, 5.0)
    thread.join(60)
    assert not thread.is_alive()


def test_what_is_asked_while_the_host_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    host, thread = running()

    class Late(Future[Any]):
        def __init__(self) -> None:  # the host still ran when it was looked at, and is gone before it is asked
            super().__init__()
            monkeypatch.undo()
            host.close()
            thread.join(60)

    monkeypatch.setattr(hosting, "Future", Late)
    with pytest.raises(CampaignError, match=NO_MORE):
        host.call(lambda: None, 5.0)
    assert not thread.is_alive()
