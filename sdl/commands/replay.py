"""``sdl replay``: the planners are asked again, from the recorded data alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sdl.campaign.replay import OURS, replay_proposals
from sdl.commands.output import say, say_json
from sdl.commands.stores import reading, view_of
from sdl.journal import open_journal
from sdl.journal.records import Divergence, Entry, ParameterValue, ProposalsReplayed


def replay(
    store: Path, campaign: str | None, modules: Sequence[str], *, is_recorded: bool, as_json: bool = False
) -> int:
    """Compare, print, record; return 1 where something came out differently."""
    with reading(store) as journal:
        name = view_of(journal, campaign).name
        found = replay_proposals(journal, name, modules=(*OURS, *modules))
    if is_recorded:
        writer = open_journal(store)
        try:
            writer.append(Entry(body=found, campaign=name))
        finally:
            writer.close()
    if as_json:
        say_json(found.model_dump(mode="json"))
    else:
        _say(name, found)
    return 1 if found.divergences else 0


def _say(name: str, found: ProposalsReplayed) -> None:
    say(f"campaign {name}: {found.n_same} proposals came out the same, {len(found.divergences)} differently")
    for each in found.divergences:
        say(f"  trial {each.trial}: {_written(each.recorded)} then, {_now(each)} now")
    for reason in dict.fromkeys(found.left_out.values()):
        trials = [trial for trial, said in found.left_out.items() if said == reason]
        say(f"  {len(trials)} not asked again (trial {trials[0]} first): {reason}")


def _now(divergence: Divergence) -> str:
    return divergence.error or "nothing" if divergence.replayed is None else _written(divergence.replayed)


def _written(values: Mapping[str, ParameterValue]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())
