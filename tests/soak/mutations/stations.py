"""Stations in processes of their own, without one of their protections."""

from __future__ import annotations

from mutations.mutant import Mutant

GATE = "tests/lab/test_gate.py"
ACCESS = "tests/lab/test_remote_access.py"
LINE = "tests/lab/test_remote_line.py"
HELD = "tests/lab/test_needs_apart.py"
STATION = "tests/lab/test_remote_kills.py::test_a_station_killed_at_every_act"
APART = "tests/lab/test_interlocks_apart.py"

MUTANTS = (
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
