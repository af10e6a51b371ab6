"""``sdl report``, ``sdl export``, ``sdl verify`` and ``sdl backup``: what leaves a store, and whether it is sound."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from sdl.campaign.planner import Predictor
from sdl.campaign.planning import spec_of
from sdl.campaign.view import CampaignView
from sdl.commands.border import ExitCode
from sdl.commands.output import complain, say, say_facts, say_json
from sdl.commands.stores import SUFFIX, reading, view_of
from sdl.errors import JournalError, ProblemError, SdlError
from sdl.export import words
from sdl.export.tables import write_csv
from sdl.journal import Finding, VerifyReport, audit
from sdl.journal import backup as journal_backup
from sdl.journal.protocol import Journal

STANDARD_OUTPUT = Path("-")
HEAD = re.compile(r"(?:(?P<number>\d+):)?(?P<hash>[0-9a-f]{64})")


def report(store: Path, output: Path | None, *, campaign: str | None) -> None:
    """Write the report of a campaign and say which files were made."""
    with reading(store) as journal:
        view = view_of(journal, campaign)
        path = beside(store, ".html") if output is None else output
        check_writable(path)
        for written in reported(view, path, journal):
            say(str(written))


def reported(view: CampaignView, path: Path, journal: Journal) -> Sequence[Path]:
    """Write the report of *view*, with slices of the model where the planner can be made again and has one."""
    from sdl.export.report import write_report  # matplotlib, which takes half a second

    return write_report(view, path, predictor=predictor_of(view), journal=journal)


def predictor_of(view: CampaignView) -> Predictor | None:
    """Make the campaign's planner anew from its description; None where that fails, or where it predicts nothing."""
    spec = spec_of(view.planner)
    try:
        planner = None if spec is None else spec.make()
    except (SdlError, ImportError, AttributeError) as error:
        complain(f"the report goes without slices of the model: planner {view.planner.get('name')}: {error}", "")
        return None
    return planner if isinstance(planner, Predictor) else None


def beside(store: Path, suffix: str) -> Path:
    """Return the path of a file beside *store*: ``films.html`` for ``films.sdl``, ``films.html`` for ``films`` too."""
    path = store if store.name not in {"", ".."} else store.resolve()
    return path.with_name(path.name.removesuffix(SUFFIX) + suffix)


def check_writable(path: Path) -> None:
    """Refuse a file that cannot be written, before work is spent on its content."""
    if path.is_dir():
        raise ProblemError(f"{path} is a folder", hint="name a file")
    if not path.parent.is_dir():
        raise ProblemError(f"there is no folder {path.parent}", hint="make it, or name another place")


def export(store: Path, csv: Path, *, campaign: str | None) -> None:
    """Write the trials as CSV to a file, or to standard output for ``-``."""
    with reading(store) as journal:
        view = view_of(journal, campaign)
    if csv == STANDARD_OUTPUT:
        _export_to_output(view)
        return
    check_writable(csv)
    write_csv(view, csv)
    say(f"{csv}: {words.count(view.n_proposed, 'trial')}")


def _export_to_output(view: CampaignView) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = write_csv(view, Path(folder) / "trials.csv").read_text(encoding="utf-8")
    sys.stdout.write(data)


def verify(store: Path, expected_head: str | None, *, as_json: bool) -> ExitCode:
    """Check *store*, say what was found, and return whether all is well."""
    expected = None if expected_head is None else _head(store, expected_head)
    found = audit.verify(store, expected_head=expected)
    if as_json:
        say_json({"store": str(store), "ok": found.ok, **found.model_dump(mode="json")})
    else:
        _say_found(store, found)
    return ExitCode.FINE if found.ok else ExitCode.FAILED


def export_events(store: Path, output: Path) -> None:
    """Write every event of *store* as a line of JSON, in order, documents too.

    A line has the columns of the row, the body's text as it was hashed, and so all that is needed to check it.
    """
    if output != STANDARD_OUTPUT:
        check_writable(output)
    with reading(store) as journal:
        lines = (json.dumps(event._asdict(), ensure_ascii=False) + "\n" for event in journal.read())
        if output == STANDARD_OUTPUT:
            sys.stdout.writelines(lines)
            return
        n_lines = _written_lines(output, lines)
    say(f"{output}: {words.count(n_lines, 'event')}")


def export_runs(store: Path, target: str, *, campaign: str | None) -> None:
    """Replay the ended runs of *store* into Tiled, and say how many there were."""
    from sdl.export.tiled import export_to_tiled

    with reading(store) as journal:
        done = export_to_tiled(journal, target, campaign=None if campaign is None else view_of(journal, campaign).name)
    rest = [f"{n} {what}" for n, what in ((done.n_there, "there already"), (done.n_open, "not ended yet")) if n]
    say(f"{target.partition('?')[0]}: {', '.join([words.count(done.n_new, 'run'), *rest])}")


def _written_lines(output: Path, lines: Iterable[str]) -> int:
    n_lines = 0
    with output.open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(line)
            n_lines += 1
    return n_lines


def backup(store: Path, target: Path) -> None:
    """Copy *store* to *target*, check the copy, and say its head."""
    number, digest = journal_backup(store, target)
    found = audit.verify(target, expected_head=(number, digest))
    if not found.ok:
        raise JournalError(f"the copy {target} is not sound: {found.problems[0]}", hint=f"sdl verify {store}")
    say(f"{target}: {words.count(number, 'event')}, checked")
    say(f"head  {number}:{digest}")


def _head(store: Path, text: str) -> tuple[int, str]:
    """Read a head: number and hash, or the hash alone, whose number is looked up."""
    match = HEAD.fullmatch(text.strip().lower())
    if match is None:
        raise ProblemError(
            f"--expected-head {text!r} is no head", hint="it is NUMBER:HASH as sdl verify prints it, or the hash alone"
        )
    if match["number"] is not None:
        return int(match["number"]), match["hash"]
    return _number_of(store, match["hash"]), match["hash"]


def _number_of(store: Path, wanted: str) -> int:
    """Return the number of the event with that hash; 1 where there is none, which the check then finds wrong."""
    try:
        with reading(store) as journal:
            return next((event.sequence for event in journal.read() if event.hash == wanted), 1)
    except JournalError:  # too damaged to be searched: the check itself says how
        return 1


def _say_found(store: Path, found: VerifyReport) -> None:
    events, artifacts = words.count(found.n_events, "event"), words.count(found.n_artifacts, "artifact")
    say(f"{store}: {'sound' if found.ok else 'NOT SOUND'}", style="green" if found.ok else "red")
    say_facts([("checked", f"{events}, {artifacts}"), ("head", f"{found.head[0]}:{found.head[1]}")])
    for problem in found.problems:
        say(f"  {_problem(problem)}")


def _problem(problem: Finding) -> str:
    if not problem.sequence:
        return str(problem)
    return f"{problem} -> restore the store from a backup made before event {problem.sequence}"
