"""People who ask a served laboratory."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI
from fastapi.testclient import TestClient

from sdl.journal.protocol import Journal
from sdl.journal.records import Event
from sdl.server.app import guarded, make_app
from sdl.server.house import House
from sdl.server.identities import Identity, Role, digest_of, new_token
from sdl.server.laboratory import LabFile, Laboratory

FILMS = "name: {name}\nplanner: sobol\nbudget: {{trials: {trials}}}\nautonomy: {{level: {level}}}\n"

PEOPLE: Mapping[str, tuple[Role, ...]] = {
    "reader": (Role.READ,),
    "sato": (Role.SUBMIT,),
    "mori": (Role.SUBMIT,),
    "kim": (Role.OPERATE,),
    "lee": (Role.APPROVE,),
    "mia": (Role.SUBMIT, Role.OPERATE),
    "ada": (Role.ADMIN,),
}
"""Who there is, and what they may do; ``agent`` comes beside them."""

GROUPS = {"sato": ("films",), "mori": ("films",)}


@dataclass
class Asking:
    """Asks in somebody's name."""

    house: House
    app: FastAPI
    http: TestClient
    tokens: dict[str, str]

    def __call__(self, who: str | None, method: str, path: str, **more: Any) -> httpx2.Response:
        headers = dict(more.pop("headers", {}))
        if who is not None:
            headers["Authorization"] = f"Bearer {self.tokens[who]}"
        return self.http.request(method, "/api/v1" + path, headers=headers, **more)

    def get(self, who: str, path: str) -> Any:
        """Return what somebody is answered."""
        answer = self(who, "GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def submit(self, who: str, name: str, *, trials: int = 2, level: int = 2, **more: Any) -> dict[str, Any]:
        """Hand a campaign in."""
        file = FILMS.format(name=name, trials=trials, level=level)
        answer = self(who, "POST", "/campaigns", json={"file": file, **more})
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def until(self, who: str, campaign: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until a campaign stands as it should."""
        deadline = time.monotonic() + 90
        while not is_so(found := self.get(who, f"/campaigns/{campaign}")):
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        return dict(found)

    def lab_is_warm(self) -> None:
        """Start the threads of the laboratory, which live as long as it does."""
        campaign = self.submit("ada", "warm", trials=1, level=4)
        self.until("ada", campaign["id"], lambda found: found["state"] == "finished")

    @property
    def journal(self) -> Journal:
        """What has happened."""
        return self.house.journal

    def events(self, *kinds: str) -> list[Event]:
        """Return the events of some kinds."""
        return [*self.journal.read(kinds=kinds)]


@contextmanager
def served(folder: Path, people: Mapping[str, tuple[Role, ...]], **lab: Any) -> Generator[Asking]:
    """Serve the thin-film laboratory, or another one, to *people*."""
    house = House(Laboratory(LabFile.from_data({"type": "thin-film", **lab}), folder.parent), folder)
    tokens = {name: new_token() for name in (*people, "agent")}
    for name, roles in people.items():
        autonomy = 4 if {Role.ADMIN, Role.APPROVE} & set(roles) else 2
        house.users.add(
            Identity(
                name=name, roles=roles, groups=GROUPS.get(name, ()), autonomy=autonomy, token=digest_of(tokens[name])
            )
        )
    if people:
        house.users.add(
            Identity(name="agent", kind="agent", roles=(Role.SUBMIT,), autonomy=1, token=digest_of(tokens["agent"]))
        )
    house.open()
    try:
        app = make_app(house)
        clock = iter(range(0, 10**9, 100))  # a time in which nobody ever asks too often
        wall = guarded(app, house, monotonic=lambda: float(next(clock)))
        with TestClient(wall, base_url="http://127.0.0.1:8400") as http:
            yield Asking(house, app, http, tokens)
    finally:
        house.host.abort("the test is over")
        house.close()
