"""BoTorch, which tests compare with, is imported without what PyTorch warns its makers of."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # has no type information

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="`torch.jit", category=DeprecationWarning)
    importlib.import_module("botorch.models")


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """On small matrices the threads of a linear algebra library wait for one another most of the time."""
    with threadpool_limits(limits=1, user_api="blas"):
        yield
