"""Every error that sdl raises, in one tree.

::

    SdlError
    ├── ProblemError (ValueError)            what is asked makes no sense
    │   ├── UnitError                        no unit where one is needed, or the wrong dimension
    │   ├── PointError                       a point lies outside the search space
    │   └── EmptySpaceError                  no point satisfies the constraints
    ├── JournalError (RuntimeError)          the record cannot be read or written
    │   ├── JournalLocked                    another process writes to this store
    │   ├── JournalVersionError              made by an older or newer schema
    │   ├── JournalCorrupt                   the hash chain or an artifact does not verify
    │   └── JournalNotFound (FileNotFoundError)
    ├── PlannerError (RuntimeError)          the planner gave no usable suggestion
    │   ├── PlannerTimeout (TimeoutError)    it did not answer before its deadline
    │   └── IllegalSuggestion (ValueError)   it proposed something outside the space
    ├── LabError (RuntimeError)              the laboratory cannot do what was asked
    │   ├── DeviceError                      an instrument answered with an error, or nonsense
    │   ├── DeviceTimeout (TimeoutError)     an instrument did not finish in time
    │   ├── TransportError (ConnectionError) the line to an instrument is broken
    │   ├── LimitError (ValueError)          a set-point lies outside a limit
    │   │   └── InterlockError               an interlock forbids it, or has tripped
    │   ├── ReadbackError                    after a move the instrument is not where it was sent
    │   └── StepAborted                      the step was aborted on request
    ├── ObservationError (ValueError)        an experiment returned something that is no observation
    ├── AccessError (PermissionError)        who asks may not do that
    └── CampaignError (RuntimeError)         the campaign cannot go on, or was asked the impossible

Each is also the built-in that it resembles, names the object, the value and the limit, and tells the way out: ``hint``.
"""

from __future__ import annotations


class SdlError(Exception):
    """Root of the tree.

    Parameters
    ----------
    message
        What happened: the object, the value it got, the limit.
    hint
        The way out, in one sentence.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ProblemError(SdlError, ValueError):
    """A parameter, a space, an objective or another value is not well formed."""


class UnitError(ProblemError):
    """A unit is missing where a dimension is declared, unknown, or of another dimension."""


class PointError(ProblemError):
    """A point does not belong to the search space."""


class EmptySpaceError(ProblemError):
    """No point satisfies the bounds and the constraints together."""


class JournalError(SdlError, RuntimeError):
    """The record cannot be read or written."""


class JournalLocked(JournalError):
    """Another process holds the write lock of the store."""


class JournalVersionError(JournalError):
    """The store was written with another schema version."""


class JournalCorrupt(JournalError):
    """The hash chain or an artifact does not verify."""


class JournalNotFound(JournalError, FileNotFoundError):
    """There is no store at the path."""


class PlannerError(SdlError, RuntimeError):
    """The planner gave no usable suggestion."""


class PlannerTimeout(PlannerError, TimeoutError):
    """The planner did not answer before its deadline."""


class IllegalSuggestion(PlannerError, ValueError):
    """The planner proposed something that is not allowed."""


class LabError(SdlError, RuntimeError):
    """The laboratory cannot do what was asked."""


class DeviceError(LabError):
    """An instrument answered with an error, or with something that is no answer."""


class DeviceTimeout(LabError, TimeoutError):
    """An instrument did not finish in time."""


class TransportError(LabError, ConnectionError):
    """The line to an instrument is broken."""


class LimitError(LabError, ValueError):
    """A set-point lies outside a limit."""


class InterlockError(LimitError):
    """An interlock forbids the act, has tripped, or its latch has not been armed again."""


class ReadbackError(LabError):
    """After a move, the instrument is not where it was sent, or its reading is older than the command."""


class StepAborted(LabError):
    """The step was aborted on request."""


class ObservationError(SdlError, ValueError):
    """An experiment returned something that is not a valid observation."""


class AccessError(SdlError, PermissionError):
    """Whoever asks may not do that, or is not known."""


class CampaignError(SdlError, RuntimeError):
    """The campaign cannot go on, or was asked for something that is impossible in its state."""
