"""Every example runs from an empty folder and says something; here with fewer trials than it asks for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("[0-9]*.py"))
FEW = 13  # trials of each campaign: past the first points, so that models are fitted too
RUN = """
import runpy, sys
from pathlib import Path
import sdl

whole, (few, path) = sdl.Campaign.run, sys.argv[1:]
sdl.Campaign.run = lambda campaign, trials, **more: whole(campaign, trials=min(trials, int(few)), **more)
sys.path.insert(0, str(Path(path).parent))
del sys.argv[1:]
runpy.run_path(path, run_name="__main__")
"""


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_the_example_runs(example: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", RUN, str(FEW), str(example)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "trial" in done.stdout
    assert "Traceback" not in done.stderr
    assert list(tmp_path.glob("*.sdl"))


def test_the_examples_are_numbered() -> None:
    assert [int(path.name[:2]) for path in EXAMPLES] == list(range(1, len(EXAMPLES) + 1))
