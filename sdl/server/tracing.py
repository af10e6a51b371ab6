"""Spans of what runs, sent where the variables of OpenTelemetry say: ``OTEL_EXPORTER_OTLP_ENDPOINT``. Else nothing."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

from sdl.errors import JournalError, LabError
from sdl.export.spans import KINDS, Spans
from sdl.journal.envelope import software_version
from sdl.journal.protocol import Journal

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = logging.getLogger("sdl.server")

VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Who sets one of them wants spans sent there."""

PERIOD = 1.0
"""Wall seconds between two looks at the journal."""

FLUSH = 5
"""Wall seconds that the last spans have to get there."""


class Tracing:
    """Sends spans of what the journal records from now on.

    Parameters
    ----------
    journal, lab
        What happens, and where.
    provider
        Who takes the spans; None: nobody.
    """

    def __init__(self, journal: Journal, lab: str, provider: TracerProvider | None) -> None:
        self._journal = journal
        self._lab = lab
        self._provider = provider
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sdl-tracing", daemon=True)
        self._sequence = journal.head[0]

    def __enter__(self) -> Self:
        if self._provider is not None:
            self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._is_over.set()
        if self._provider is not None:
            self._thread.join(2 * FLUSH)
            self._provider.shutdown()

    def _run(self) -> None:
        assert self._provider is not None
        spans = Spans(self._provider.get_tracer("sdl", software_version()), self._lab)
        is_over = False
        while not is_over:
            is_over = self._is_over.wait(PERIOD)  # and look once more: the last trials have ended meanwhile
            try:
                self._look(spans)
            except JournalError:  # closed
                return
            except Exception:  # the border: the next look may do
                log.exception("spans could not be made")

    def _look(self, spans: Spans) -> None:
        for event in self._journal.read(self._sequence, kinds=KINDS):
            self._sequence = event.sequence
            spans.take(event)


def provider(lab: str, environment: Mapping[str, str] | None = None) -> TracerProvider | None:
    """Return who sends spans to where the variables say; None where they say nothing.

    Raises :class:`~sdl.errors.LabError` where the packages lack.
    """
    given = os.environ if environment is None else environment
    if not any(given.get(name) for name in VARIABLES):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 # an extra
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 # an extra
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 # an extra
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 # an extra
    except ModuleNotFoundError as error:
        raise LabError(f"traces need {error.name}", hint="pip install 'sdl[telemetry]'") from None
    resource = Resource.create({"service.name": "sdl", "service.version": software_version(), "sdl.lab": lab})
    made = TracerProvider(resource=resource, shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=FLUSH)))
    return made
