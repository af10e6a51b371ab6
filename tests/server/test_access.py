"""Who is let in, and who may do what: every route against every role, and what no one may do."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from asking import PEOPLE, Asking
from fastapi import FastAPI

from sdl.errors import AccessError, ProblemError
from sdl.journal.materials import SampleMade
from sdl.journal.records import Entry
from sdl.server.app import make_app
from sdl.server.guards import MAX_BODY, Guard, known_hosts
from sdl.server.house import REHEARSALS
from sdl.server.identities import Identity, Role, UsersFile, digest_of, new_token
from sdl.server.routing import GuardedRoute, inventory
from sdl.server.stream import is_sent

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "server.md"

EVIL = {"Host": "evil.example"}


def routes(asking: Asking) -> list[tuple[str, str, tuple[Role, ...]]]:
    return [each for each in inventory(asking.app) if each[1] != "/api/v1/events"]


def filled(path: str, campaign: str) -> str:
    named = path.removeprefix("/api/v1").replace("{campaign}", campaign).replace("{trial}", "1")
    return named.replace("{station}", "nowhere").replace("{name}", "nobody")


@pytest.fixture(scope="module")
def films(asking: Asking) -> str:
    """A private campaign of Sato's that nobody has started."""
    return str(asking.submit("sato", "private-films", start=False)["id"])


def test_the_inventory_is_the_one_in_the_documentation(asking: Asking) -> None:
    """A route that is not listed there, or with other roles, fails this test: somebody has to have thought of it."""
    listed = re.findall(r"^\| `([A-Z]+)` \| `(/api/v1[^`]*)` \| ([^|]*) \|", PAGE.read_text(encoding="utf-8"), re.M)
    there = [(method, path, roles.strip()) for method, path, roles in listed]
    made = [(method, path, ", ".join(roles) or "everybody") for method, path, roles in inventory(asking.app)]
    assert sorted(there) == sorted(made)
    assert len(made) > 30


def test_a_route_that_does_not_say_who_may_take_it_is_not_served(asking: Asking) -> None:
    app = make_app(asking.house)
    app.router.routes.append(GuardedRoute("/api/v1/forgotten", lambda: None))
    with pytest.raises(AccessError, match="does not say who may take it"):
        inventory(app)
    bare = FastAPI()
    bare.add_api_route("/api/v1/bare", lambda: None)
    with pytest.raises(AccessError, match="no guard"):
        inventory(bare)


def test_every_route_against_every_role(asking: Asking, films: str) -> None:
    for method, path, roles in routes(asking):
        target = filled(path, films)
        if roles:
            assert asking(None, method, target).status_code == 401, (method, path)
        for who, own in PEOPLE.items():
            answer = asking(who, method, target, **({"json": {}} if method in {"POST", "PUT"} else {}))
            may = not roles or Role.READ in roles or bool(set(own) & {*roles, Role.ADMIN})
            is_refused = answer.status_code == 403 and "it takes the role" in answer.text
            assert is_refused is not may, (who, method, path, answer.text)


def test_who_may_not_see_a_campaign_is_told_that_it_is_not_there(asking: Asking, films: str) -> None:
    """Whatever is asked of another one's campaign, the answer is that of an id that does not exist."""
    for method, path, roles in routes(asking):
        if "{campaign}" not in path or not (Role.READ in roles or Role.SUBMIT in roles):
            continue
        more: dict[str, Any] = {"json": _body_for(path)} if method in {"POST", "PUT"} else {}
        theirs = asking("mori", method, filled(path, films), **more)
        nowhere = asking("mori", method, filled(path, "c_nowhere"), **more)
        assert theirs.status_code == nowhere.status_code == 404, (path, theirs.text)
        assert theirs.text.replace(films, "c_nowhere") == nowhere.text
    assert films not in {each["id"] for each in asking.get("mori", "/campaigns")["campaigns"]}
    assert films in {each["id"] for each in asking.get("kim", "/campaigns")["campaigns"]}


def _body_for(path: str) -> dict[str, Any]:
    bodies: dict[str, dict[str, Any]] = {
        "orders": {"order": "start"},
        "visibility": {"scope": "open"},
        "autonomy": {"level": 0, "because": "x"},
        "comments": {"text": "x"},
    }
    return bodies.get(path.rpartition("/")[2], {})


def test_looking_changes_nothing(asking: Asking, films: str) -> None:
    before = asking.journal.head
    for method, path, roles in routes(asking):
        if method == "GET":
            assert asking("ada", "GET", filled(path, films)).status_code in {200, 404, 409}, path
            assert roles or path in {"/api/v1/health", "/api/v1/openapi.json"}
    assert asking.journal.head == before


def test_another_sites_page_and_another_name_get_nothing(asking: Asking, films: str) -> None:
    before = asking.journal.head
    for method, path, _ in routes(asking):
        target = filled(path, films)
        assert asking("ada", method, target, headers=EVIL).status_code == 421
        assert asking("ada", method, target, headers={"Origin": "https://evil.example"}).status_code == 403
    for origin in ("null", "http://127.0.0.1.evil.example", "file://"):
        assert asking("ada", "POST", "/stop", json={"because": "x"}, headers={"Origin": origin}).status_code == 403
    assert asking("ada", "GET", "/me", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert asking("ada", "GET", "/me", headers={"Origin": "http://127.0.0.1:8400"}).status_code == 200
    assert asking.http.get("/", headers=EVIL).status_code == 421
    assert "access-control-allow-origin" not in asking("ada", "GET", "/me").headers
    assert asking.journal.head == before


def test_no_socket_is_opened_for_anybody(asking: Asking) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/api/v1/events", "headers": [], "query_string": b""}
    guard = Guard(asking.app, asking.house.users, known_hosts(()), lambda: 0.0)
    asyncio.run(guard(scope, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_everything_can_be_stopped_while_all_threads_are_taken(asking: Asking) -> None:
    def limiter() -> anyio.CapacityLimiter:
        return anyio.to_thread.current_default_thread_limiter()

    async def take() -> None:
        for n in range(int(limiter().total_tokens)):
            limiter().acquire_on_behalf_of_nowait(("taken", n))

    async def give_back() -> None:
        for n in range(int(limiter().total_tokens)):
            limiter().release_on_behalf_of(("taken", n))

    portal = asking.http.portal
    assert portal is not None
    portal.call(take)
    try:
        for path in ("/stop", "/stations/thin-film/abort"):
            assert asking("kim", "POST", path, json={"because": "smoke"}).status_code == 200
        abort = asking("kim", "POST", "/campaigns/c_nowhere/orders", json={"order": "abort"})
        assert abort.status_code == 404
    finally:
        portal.call(give_back)


def test_who_would_wait_for_a_rehearsal_is_told_to_come_back(asking: Asking) -> None:
    file = "name: busy\nbudget: {trials: 1}\n"
    with REHEARSALS:
        answer = asking("sato", "POST", "/rehearsals", json={"file": file})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert asking("sato", "POST", "/rehearsals", json={"file": file}).status_code == 200


def test_what_is_booked_of_a_sample_is_told_to_those_who_see_its_campaign(asking: Asking, films: str) -> None:
    asking.journal.append(Entry(SampleMade(sample="private-films/1.1"), "private-films", 1))
    said = {"action": "mark", "sample": "private-films/1.1", "state": "consumed", "because": "thrown away"}
    assert asking("kim", "POST", "/stock", json=said).status_code == 200
    (marked,) = asking.events("sample.marked")
    assert marked.campaign == "private-films"
    assert not is_sent(marked, {})
    assert films in {each["id"] for each in asking.get("kim", "/campaigns")["campaigns"]}


def test_who_resumes_is_greeted_after_what_they_missed(asking: Asking, films: str) -> None:
    async def missed() -> list[bytes]:
        who = asking.house.users.read().named("sato")
        found: list[bytes] = []
        async with aclosing(asking.app.state.newsroom.watch(who, None, 0)) as lines:
            async for line in lines:
                found.append(line)
                if b"event: hello" in line:
                    break
        return found

    lines = asyncio.run(missed())
    assert any(b"campaign.submitted" in line for line in lines[:-1]), films
    numbers = [int(line.split()[1]) for line in lines]
    assert numbers == sorted(numbers)


def test_a_token_has_no_place_in_an_address_and_no_cookie_is_made(asking: Asking) -> None:
    token = asking.tokens["ada"]
    for query in (f"token={token}", f"x={token}", "access_token=1"):
        assert asking("ada", "GET", f"/me?{query}").status_code == 400
    assert asking(None, "GET", "/me", headers={"Cookie": f"token={token}"}).status_code == 401
    assert "set-cookie" not in asking("ada", "GET", "/me").headers


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"x" * (MAX_BODY + 1), "application/json", 413),
        (b"a=1", "application/x-www-form-urlencoded", 415),
        (b'{"because": ', "application/json", 422),
        (b"[" * 100_000, "application/json", 400),
        (b'{"because": "x", "actor": "ada"}', "application/json", 422),
        (b'{"because": NaN}', "application/json", 422),
    ],
    ids=["large", "form", "cut off", "deep", "spoofed", "no number"],
)
def test_a_body_that_is_none_is_refused_and_the_server_goes_on(
    asking: Asking, content: bytes, kind: str, status: int
) -> None:
    answer = asking("kim", "POST", "/stop", content=content, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert asking("kim", "GET", "/me").status_code == 200


def test_a_body_that_does_not_say_its_size_is_cut_off(asking: Asking) -> None:
    def chunks() -> Any:
        for _ in range(30):
            yield b"x" * 50_000

    answer = asking("kim", "POST", "/stop", content=chunks(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_every_answer_carries_what_keeps_a_browser_safe(asking: Asking) -> None:
    for answer in (asking.http.get("/"), asking("ada", "GET", "/me"), asking(None, "GET", "/me")):
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_only_files_of_the_page_are_sent(asking: Asking) -> None:
    for name in ("../app.py", "%2e%2e%2fapp.py", "..%5capp.py", "/etc/passwd", "%00", "x" * 300, "app.py"):
        assert asking.http.get(f"/page/{name}").status_code == 404, name
    assert asking.http.get("/").headers["content-type"].startswith("text/html")


def test_who_tries_tokens_is_slowed_down_and_others_are_not(asking: Asking) -> None:
    """Of 10,000 bad tokens a few are looked at; whoever has a good one is let in meanwhile."""
    now = [0.0]
    guard = Guard(asking.app, asking.house.users, known_hosts(()), lambda: now[0])

    async def ask(*tokens: str) -> list[int]:
        status: list[int] = []

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                status.append(message["status"])

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        for token in tokens:
            headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {token}".encode())]
            scope = {
                "type": "http",
                "method": "GET",
                "path": "/api/v1/me",
                "raw_path": b"/api/v1/me",
                "headers": headers,
                "query_string": b"",
                "client": ("127.0.0.1", 1),
                "root_path": "",
                "scheme": "http",
                "server": ("localhost", 1),
            }
            await guard(scope, receive, send)
        return status

    tried = asyncio.run(ask(*(new_token() for _ in range(10_000))))
    assert tried[0] == 401
    assert set(tried[20:]) == {429}
    assert asyncio.run(ask(asking.tokens["reader"])) == [200]
    now[0] += 30.0
    assert asyncio.run(ask(new_token())) == [401]


def test_tokens_are_kept_as_hashes_in_a_file_of_ones_own(tmp_path: Path) -> None:
    users, token = UsersFile(tmp_path), new_token()
    users.add(Identity(name="sato", roles=(Role.SUBMIT,), token=digest_of(token)))
    assert users.path.stat().st_mode & 0o777 == 0o600
    assert token not in users.path.read_text(encoding="utf-8")
    assert len(token) >= 43 + len("sdl_")  # 256 bits
    held = users.read().holding(token)
    assert held is not None
    assert held.name == "sato"
    assert users.read().holding(token[:-1]) is None
    renewed = users.renew("sato")
    assert users.read().holding(token) is None
    users.remove("sato")
    assert users.read().holding(renewed) is None
    users.path.chmod(0o644)
    with pytest.raises(ProblemError, match="can be read by others"):
        UsersFile(tmp_path).read()


@pytest.mark.parametrize("role", [Role.OPERATE, Role.APPROVE, Role.ADMIN])
def test_an_agent_answers_for_nothing(role: Role) -> None:
    with pytest.raises(ProblemError, match="is an agent"):
        Identity(name="bot", kind="agent", roles=(role,), token="0" * 64)


def test_nobody_is_called_like_a_part_of_the_engine() -> None:
    with pytest.raises(ProblemError, match="part of the engine"):
        Identity(name="engine", roles=(Role.READ,), token="0" * 64)


def test_users_are_made_and_taken_away_by_an_administrator(asking: Asking) -> None:
    made = asking("ada", "POST", "/users", json={"name": "new", "roles": ["read"]}).json()
    asking.tokens["new"] = made["token"]
    assert asking.get("new", "/me")["roles"] == ["read"]
    assert "token" not in str([each for each in asking.get("ada", "/users")["users"] if each["token"]])
    assert asking("ada", "DELETE", "/users/new").status_code == 200
    assert asking("new", "GET", "/me").status_code == 401
