"""The check for leaks finds leaks."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

CODE = """
import multiprocessing, threading, time

def test_thread():
    threading.Thread(target=time.sleep, args=(30,), daemon=True, name="stray thread").start()

def test_process():
    multiprocessing.Process(target=time.sleep, args=(30,), daemon=True, name="stray process").start()

def test_thread_that_ends_in_time():
    threading.Thread(target=time.sleep, args=(0.2,), name="short thread").start()
"""


def test_a_test_that_leaves_something_behind_fails(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parent / "conftest.py", tmp_path)
    (tmp_path / "test_something.py").write_text(CODE, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the test left behind: stray thread" in done.stdout
    assert "the test left behind: stray process" in done.stdout
    assert "short thread" not in done.stdout
    assert "3 passed, 2 errors" in done.stdout
