"""The laboratory server, without one of its protections."""

from __future__ import annotations

from mutations.mutant import Mutant

MUTANTS = (
    Mutant(
        "origin-check-off",
        "sdl/server/guards.py",
        (("        if is_foreign or is_cross_site:\n", "        if is_foreign and is_cross_site and not headers:\n"),),
        "tests/server/test_access.py::test_another_sites_page_and_another_name_get_nothing",
    ),
    Mutant(
        "any-host",
        "sdl/server/guards.py",
        (('        if host_of(headers.get("host", "")) in self.hosts:\n', "        if headers:\n"),),
        "tests/server/test_access.py::test_another_sites_page_and_another_name_get_nothing",
    ),
    Mutant(
        "socket-let-through",
        "sdl/server/guards.py",
        (('        if scope["type"] != "http":\n', '        if scope["type"] == "nothing":\n'),),
        "tests/server/test_access.py::test_no_socket_is_opened_for_anybody",
    ),
    Mutant(
        "token-in-a-cookie",
        "sdl/server/guards.py",
        (
            (
                '.get("authorization", "").partition(" ")\n',
                '.get("authorization", headers.get("cookie", "").replace("token=", "Bearer ")).partition(" ")\n',
            ),
        ),
        "tests/server/test_access.py::test_a_token_has_no_place_in_an_address_and_no_cookie_is_made",
    ),
    Mutant(
        "role-check-off",
        "sdl/server/routing.py",
        (
            (
                "        if self.roles and not (who := identity(request)).may(self.roles):\n",
                "        if self.roles and not (who := identity(request)):\n",
            ),
        ),
        "tests/server/test_access.py::test_every_route_against_every_role",
    ),
    Mutant(
        "embargo-off",
        "sdl/server/dossiers.py",
        (("(shown.embargo is None or day >= shown.embargo)", "(shown.embargo is None or day)"),),
        "tests/server/test_campaigns.py::test_nothing_is_read_or_exported_of_a_campaign_before_its_embargo_ends",
    ),
    Mutant(
        "everybody-sees-the-timeline",
        "sdl/server/premises.py",
        (
            (
                "return (known[campaign].id, campaign) if campaign in known else",
                "return (campaign, campaign) if campaign else",
            ),
        ),
        "tests/server/test_campaigns.py::test_nothing_is_read_or_exported_of_a_campaign_before_its_embargo_ends",
    ),
    Mutant(
        "text-read-as-html",
        "sdl/server/page/dom.js",
        (
            (
                "  return made;\n",
                '  if (tag === "p") made.innerHTML = made.textContent;\n  return made;\n',
            ),
        ),
        "tests/server/test_page.py::test_no_text_becomes_a_part_of_the_page",
    ),
    Mutant(
        "server-ends-before-its-trials",
        "sdl/server/serving.py",
        (("            self._house.wait()\n", ""),),
        "tests/server/test_process.py",
    ),
    Mutant(
        "GET-mutates",
        "sdl/server/lab_routes.py",
        (
            (
                "        known = premises.seen(house, who)\n        running = house.running\n",
                '        house.abort_everything(who, "somebody has looked")\n'
                "        known = premises.seen(house, who)\n        running = house.running\n",
            ),
        ),
        "tests/server/test_access.py::test_looking_changes_nothing",
    ),
)
