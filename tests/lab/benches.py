"""Running a plan on a bench, and what is recorded of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from plain_devices import Steps

from sdl.lab import Job, JobResult, Lab

Document = tuple[str, dict[str, Any]]


def execute(lab: Lab, plan: Callable[[], Steps], **settings: Any) -> tuple[JobResult, list[Document]]:
    documents: list[Document] = []
    job = Job(plan, on_document=lambda name, document: documents.append((name, document)), **settings)
    return lab.stations["bench"].run(job), documents


def names(documents: list[Document]) -> list[str]:
    return [name for name, _ in documents]
