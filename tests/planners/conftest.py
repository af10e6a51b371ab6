"""What the tests of planners have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # has no type information


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """On small matrices the threads of a linear algebra library wait for one another most of the time."""
    with threadpool_limits(limits=1, user_api="blas"):
        yield
