"""Every toy laboratory is closed when its test ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from toy import ToyLab


@pytest.fixture(autouse=True)
def closed_labs() -> Iterator[None]:
    """Close the laboratories that a test made."""
    ToyLab.made.clear()
    yield
    while ToyLab.made:
        ToyLab.made.pop().close()
