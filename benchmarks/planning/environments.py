"""One virtual environment for each rival, made when it is first needed.

Rivals want different versions of the same libraries, so each has an environment of its own, with pinned versions.
PyTorch is installed first and by itself: where pip has a build for the processor alone at hand, the rivals then keep
it, and nothing pulls gigabytes of graphics libraries. Every environment has its own folder for what PyTorch compiles,
because a shared one is compiled again whenever another environment used it last.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TORCH = "torch==2.13.0"
HERE = Path(__file__).parent
INSTALL_TIMEOUT_S = 3600.0
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


class EnvironmentMissingError(RuntimeError):
    """An environment could not be made."""


@dataclass(frozen=True)
class Environment:
    """What is installed for one rival.

    Parameters
    ----------
    name
        Of its folder.
    requirements
        Pinned; the first one is the rival itself.
    has_torch
        Whether PyTorch is put in first.
    """

    name: str
    requirements: tuple[str, ...]
    has_torch: bool = True

    @property
    def distribution(self) -> str:
        """The rival's distribution, whose version is reported."""
        return self.requirements[0].partition("==")[0].partition("[")[0]

    @property
    def digest(self) -> str:
        """Changes with what is installed."""
        return hashlib.sha256(json.dumps([self.requirements, self.has_torch]).encode()).hexdigest()[:12]


ENVIRONMENTS: Mapping[str, Environment] = {
    environment.name: environment
    for environment in (
        Environment("optuna", ("optuna==5.0.0", "scipy", "cmaes")),
        Environment("ax", ("ax-platform==1.3.1",)),
        Environment("baybe", ("baybe==0.15.0",)),
        Environment("bofire", ("bofire[optimization]==0.5.0",)),
        Environment("xopt", ("xopt==3.2.2",)),
        Environment("bluesky-adaptive", ("bluesky-adaptive[ax]==1.0.0", "ax-platform==1.3.1")),
        Environment("smac", ("smac==2.4.1",), has_torch=False),
        # HEBO keeps NumPy below 1.25: without these pins pip looks for hours for what fits.
        Environment(
            "hebo",
            (
                "HEBO==0.3.6",
                "numpy==1.24.4",
                "scipy==1.11.4",
                "pandas==2.2.3",
                "matplotlib==3.8.4",
                "contourpy==1.2.1",
                "scikit-learn==1.4.2",
                "GPy==1.13.2",
                "catboost==1.2.7",
                "autograd==1.6.2",
                "gpytorch==1.13",
                "linear-operator==0.5.3",
            ),
        ),
        Environment("nimo", ("nimo==2.1.8", "physbo==3.2.1"), has_torch=False),
    )
}
"""Name -> environment."""


def python_of(name: str, cache: Path) -> Path:
    """Return the interpreter of environment *name* below *cache*; make the environment where it is not there.

    Raises
    ------
    EnvironmentMissingError
        The installation failed, now or earlier; the message names its log. Delete the folder to try again.
    """
    environment = ENVIRONMENTS[name]
    folder = cache / f"{name}-{environment.digest}"
    python = folder / "bin" / "python"
    if (folder / "ready").exists():
        return python
    log = folder / "install.log"
    if (folder / "failed").exists():
        raise EnvironmentMissingError(f"{name} did not install, see {log}; delete {folder} to try again")
    print(f"making the environment of {name} in {folder}", file=sys.stderr, flush=True)
    venv.create(folder, with_pip=True, clear=True)
    steps = ([[TORCH]] if environment.has_torch else []) + [list(environment.requirements)]
    with log.open("w", encoding="utf-8") as file:
        for step in steps:
            command = [str(python), "-m", "pip", "install", "--progress-bar", "off", *step]
            done = subprocess.run(
                command, stdout=file, stderr=subprocess.STDOUT, check=False, timeout=INSTALL_TIMEOUT_S
            )
            if done.returncode:
                (folder / "failed").touch()
                raise EnvironmentMissingError(f"{name} did not install, see {log}")
    (folder / "ready").touch()
    return python


def variables(folder: Path) -> dict[str, str]:
    """Return the environment variables of a worker: one thread, and a place of its own for what PyTorch compiles.

    Parameters
    ----------
    folder
        Where the worker may leave files.
    """
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    own = {
        "TORCH_EXTENSIONS_DIR": str(folder / "torch_extensions"),
        "PYTHONPATH": os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PYTHONWARNINGS": "ignore",
        "PYTHONHASHSEED": "0",
        "MPLBACKEND": "Agg",
        "CUDA_VISIBLE_DEVICES": "",
    }
    return kept | ONE_THREAD | own
