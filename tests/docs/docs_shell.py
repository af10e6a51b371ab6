"""Runs the console blocks of a page, from inside the script that the page became."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

MINUTES = 4


def run(script: str, where: str) -> None:
    """Run *script* in bash where the page stands now; the page goes on in the folder that the script ends in."""
    memory = Path(os.environ["SDL_DOCS_MEMORY"])
    lines = ["set -euo pipefail", f"trap 'pwd > {memory}' EXIT", script]
    sys.stdout.flush()
    done = subprocess.run(["bash", "-c", "\n".join(lines)], stdin=subprocess.DEVNULL, check=False, timeout=60 * MINUTES)
    if done.returncode != 0:
        sys.exit(f"{where}: exit code {done.returncode} from\n{script}")
    os.chdir(memory.read_text(encoding="utf-8").strip())
