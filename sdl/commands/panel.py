"""``sdl panel``: a person at a station: how it stands, and taking it by hand."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Self

from sdl.commands.output import say, say_facts, say_json
from sdl.errors import LabError
from sdl.lab.latches import check_person
from sdl.lab.remote.keys import ClientKeys
from sdl.lab.remote.messages import Give, Look, Seen, Take, Transfer
from sdl.lab.remote.panel import ask_book, ask_once
from sdl.lab.remote.sockets import Address, is_locked


class Order(NamedTuple):
    """What a person wants, beyond looking."""

    message: Take | Give | Transfer | None

    @classmethod
    def of(cls, by: str, because: str, *, take: bool, give_back: bool, transfer: bool) -> Self:
        """Return it. Raises :class:`~sdl.errors.LabError` where more than one is wanted, or nobody answers for it."""
        kinds = [kind for kind, is_wanted in ((Take, take), (Give, give_back), (Transfer, transfer)) if is_wanted]
        if len(kinds) > 1:
            raise LabError("one of --take, --give-back and --transfer", hint="one after the other")
        if not kinds:
            return cls(None)
        check_person(by, because)
        return cls(kinds[0](by=by, because=because))

    def signed(self) -> Self:
        """Return it with the account of this process: here no key says who it is."""
        from sdl.campaign.identity import signed

        return self if self.message is None else type(self)(self.message.replace(by=signed(self.message.by)))


class Place(NamedTuple):
    """Where the station is: its folder on this computer, or an address on another one, and the keys for that."""

    folder: Path
    at: str
    keys: Path


def panel(station: str, order: Order, place: Place, *, as_json: bool) -> None:
    """Ask the station, or its book where its process does not run, and print how it stands."""
    message = (order if place.at else order.signed()).message or Look()
    if place.at:
        address = Address(place.at, "", keys=ClientKeys.of(place.keys, station)).checked()
        seen = ask_once(station, address, message)
    else:
        address = Address.under(place.folder, station)
        seen = (
            ask_once(station, address, message) if is_locked(address.lock) else ask_book(station, place.folder, message)
        )
    if as_json:
        say_json(seen.model_dump(mode="json"))
    else:
        _say(seen)


def _say(seen: Seen) -> None:
    state = "a step is running" if seen.is_busy else "held by an engine" if seen.is_held else "no engine has it"
    say(f"station {seen.station}: {state if seen.boot else 'its process does not run'}")
    say_facts(
        (
            ("by hand", seen.by_hand),
            ("latched", seen.reason if seen.latch else ""),
            ("belongs to", f"store {seen.store}, epoch {seen.epoch}" if seen.store else "no store yet"),
            ("you are", f"{seen.client}: {', '.join(seen.roles)}"),
        )
    )
