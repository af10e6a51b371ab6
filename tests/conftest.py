"""What every test gets: no thread and no process may outlive it, and hypothesis repeats itself."""

from __future__ import annotations

import inspect
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "sdl",
    derandomize=bool(os.environ.get("CI")),  # in CI the same examples every time; on a desk new ones
    deadline=None,  # two cores, shared: a slow example says nothing
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("sdl")

# Threads that may stay, by the start of their name, and why.
MAY_STAY = {
    "ophyd-": "ophyd's own dispatcher threads live as long as the process",
    **dict.fromkeys(
        ("metadata", "monitor", "get_put", "util", "debug_monitor"),
        "the same, where pyepics is there: a RunEngine imports ophyd, which then starts them",
    ),
    "Dummy-": "Python's name for a thread of a C library that called back, such as that of EPICS Channel Access",
    "pytest_timeout": "the watchdog of pytest-timeout",
    "AnyIO worker": "a test client answers in threads, which end some seconds after their last request",
    "asyncio_": "the default executor of an event loop keeps its idle workers",
    "pymp-": "pytorch's and numpy's helper threads",
    "QueueFeederThread": "multiprocessing feeds a queue to a process that a wider fixture owns",
}
GRACE = 3.0  # seconds of real time that a thread has to end after its test


def strangers(before: set[threading.Thread]) -> list[threading.Thread]:
    """Threads that were not there before and have no leave to stay."""
    return [
        thread
        for thread in threading.enumerate()
        if thread not in before and thread.is_alive() and not thread.name.startswith(tuple(MAY_STAY))
    ]


@pytest.fixture(autouse=True)
def no_thread_outlives_its_test() -> Iterator[None]:
    """Fail the test that leaves a thread or a child process behind."""
    threads = set(threading.enumerate())
    children = set(multiprocessing.active_children())
    yield
    deadline = time.monotonic() + GRACE
    while strangers(threads) and time.monotonic() < deadline:
        time.sleep(0.01)
    left = [thread.name for thread in strangers(threads)]
    left += [child.name for child in multiprocessing.active_children() if child not in children]
    if left:
        pytest.fail(f"the test left behind: {', '.join(left)}")


ROOT = Path(__file__).parent.parent
ROOMS = tuple(f"{ROOT / room}{os.sep}" for room in ("sdl", "devices", "planners", "simulators"))
unpickled: list[str] = []
"""What was unpickled below our own code. It makes objects, and so runs code, from data: nothing of ours does that."""


def _note_unpickling(event: str, arguments: tuple[object, ...]) -> None:
    if event != "pickle.find_class":
        return
    frame = inspect.currentframe()
    while frame is not None and "importlib" not in frame.f_code.co_filename:  # a library's own business
        if frame.f_code.co_filename.startswith(ROOMS):
            unpickled.append(f"{arguments} in {frame.f_code.co_filename}:{frame.f_lineno}")
            return
        frame = frame.f_back


sys.addaudithook(_note_unpickling)


@pytest.fixture(autouse=True)
def nothing_is_unpickled() -> Iterator[list[str]]:
    """Fail the test in which code of ours, or a library that it calls, unpickles something."""
    yield unpickled
    found, unpickled[:] = list(unpickled), []
    if found:
        pytest.fail(f"unpickled: {'; '.join(found)}")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Tests on published tables need a folder of them, which is not part of the project."""
    parser.addoption(
        "--datasets",
        default=os.environ.get("SDL_DATASETS"),
        help="folder of published tables (crossed_barrel, p3ht, ...); default: the variable SDL_DATASETS",
    )


@pytest.fixture(scope="session")
def datasets(pytestconfig: pytest.Config) -> Path:
    """The folder of published tables; a test that asks for it is skipped, and says so, where there is none."""
    folder = pytestconfig.getoption("--datasets")
    if not folder:
        pytest.skip("needs the published tables: set SDL_DATASETS or give --datasets FOLDER")
    path = Path(str(folder))
    assert path.is_dir(), f"SDL_DATASETS or --datasets names {path}, which is no folder"
    return path
