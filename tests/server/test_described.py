"""The server keeps to its own description: whatever is sent, an answer that is described comes back."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from asking import Asking
from hypothesis import HealthCheck, given, settings

LEFT_OUT = {"/api/v1/events"}

SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]

N = int(os.environ.get("SDL_EXAMPLES", "1"))
"""Requests to each operation; of one each, to every third operation. More of them with SDL_EXAMPLES=100."""


def asks(asking: Asking, operation: Any) -> Callable[[], None]:
    """Return what sends requests of all kinds to *operation*, as its description allows."""

    @settings(max_examples=N, deadline=None, database=None, suppress_health_check=SLOW, derandomize=True)
    @given(case=operation.as_strategy())
    def holds(case: Any) -> None:
        body = {} if type(case.body).__name__ == "NotSet" else {"json": case.body}
        answer = asking.http.request(
            case.method,
            case.formatted_path,
            params=case.query or None,
            headers={"Authorization": f"Bearer {asking.tokens['ada']}"},
            **body,
        )
        place = (case.method, case.formatted_path, answer.status_code, answer.text)
        assert str(answer.status_code) in operation.definition.raw["responses"], place

    return holds


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_answer_is_described(asking: Asking) -> None:
    described = asking.http.get("/api/v1/openapi.json").json()
    schema: Any = schemathesis.openapi.from_dict(described)
    operations = [each.ok() for each in schema.get_all_operations()]
    operations = [each for each in operations if each.path not in LEFT_OUT]
    assert len(operations) > 30
    for operation in operations if N > 1 else operations[::3]:
        asks(asking, operation)()
    assert asking.get("ada", "/me")["name"] == "ada"
