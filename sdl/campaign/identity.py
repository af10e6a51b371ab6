"""Who says so: the name that a person gives, and the account that the operating system knows them by.

A name is free text, and several people may share an account. So both stand in the journal: ``Ada (account lab1)``.
Whoever types another person's name leaves their own account with it.
"""

from __future__ import annotations

from sdl.campaign.recorder import process_user
from sdl.errors import LabError
from sdl.lab.latches import NOBODY

_RESERVED = frozenset("()<>")


def signed(by: str) -> str:
    """Return the actor for what the person *by* says in this process: the name, and the account of the process.

    The account is that of the process's user id; no variable of the environment changes it.

    Raises :class:`~sdl.errors.LabError` for a name that is empty, that of a part of the program, or could be taken for
    another one's account.
    """
    name = " ".join(by.split())
    if name.partition(":")[0].lower() in NOBODY:
        raise LabError(f"{by!r} is no person", hint="say who you are: --by NAME")
    if set(name) & _RESERVED or not name.isprintable():
        raise LabError(f"{by!r} is no name of a person", hint="write it without brackets; the account is added to it")
    return f"{name} (account {process_user()})"
