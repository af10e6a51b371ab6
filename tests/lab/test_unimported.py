"""A process that runs plans imports ophyd only where a device of it does."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sdl.lab.unimported import installed, unimported

RUN = """
import sys
import bluesky.plan_stubs as bps
import sdl

class Tool:
    name, parent = "tool", None
    def read(self): return {}
    def describe(self): return {}

def plan(lab, s):
    yield from bps.open_run()
    yield from bps.close_run()

found = []
with sdl.Lab("bench", tool=Tool(), clock=sdl.VirtualClock()) as lab:
    job = sdl.lab.Job(lambda: plan(lab, None), on_document=lambda name, doc: found.append((name, doc)))
    assert lab.stations["bench"].run(job).error is None
assert "ophyd" not in sys.modules and "ophyd_async" not in sys.modules
print(sorted(found[0][1]["versions"]))
"""


def test_a_plan_without_ophyd_devices_imports_neither_ophyd_and_its_runs_still_name_their_versions(
    tmp_path: Path,
) -> None:
    done = subprocess.run([sys.executable, "-c", RUN], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout) == ("", "['bluesky', 'event_model', 'ophyd', 'ophyd_async']\n")


def test_only_the_thread_that_asks_for_it_does_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("wanted_elsewhere", "wanted_later"):
        (tmp_path / f"{name}.py").write_text("here = True\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found: list[bool] = []

    def elsewhere() -> None:
        found.append(__import__("wanted_elsewhere").here)

    with unimported("wanted_elsewhere", "wanted_later"):
        with pytest.raises(ImportError, match="wanted_later is not imported here"):
            __import__("wanted_later")
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert __import__("wanted_elsewhere").here  # it is there now
    assert found == [True]
    assert __import__("wanted_later").here


def test_versions_of_what_is_not_installed_are_left_out() -> None:
    assert set(installed("bluesky", "no_such_package_at_all")) == {"bluesky"}
