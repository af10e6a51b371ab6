"""Which names are those of this machine."""

from __future__ import annotations

import ipaddress


def is_local(host: str) -> bool:
    """Whether *host* is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
