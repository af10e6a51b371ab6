"""Stations in processes of their own, on the same host, over 0MQ."""

from sdl.lab.remote.hosting import host, remote

__all__ = ["host", "remote"]
