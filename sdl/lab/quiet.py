"""A terminal without bluesky's own words in it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, TextIO, cast

_ONE_AT_A_TIME = threading.Lock()


class _Filter:
    """Passes everything on but the line that bluesky prints when it aborts."""

    def __init__(self, stream: TextIO, thread: threading.Thread | None) -> None:
        self._stream = stream
        self._thread = thread
        self._is_skipping = False

    def write(self, text: str) -> int:
        if threading.current_thread() is self._thread:
            is_newline_after, self._is_skipping = self._is_skipping and text == "\n", text.startswith("Aborting: ")
            if self._is_skipping or is_newline_after:
                return len(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def muted(thread: threading.Thread | None) -> Generator[None]:
    """Keep what bluesky prints on *thread* about an abort off the terminal; other output goes through."""
    with _ONE_AT_A_TIME:
        stream = sys.stdout
        mute = cast("TextIO", _Filter(stream, thread))
        sys.stdout = mute
        try:
            yield
        finally:
            if sys.stdout is mute:
                sys.stdout = stream
