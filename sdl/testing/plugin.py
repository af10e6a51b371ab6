"""The pytest plugin of sdl: fixtures ``virtual_clock``, ``lab`` and ``faults``, and the marker ``seeded_faults``.

It is loaded with every run of pytest where sdl is installed, so it imports nothing of sdl before a test asks for it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sdl.lab import Lab, VirtualClock
    from sdl.testing.seeded import Faults

MARKER = "seeded_faults"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", f"{MARKER}(n): run the test under n different faults; it asks for 'faults'")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that has the marker once for each seed."""
    marker = metafunc.definition.get_closest_marker(MARKER)
    if marker is not None and "faults" in metafunc.fixturenames:
        n = int(marker.args[0]) if marker.args else 10
        metafunc.parametrize("faults", range(n), indirect=True, ids=lambda seed: f"seed{seed}")


@pytest.fixture
def virtual_clock() -> VirtualClock:
    """Return a clock whose time jumps to the next timer: hours pass in no time."""
    from sdl.lab import VirtualClock  # noqa: PLC0415 # only for those who ask

    return VirtualClock()


@pytest.fixture
def lab(virtual_clock: VirtualClock) -> Iterator[Lab]:
    """Yield a simulated sputtering laboratory in virtual time, and close it; override it with your own."""
    # The engine knows no simulator; a user's tests do, and this is for them.
    make = importlib.import_module("sdl.simulators").ThinFilmLab
    with make(seed=0, clock=virtual_clock) as made:
        yield made


@pytest.fixture
def faults(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Faults]:
    """Yield faults of one seed: that of the marker, or 0."""
    from sdl.testing.seeded import Faults  # noqa: PLC0415 # only for those who ask

    with Faults(int(getattr(request, "param", 0)), tmp_path / "faults.sdl") as made:
        yield made
