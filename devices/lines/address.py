"""Transports from one text, for command lines and files.

=======================================================  =============================================================
``tcp://10.0.0.7:5025?terminator=crlf``                  :class:`~sdl.devices.TcpTransport`
``serial:///dev/ttyUSB0?baud=19200&frame=7E1``           :class:`~sdl.devices.SerialTransport`; ``serial://COM3``
``http://10.0.0.7:8080/api``                             :class:`~sdl.devices.lines.HttpTransport`; ``https`` likewise
``visa://USB0::0x05E6::0x2450::04412345::INSTR``         :class:`~sdl.devices.lines.VisaTransport`; ``backend=``
``modbus://10.0.0.7:502?unit=1``                         :class:`~sdl.devices.lines.ModbusTransport`
``modbus:///dev/ttyUSB0?frame=rtu&unit=1&baud=9600``     the same on a serial port
``opc.tcp://10.0.0.7:4840``                              :class:`~sdl.devices.lines.OpcUaTransport`
``sila://10.0.0.7:50052``                                :class:`~sdl.devices.lines.SilaTransport`
``replay://traffic.jsonl``                               :class:`~sdl.devices.ReplayTransport`
=======================================================  =============================================================

Options are those of the class. ``terminator`` and ``ends`` are ``lf``, ``cr``, ``crlf``, ``etx`` or the characters
themselves; ``ends`` may be several, with commas. Passwords and keys have no place in an address: make the transport in
Python, and take them from where you keep them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from sdl.devices.lines.http import HttpTransport
from sdl.devices.lines.modbus import ModbusTransport
from sdl.devices.lines.opcua import OpcUaTransport
from sdl.devices.lines.sila import SilaTransport
from sdl.devices.lines.visa import VisaTransport
from sdl.devices.recording import ReplayTransport
from sdl.devices.transport import SerialTransport, TcpTransport, Transport
from sdl.errors import LabError
from sdl.problem.value import listing

ENDS = {"lf": "\n", "cr": "\r", "crlf": "\r\n", "etx": "\x03", "blank-crlf": " \r\n"}


def _end(text: str) -> str:
    return ENDS.get(text, text)


def _ends(text: str) -> tuple[str, ...]:
    return tuple(_end(word) for word in text.split(","))


def _yes(text: str) -> bool:
    if text not in {"yes", "no"}:
        raise ValueError(text)
    return text == "yes"


_LINE: Mapping[str, Callable[[str], Any]] = {"terminator": _end, "ends": _ends, "timeout_s": float, "largest": int}
_ANSWER: Mapping[str, Callable[[str], Any]] = {"timeout_s": float, "largest": int}
_OPTIONS: Mapping[str, Mapping[str, Callable[[str], Any]]] = {
    "tcp": _LINE,
    "serial": {**_LINE, "baud": int, "frame": str},
    "visa": {**_ANSWER, "backend": str, "terminator": _end},
    "modbus": {"unit": int, "frame": str, "baud": int, "parity": str, "word_order": str, "timeout_s": float},
    "opc.tcp": _ANSWER,
    "sila": {**_ANSWER, "is_encrypted": _yes},
    "http": _ANSWER,
    "https": _ANSWER,
    "replay": {},
}


def line_to(address: str) -> Transport:
    """Return the transport to *address*. Raises LabError for an address that is none, naming what is wrong with it."""
    scheme, separator, rest = address.partition("://")
    readers = _OPTIONS.get(scheme)
    if not separator or readers is None:
        raise LabError(
            f"{address!r} is no address of an instrument", hint=f"it begins with {listing(_OPTIONS)}, and ://"
        )
    where, _, query = rest.partition("?")
    options: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in readers:
            raise LabError(f"{address!r} has the option {name!r}", hint=f"{scheme} knows {listing(readers) or 'none'}")
        try:
            options[name] = readers[name](text)
        except ValueError:
            raise LabError(f"{address!r}: {name} cannot be {text!r}") from None
    return _made(scheme, where, options, address)


def _made(scheme: str, where: str, options: Mapping[str, Any], address: str) -> Transport:
    if scheme in {"tcp", "sila"}:
        made: Callable[..., Transport] = TcpTransport if scheme == "tcp" else SilaTransport
        return made(*_host_and_port(where, address), **options)
    by_scheme: Mapping[str, Callable[..., Transport]] = {
        "serial": SerialTransport,
        "visa": VisaTransport,
        "modbus": ModbusTransport,
        "replay": ReplayTransport,
    }
    if scheme in by_scheme:
        return by_scheme[scheme](where, **options)
    return (OpcUaTransport if scheme == "opc.tcp" else HttpTransport)(f"{scheme}://{where}", **options)


def _host_and_port(where: str, address: str) -> tuple[str, int]:
    host, _, port = where.rpartition(":")
    if not host or not port.isdecimal():
        raise LabError(f"{address!r} names no host and port", hint="write them as in tcp://10.0.0.7:5025")
    return host, int(port)
