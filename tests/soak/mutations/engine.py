"""Journal, engine and loop, without one of their protections."""

from __future__ import annotations

from mutations.mutant import Mutant

APART = "tests/lab/test_interlocks_apart.py"
KILLS = "tests/testing/test_kills.py::test_killed_at_every_fail_point"
EPICS = "tests/lab/test_epics.py"

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
        "lost-station-is-waited-for",
        "sdl/lab/interlocks.py",
        (("            began = max([since,", "            began = max([math.inf if self.away else since,"),),
        f"{APART}::test_a_station_that_is_lost_makes_the_others_safe",
    ),
)
