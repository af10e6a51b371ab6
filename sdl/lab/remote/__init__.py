"""Stations in processes of their own, on this host or on others, over 0MQ."""

from sdl.lab.remote.hosting import host, remote

__all__ = ["host", "remote"]
