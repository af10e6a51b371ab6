"""Break the engine on purpose, on a copy, and see that a test notices: mutants.py [--only NAME ...].

A promise is worth what its test can find. Each mutant breaks one, and the named tests must fail on it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
COPIED = ("sdl", "devices", "planners", "simulators", "tests", "pyproject.toml")
GATE = "tests/lab/test_gate.py"
ACCESS = "tests/lab/test_remote_access.py"
LINE = "tests/lab/test_remote_line.py"
HELD = "tests/lab/test_needs_apart.py"
STATION = "tests/lab/test_remote_kills.py::test_a_station_killed_at_every_act"
APART = "tests/lab/test_interlocks_apart.py"
KILLS = "tests/testing/test_kills.py::test_killed_at_every_fail_point"
EPICS = "tests/lab/test_epics.py"


@dataclass(frozen=True)
class Mutant:
    """What to write in place of what, in which file, and the test that must fail then."""

    name: str
    file: str
    changes: tuple[tuple[str, str], ...]
    test: str


MUTANTS = (
    Mutant(
        "ack-before-commit",
        "sdl/journal/store.py",
        (
            (
                "            self._connection.commit()\n            fail_point",
                "            if events[-1].kind != 'trial.completed':\n"
                "                self._connection.commit()\n            fail_point",
            ),
            (
                "        self._connection.close()\n",
                "        self._connection.commit()\n        self._connection.close()\n",
            ),
        ),
        KILLS,
    ),
    Mutant(
        "row-before-artifact",
        "sdl/journal/store.py",
        (
            (
                "            return self._put_in_room(data, name=name, media_type=media_type)\n",
                "            self.__dict__.setdefault('late', []).append((data, name, media_type))\n"
                "            from sdl.journal.artifacts import describe\n"
                "            return describe(data, name=name, media_type=media_type)\n",
            ),
            (
                "                self._write(writer, events)\n        return events\n",
                "                self._write(writer, events)\n"
                "                for data, name, kind in self.__dict__.pop('late', []):\n"
                "                    self._put_in_room(data, name=name, media_type=kind)\n        return events\n",
            ),
        ),
        KILLS,
    ),
    Mutant(
        "artifact-not-synced",
        "sdl/journal/artifacts.py",
        (("                os.fsync(number)\n", ""),),
        "tests/testing/test_power.py::test_no_power_loss_takes_what_was_acknowledged",
    ),
    Mutant(
        "synchronous=NORMAL",
        "sdl/journal/sqlite.py",
        (('"synchronous": 2', '"synchronous": 1'),),
        "tests/testing/test_power.py::test_no_power_loss_takes_what_was_acknowledged",
    ),
    Mutant(
        "store-name-not-synced",
        "sdl/journal/store.py",
        (("            database.touch()\n            sync_folder(database.parent)\n", ""),),
        "tests/testing/test_power.py::test_no_power_loss_takes_what_was_acknowledged",
    ),
    Mutant(
        "retry-after-disk-error",
        "sdl/journal/store.py",
        (
            (
                "            self._failure = error\n            raise\n        self._head =",
                "            raise\n        self._head =",
            ),
        ),
        "tests/testing/test_power.py::test_after_an_error_of_the_disk_nothing_more_is_tried",
    ),
    Mutant(
        "no-ballast",
        "sdl/journal/place.py",
        (("            self._file.unlink()\n", "            raise OSError\n"),),
        "tests/testing/test_space.py::test_what_is_under_way_is_recorded_on_a_full_disk_and_the_campaign_pauses",
    ),
    Mutant(
        "no-intent",
        "sdl/lab/guard.py",
        (("                self._job.on_act(intended)\n", "                pass\n"),),
        KILLS,
    ),
    Mutant(
        "intent-after-act",
        "sdl/lab/guard.py",
        (
            ("                self._job.on_act(intended)\n", "                self.__dict__['late'] = intended\n"),
            (
                '        fail_point("guard.after_act")\n',
                "        self._job.on_act(self.__dict__['late'])\n",
            ),
            (
                '        fail_point("guard.before_end")\n',
                '        fail_point("guard.after_act")\n        fail_point("guard.before_end")\n',
            ),
        ),
        "tests/testing/test_kills.py tests/campaign/test_acts_after_a_kill.py tests/lab/test_guard.py",
    ),
    Mutant(
        "no-lease",
        "sdl/journal/store.py",
        (("        return self._mutex\n", "        return __import__('contextlib').nullcontext()\n"),),
        "tests/campaign/test_sharing.py::test_campaigns_that_share_a_stock_never_set_aside_the_same",
    ),
    Mutant(
        "no-lease-of-further-stations",
        "sdl/campaign/floor.py",
        (
            (
                "        for name in run.taken:\n            self.busy[name]",
                "        for name in [run.station]:\n            self.busy[name]",
            ),
            ("        for name in run.keeps:", "        for name in ():"),
            ("        for name in stations:\n            holders", "        for name in ():\n            holders"),
        ),
        "tests/testing/test_contending.py::test_killed_campaigns_take_turns_at_the_instruments",
    ),
    Mutant(
        "move-believed",
        "sdl/lab/checks.py",
        (("                yield from self._verify(move)\n", "                yield from ()\n"),),
        f"{EPICS}::test_a_server_that_is_restarted_in_mid_move_makes_no_data",
    ),
    Mutant(
        "last-word-of-a-server",
        "sdl/lab/channels.py",
        (("        await signal.read(cached=True)\n", "        return\n"),),
        f"{EPICS}::test_the_last_word_of_a_dead_server_is_no_reading",
    ),
    Mutant(
        "invalid-as-data",
        "sdl/lab/channels.py",
        (("    if is_invalid(severity):\n", "    if severity is Ellipsis:\n"),),
        f"{EPICS}::test_an_invalid_reading_is_no_reading",
    ),
    Mutant(
        "old-reading-after-a-trigger",
        "sdl/lab/checks.py",
        (("            verify_renewed(trigger, now, name=name)\n", "            pass\n"),),
        f"{EPICS}::test_a_reading_that_is_older_than_its_trigger_is_no_reading",
    ),
    Mutant(
        "waiting-for-a-dead-server",
        "sdl/lab/checks.py",
        (("            if now - well >= PATIENCE:\n", "            if now < well:\n"),),
        f"{EPICS}::test_a_wait_ends_when_the_server_is_gone",
    ),
    Mutant(
        "two-writers",
        "sdl/journal/lock.py",
        (("            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)\n", "            pass\n"),),
        "tests/journal/test_processes.py tests/testing/test_kills.py::"
        "test_of_two_engines_one_writes_and_the_other_takes_over_when_it_is_killed",
    ),
    Mutant(
        "latch-later",
        "sdl/campaign/safeguard.py",
        (("            self._commit(bodies)\n        else", "            self._news.extend(bodies)\n        else"),),
        "tests/campaign/test_safeguard.py",
    ),
    Mutant(
        "latch-lost-with-its-journal",
        "sdl/campaign/safeguard.py",
        (("            keep_aside(self._journal, [body for body in bodies if isinstance(body, LatchSet)])\n", ""),),
        "tests/campaign/test_safeguard.py::TestLatched"
        "::test_a_latch_that_the_journal_cannot_take_outlives_the_process_all_the_same",
    ),
    Mutant(
        "latch-waits-for-the-book",
        "sdl/lab/remote/gate.py",
        (
            (
                "            self.latch, self.latched_because = str(uuid.uuid4()), reason  # it holds",
                "            latch = str(uuid.uuid4())  # it holds",
            ),
            (
                '            self._write("latch", latch=self.latch, reason=reason)\n',
                '            self._write("latch", latch=latch, reason=reason)\n'
                "            self.latch, self.latched_because = latch, reason\n",
            ),
        ),
        f"{GATE}::test_a_latch_that_the_book_cannot_take_holds_and_outlives_the_process",
    ),
    Mutant(
        "ramp-jumps",
        "sdl/lab/stopping.py",
        (
            (
                "            await asyncio.sleep(RAMP_PERIOD)\n        return known\n",
                "            return reaction.action.value\n        return known\n",
            ),
        ),
        "tests/lab/test_interlocks.py",
    ),
    Mutant(
        "stall-told-late",
        "sdl/campaign/stalls.py",
        (("TIMES = 2.0\n", "TIMES = 3.0\n"),),
        "tests/campaign/test_stalls.py",
    ),
    Mutant(
        "unknown-is-a-failure",
        "sdl/campaign/concluding.py",
        (("        if self.view.trace(number).unknown:\n", "        if not self.view.name:\n"),),
        "tests/campaign/test_recovery.py::test_a_time_out_parks_the_trial_and_is_never_retried",
    ),
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
    Mutant(
        "loop-waits-for-the-disk",
        "sdl/lab/engine.py",
        (("self._rules.envelope, self._clock, self._scribe))", "self._rules.envelope, self._clock))"),),
        "tests/lab/test_guard.py::test_a_disk_that_hangs_in_an_act_keeps_no_abort_waiting",
    ),
    Mutant(
        "new-id-on-retry",
        "sdl/campaign/recovery.py",
        (
            (
                '    if trace.begun:\n        return Verdict("policy", step, f"{anew}',
                '    if not step:\n        return Verdict("policy", step, f"{anew}',
            ),
        ),
        KILLS,
    ),
    Mutant(
        "runs-left-open",
        "sdl/campaign/open_runs.py",
        (("    return [DocumentEmitted(", "    return [] and [DocumentEmitted("),),
        KILLS,
    ),
    Mutant(
        "NaN-permissive",
        "sdl/problem/units.py",
        (("    if not math.isfinite(found):\n", "    if False:\n"),),
        "tests/problem tests/testing/test_disturbances.py",
    ),
    Mutant(
        "units-optional",
        "sdl/problem/problem.py",
        (
            (
                "    if given.unit == unit:\n        return given\n    if given.unit is None:\n",
                "    if given.unit in (unit, None):\n        return given\n    if False:\n",
            ),
        ),
        "tests/problem/test_problem_problem.py",
    ),
    Mutant(
        "auto-rearm",
        "sdl/lab/latches.py",
        (("    return [latch for latch in found.values() if lab", "    return [latch for latch in () if lab"),),
        "tests/campaign/test_safeguard.py tests/lab/test_interlocks.py",
    ),
    Mutant(
        "relayed-signals-do-not-age",
        "sdl/lab/remote/relay.py",
        (
            ("                answered=max(answered, 0.0),\n", "                answered=0.0,\n"),
            (
                "                stamped=max(stamped, 0.0) if stamped < math.inf else None,\n",
                "                stamped=0.0,\n",
            ),
        ),
        f"{APART}::test_a_pulse_that_repeats_old_values_keeps_nothing_young",
    ),
    Mutant(
        "lost-station-is-waited-for",
        "sdl/lab/interlocks.py",
        (("            began = max([since,", "            began = max([math.inf if self.away else since,"),),
        f"{APART}::test_a_station_that_is_lost_makes_the_others_safe",
    ),
    Mutant(
        "trip-stays-in-its-process",
        "sdl/lab/remote/relay.py",
        (("            tripped=_reasons(self._interlocks, self._ours) if", "            tripped={} if"),),
        f"{APART}::test_what_is_not_enough_trips_everywhere",
    ),
    Mutant(
        "device-journal-in-memory",
        "sdl/lab/remote/book.py",
        (
            (
                "            line = _line(record)\n",
                '            line = _line(record) if record["kind"] == "epoch" else b""\n',
            ),
        ),
        f"{STATION}[station.after_done-True-states3]",
    ),
    Mutant(
        "NEVER-from-empty-journal",
        "sdl/lab/remote/gate.py",
        (
            (
                '            self._record(act, "missing", "the book',
                '            self._record(act, "cancelled", "the book',
            ),
        ),
        GATE,
    ),
    Mutant(
        "retry-on-timeout",
        "sdl/lab/remote/station.py",
        (
            (
                "            result = self._run(job, errand)\n",
                "            try:\n"
                "                result = self._run(job, errand)\n"
                "            except StationLost:\n"
                "                self._note_loss()\n"
                "                again = replace(job, n_acts_before=job.n_acts_before + len(errand.open))\n"
                "                result = self._run(again, Errand(again, self._now))\n",
            ),
        ),
        f"{STATION}[guard.after_act-True-states2]",
    ),
    Mutant(
        "no-dedupe",
        "sdl/lab/remote/gate.py",
        (
            (
                '        if known is not None and known.state != "proposed":\n            raise Refusal',
                "        if known is None and act is None:\n            raise Refusal",
            ),
        ),
        GATE,
    ),
    Mutant(
        "no-tombstone",
        "sdl/lab/remote/gate.py",
        (
            (
                '            self._record(act, "cancelled", "it was asked about before it was begun")\n',
                '            return Act("cancelled")\n',
            ),
        ),
        GATE,
    ),
    Mutant(
        "no-epoch", "sdl/lab/remote/gate.py", (("        if epoch < self.epoch:\n", "        if epoch < 0:\n"),), GATE
    ),
    Mutant(
        "no-expiry",
        "sdl/lab/remote/gate.py",
        (("        if not now <= command.expires:\n", "        if not now:\n"),),
        "tests/lab/test_gate.py",
    ),
    Mutant(
        "station-rearms-itself",
        "sdl/lab/remote/gate.py",
        (
            (
                "        if self.latch:\n            raise Refusal",
                "        if not self.is_held:\n            raise Refusal",
            ),
        ),
        "tests/lab/test_gate.py",
    ),
    Mutant(
        "ZAP-off",
        "sdl/lab/remote/access.py",
        (("        return self._allowed.find(key) is not None\n", "        return True\n"),),
        f"{ACCESS}::test_who_is_not_on_the_list_gets_no_word_in",
    ),
    Mutant(
        "ZAP-not-asked",
        "sdl/lab/remote/sockets.py",
        (
            ("            made.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)\n", ""),
            ("            made.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # nobody", "            # nobody"),
        ),
        f"{ACCESS}::test_who_is_not_on_the_list_gets_no_word_in",
    ),
    Mutant(
        "open-to-the-network",
        "sdl/lab/remote/sockets.py",
        (
            ("    if is_tcp and host in LOOPBACK:\n", "    if is_tcp:\n"),
            ("    if not (is_here or is_closed):\n", "    if not point:\n"),
        ),
        f"{ACCESS}::test_without_keys_nothing_is_bound_off_this_host",
    ),
    Mutant(
        "no-roles",
        "sdl/lab/remote/access.py",
        (('    return "" if needed in roles else', '    return "" if roles else'),),
        f"{ACCESS}::test_what_a_role_does_not_include_is_refused",
    ),
    Mutant(
        "readers-beat",
        "sdl/lab/remote/server.py",
        (("            message = allowed(letter)\n", "            message = decode(letter.data)\n"),),
        f"{ACCESS}::test_a_reader_can_neither_keep_an_engine_alive_nor_stop_it",
    ),
    Mutant(
        "revoked-some-day",
        "sdl/lab/remote/doors.py",
        (("            self._keys.allowed.refresh()\n", "            pass\n"),),
        f"{ACCESS}::test_who_is_taken_off_the_list_is_out_at_once",
    ),
    Mutant(
        "secrets-for-all",
        "sdl/lab/remote/keys.py",
        (("stat.S_IMODE(found.st_mode) & 0o077", "stat.S_IMODE(found.st_mode) & 0o000"),),
        f"{ACCESS}::test_a_secret_is_its_owners_and_is_shown_to_nobody",
    ),
    Mutant(
        "pickle-codec",
        "sdl/lab/remote/messages.py",
        (
            (
                "        plain: object = _unpackb(data,",
                "        plain: object = __import__('pickle').loads(data) if data[:1] == b'\\x80' else _unpackb(data,",
            ),
        ),
        f"{ACCESS}::test_a_pickle_runs_nothing",
    ),
    Mutant(
        "messages-of-any-length",
        "sdl/lab/remote/sockets.py",
        (("        (zmq.MAXMSGSIZE, MAX_MESSAGE),\n", ""),),
        f"{ACCESS}::test_a_message_that_is_too_long_cuts_only_its_own_line",
    ),
    Mutant(
        "half-open-for-ever",
        "sdl/lab/remote/sockets.py",
        (("        (zmq.HANDSHAKE_IVL, HANDSHAKE_MS),\n", "        (zmq.HANDSHAKE_IVL, 0),\n"),),
        f"{ACCESS}::test_random_bytes_half_open_lines_and_probes_do_no_harm",
    ),
    Mutant(
        "nameless-line",
        "sdl/lab/remote/sockets.py",
        (('    made.setsockopt(zmq.ROUTING_ID, b"e" + os.urandom(16))\n', ""),),
        f"{LINE}::test_a_step_goes_on_when_its_line_is_reset",
    ),
    Mutant(
        "wall-clock-lease",
        "sdl/lab/remote/server.py",
        (("        self._now = lab.clock.monotonic\n", "        self._now = lab.clock.time\n"),),
        f"{LINE}::test_a_clock_that_is_set_ends_no_lease_and_makes_no_command_late",
    ),
    Mutant(
        "clocks-never-drift",
        "sdl/lab/remote/link.py",
        (
            (
                "        self._found: deque[float] = deque(maxlen=N_OFFSETS)\n",
                "        self._found: deque[float] = deque()\n",
            ),
        ),
        f"{LINE}::test_clocks_that_drift_apart_make_no_command_late_after_weeks",
    ),
    Mutant(
        "no-boot",
        "sdl/lab/remote/link.py",
        (("        if self.boot and boot != self.boot.encode():\n", "        if not boot:\n"),),
        f"{LINE}::test_an_answer_of_another_boot_is_none",
    ),
    Mutant(
        "set-points-outlive-a-restart",
        "sdl/lab/remote/gate.py",
        (
            (
                "            self._check_set_up(place)\n        for place in places or",
                "            pass\n        for place in places or",
            ),
        ),
        f"{LINE}::test_what_was_set_up_before_a_station_was_started_anew_is_not_relied_on",
    ),
    Mutant(
        "held-unasked",
        "sdl/lab/remote/server.py",
        (
            (
                "            self._gate.check_hold(command_of(hold), self._now(), *held_places(hold))\n",
                "            pass\n",
            ),
        ),
        f"{HELD}::test_a_step_does_not_rely_on_what_a_station_that_it_holds_has_lost",
    ),
    Mutant(
        "held-and-lost",
        "sdl/lab/remote/link.py",
        (("                self.on_lost(self.lost)\n", "                pass\n"),),
        f"{HELD}::test_a_step_ends_when_a_station_that_it_holds_is_lost",
    ),
    Mutant(
        "no-expiry-on-the-wire",
        "sdl/lab/remote/gate.py",
        (("        if not now <= command.expires:\n", "        if not now:\n"),),
        f"{LINE}::test_commands_that_were_queued_in_an_outage_are_not_done_after_it",
    ),
    Mutant(
        "beats-bring-a-lease-back",
        "sdl/lab/remote/gate.py",
        (
            (
                "        if (store, epoch) != (self.store, self.epoch) or not self.holds(now):\n",
                "        if (store, epoch) != (self.store, self.epoch):\n",
            ),
        ),
        GATE,
    ),
    Mutant(
        "hands-ignored",
        "sdl/lab/remote/gate.py",
        (
            (
                "        if self.by_hand:\n            raise Refusal",
                "        if not self.acts:\n            raise Refusal",
            ),
        ),
        f"{GATE}::test_a_person_who_takes_the_station_has_it_until_they_give_it_back",
    ),
    Mutant(
        "hands-stop-nothing",
        "sdl/lab/remote/server.py",
        (
            (
                "                    self._lapse(self._gate.take(by, message.because))\n",
                "                    self._gate.take(by, message.because)\n",
            ),
        ),
        f"{LINE}::test_a_person_takes_the_station_in_the_middle_of_an_act",
    ),
)


def copied(folder: Path) -> None:
    """Copy the tree, as it is now."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
        else:
            shutil.copy(source, folder / name)


def fails(folder: Path, test: str) -> tuple[bool, str]:
    """Run *test* in *folder*; return whether it fails, and the line of pytest that says so."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-p", "no:cacheprovider", *test.split()]
    environment = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    told = sorted((line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))), reverse=True)
    summary = told[0] if told else (done.stdout.strip().splitlines() or [done.stderr[-200:]])[-1]
    return done.returncode == 1, summary


def caught(mutant: Mutant, folder: Path) -> tuple[bool, str]:
    """Build the mutant in *folder*, run its test, and mend it again."""
    path = folder / mutant.file
    whole = text = path.read_text(encoding="utf-8")
    for old, new in mutant.changes:
        if text.count(old) != 1:
            return False, f"cannot be built: {old!r} stands {text.count(old)} times in {mutant.file}"
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    try:
        return fails(folder, mutant.test)
    finally:
        path.write_text(whole, encoding="utf-8")


def main() -> int:
    """Run, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[mutant.name for mutant in MUTANTS])
    given = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if mutant.name in given.only]
    n_missed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copied(folder)
        print("| mutant | caught | by | seconds |\n|---|---|---|---|", flush=True)
        for mutant in chosen:
            started = time.perf_counter()
            is_caught, told = caught(mutant, folder)
            n_missed += not is_caught
            verdict = "yes" if is_caught else "NO"
            print(f"| {mutant.name} | {verdict} | {told[:150]} | {time.perf_counter() - started:.0f} |", flush=True)
    print(f"{len(chosen) - n_missed} of {len(chosen)} mutants caught")
    return 1 if n_missed else 0


if __name__ == "__main__":
    sys.exit(main())
