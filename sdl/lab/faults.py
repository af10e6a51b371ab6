"""From the errors of bluesky, ophyd and drivers to ours."""

from __future__ import annotations

from bluesky.run_engine import WaitForTimeoutError
from bluesky.utils import FailedStatus

from sdl.errors import DeviceError, DeviceTimeout, LabError, LimitError, SdlError, TransportError

_DEPTH = 8
"""How far a chain of causes is followed."""

_DISCONNECTED = frozenset({80, 106, 192, 480})
"""Codes of Channel Access after which nobody knows what was done: ECA_TIMEOUT, DISCONNCHID, DISCONN, UNRESPTMO."""


def translate(error: BaseException, culprit: str | None) -> BaseException:
    """Return the error of ours for what ended a plan.

    Parameters
    ----------
    error
        What the RunEngine raised.
    culprit
        The name of the device that *error* comes from; None where it comes from the plan's own code, whose errors stay
        as they are.
    """
    if isinstance(error, SdlError):
        return error
    if isinstance(error, WaitForTimeoutError):
        return _chained(DeviceTimeout(f"{culprit or 'a device'} did not finish in time"), error)
    if isinstance(error, FailedStatus):
        return _device_error(error.__cause__ or error, culprit or "a device")
    if culprit is not None:
        return _device_error(error, culprit)
    return error


def _device_error(error: BaseException, device: str) -> BaseException:
    known = next((cause for cause in _causes(error) if isinstance(cause, SdlError | OSError)), None)
    if isinstance(known, SdlError):
        return known
    told = f"{device}: {error}" if str(error) else f"{device} failed with {type(error).__name__}"
    if isinstance(known, TimeoutError):
        return _chained(DeviceTimeout(told), error)
    if isinstance(known, OSError) or any(_is_lost(cause) for cause in _causes(error)):
        return _chained(TransportError(told), error)
    # Limit errors of ophyd and ophyd-async are known by their names, so that neither need be imported.
    is_limit = isinstance(error, ValueError) and "Limit" in type(error).__name__
    return _chained(LimitError(told) if is_limit else DeviceError(told), error)


def _is_lost(error: BaseException) -> bool:
    """Tell whether a client of EPICS says that the server is gone; neither library is imported for it."""
    if type(error).__name__ == "CANothing":
        return getattr(error, "errorcode", None) in _DISCONNECTED
    return any(kind.__name__ in {"DisconnectedError", "NotConnectedError"} for kind in type(error).__mro__)


def _causes(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and len(chain) < _DEPTH:
        chain.append(cause)
        cause = cause.__cause__ or next((item for item in cause.args if isinstance(item, BaseException)), None)
    return chain


def _chained(error: LabError, cause: BaseException) -> LabError:
    error.__cause__ = cause
    return error
