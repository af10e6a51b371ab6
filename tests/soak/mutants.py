"""Break the engine on purpose, on a copy, and see that a test notices: mutants.py [--only NAME ...].

A promise is worth what its test can find. Each mutant breaks one, and the named tests must fail on it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mutations import engine, server, stations
from mutations.mutant import Mutant

ROOT = Path(__file__).parent.parent.parent
COPIED = ("sdl", "devices", "planners", "simulators", "tests", "pyproject.toml")
MUTANTS = (*engine.MUTANTS, *stations.MUTANTS, *server.MUTANTS)


def copied(folder: Path) -> None:
    """Copy the tree, as it is now."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
        else:
            shutil.copy(source, folder / name)


def fails(folder: Path, test: str) -> tuple[bool, str]:
    """Run *test* in *folder*; return whether it fails, and the line of pytest that says so."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-p", "no:cacheprovider", *test.split()]
    environment = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    told = sorted((line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))), reverse=True)
    summary = told[0] if told else (done.stdout.strip().splitlines() or [done.stderr[-200:]])[-1]
    return done.returncode == 1, summary


def caught(mutant: Mutant, folder: Path) -> tuple[bool, str]:
    """Build the mutant in *folder*, run its test, and mend it again."""
    path = folder / mutant.file
    whole = text = path.read_text(encoding="utf-8")
    for old, new in mutant.changes:
        if text.count(old) != 1:
            return False, f"cannot be built: {old!r} stands {text.count(old)} times in {mutant.file}"
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    try:
        return fails(folder, mutant.test)
    finally:
        path.write_text(whole, encoding="utf-8")


def main() -> int:
    """Run, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[mutant.name for mutant in MUTANTS])
    given = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if mutant.name in given.only]
    n_missed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copied(folder)
        print("| mutant | caught | by | seconds |\n|---|---|---|---|", flush=True)
        for mutant in chosen:
            started = time.perf_counter()
            is_caught, told = caught(mutant, folder)
            n_missed += not is_caught
            verdict = "yes" if is_caught else "NO"
            print(f"| {mutant.name} | {verdict} | {told[:150]} | {time.perf_counter() - started:.0f} |", flush=True)
    print(f"{len(chosen) - n_missed} of {len(chosen)} mutants caught")
    return 1 if n_missed else 0


if __name__ == "__main__":
    sys.exit(main())
