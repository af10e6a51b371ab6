"""Wherever limits and interlocks are offered, the reader is told what they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = ("README.md", "docs/how-to/interlocks-and-limits.md", "docs/explanation/interlocks.md", "CHANGELOG.md")


@pytest.mark.parametrize("page", PAGES)
def test_it_is_said_that_this_is_no_safety_function(page: str) -> None:
    text = " ".join((ROOT / page).read_text(encoding="utf-8").lower().split())
    assert any(words in text for words in ("not a safety function", "no safety function"))


@pytest.mark.parametrize("page", PAGES[:3])
def test_it_is_said_what_is_needed_instead(page: str) -> None:
    text = " ".join((ROOT / page).read_text(encoding="utf-8").lower().split())
    assert "emergency stop" in text
    assert "wired" in text
