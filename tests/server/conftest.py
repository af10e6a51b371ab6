"""A laboratory that is served, and people who ask it, without a network between them."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from asking import PEOPLE, Asking, served


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Generator[Asking]:
    with served(tmp_path_factory.mktemp("server") / "server", PEOPLE) as found:
        found.lab_is_warm()
        yield found


@pytest.fixture
def fresh(tmp_path: Path) -> Generator[Asking]:
    """A laboratory of its own, which runs one campaign at a time."""
    with served(tmp_path / "server", PEOPLE, at_once=1) as found:
        yield found
