"""What the commands ask of a served laboratory: to run a campaign, to answer, to book, to stop."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from sdl.commands import served
from sdl.commands.border import CampaignInterrupted, CampaignStopped
from sdl.commands.facts import outcomes_text, second
from sdl.commands.line import Line
from sdl.commands.output import say, say_facts, say_json, tell, title
from sdl.commands.resolve import Finding
from sdl.commands.stock import ACTIONS, Slip
from sdl.errors import AccessError, CampaignError, ProblemError, TransportError
from sdl.export import words
from sdl.journal.orders import OrderWord
from sdl.journal.trust import Quality
from sdl.problem import Measurement
from sdl.problem.value import listing

if TYPE_CHECKING:
    from sdl.server import models
    from sdl.server.asked import StockEntry
    from sdl.server.client import Client
    from sdl.server.rehearsal import Rehearsal

RECONNECTS = 30
"""How often in a row a line that broke is taken up again, a second apart."""

SETTLING = 10.0
"""Seconds that a campaign has, after its session has ended, to stand still."""


# --- a campaign -------------------------------------------------------------------------------------------------------


def rehearse(line: Line, file: Path, *, as_json: bool) -> None:
    """Say what the campaign of *file* would take at a served laboratory."""
    with line.client() as client:
        found = client.rehearse(_text_of(file))
    if as_json:
        say_json(found.model_dump(mode="json"))
    else:
        say_rehearsal(found)


def say_rehearsal(found: Rehearsal) -> None:
    """Print what was predicted."""
    counts = ", ".join(f"{n} {state}" for state, n in found.counts.items())
    title(f"rehearsed: {found.how}")
    say_facts(
        [
            ("trials", f"{found.trials or ''} {f'({counts})' if counts else ''}".strip()),
            ("ends", second(found.end)),
            ("takes", "" if found.seconds is None else words.duration(found.seconds)),
            ("cost", words.number(found.cost) if found.cost else ""),
            ("bottleneck", found.bottleneck or ""),
            *((each.material, f"{each.amount} of {each.left}") for each in found.uses),
            *(("warning", each) for each in found.warnings),
        ]
    )


def run(line: Line, file: Path, *, is_detached: bool) -> None:
    """Hand the campaign of *file* in, or let the one of that name go on; follow it to its end."""
    text = _text_of(file)
    with line.client() as client:
        now = client.lab().head.sequence
        found = _handed_in(client, text)
        if is_detached:
            served.say_campaign(client.campaign(found.id))
            return
        try:
            ended = follow(client, found, now)
        except KeyboardInterrupt:
            hint = f"the same command follows it again; sdl order {found.name} stop --lab {line.address} ends it"
            raise CampaignInterrupted(f"campaign {found.name} goes on at {line.address}", hint=hint) from None
    for each in ended.best or ():
        say(served.winner_line(each))
    if ended.state != "finished":
        hint = f"sdl status {ended.name} --lab {line.address} says more"
        raise CampaignStopped(f"campaign {ended.name} {ended.state}: {ended.reason}", hint=hint)


def _text_of(file: Path) -> str:
    if file.suffix not in {".yaml", ".yml"} or not file.is_file():
        raise ProblemError(f"{file} is no campaign file", hint="a served laboratory takes campaign files (.yaml)")
    return file.read_text(encoding="utf-8")


def _handed_in(client: Client, text: str) -> models.CampaignInfo:
    """Return the campaign of the file *text*: a new one, or the one that is there already."""
    there = _there(client, text)
    if there is None:
        tell("it is rehearsed first")
        found = client.submit(text)
        tell(f"campaign {found.name} is handed in")
        if found.rehearsal is not None:
            say_rehearsal(found.rehearsal)
        return found
    if client.file(there.id) != text:
        raise CampaignError(
            f"there is a campaign {there.name!r} of another file", hint="give this one another name, in its file"
        )
    again: OrderWord = "resume" if "resume" in there.may else "start"
    return client.order(there.id, again) if again in there.may else there


def _there(client: Client, text: str) -> models.CampaignInfo | None:
    from sdl.campaign.yaml_text import YamlText

    name = YamlText.of(text, "the file").data.get("name")
    return next((each for each in client.campaigns() if each.name == name), None)


def follow(client: Client, found: models.CampaignInfo, after: int) -> models.CampaignInfo:
    """Print the trials of a campaign that end after event *after*, until it does not run any more.

    Return how it stands then.
    """
    from sdl.server.client import OVER, pause

    n_lost = 0
    while True:
        try:
            for number in _followed(client, found, after):
                after, n_lost = number, 0
            now = client.campaign(found.id)
        except TransportError as error:
            n_lost += 1
            if n_lost > RECONNECTS:
                raise
            tell(f"{error.message}; asked again in a second")
            pause(1.0)
            continue
        if now.state in OVER:
            return now


def _followed(client: Client, found: models.CampaignInfo, after: int) -> Generator[int]:
    """Follow by one line until the campaign has ended, or the line has; yield the number of each event that is told."""
    from sdl.server.client import OVER

    with closing(client.events(after=after, campaign=found.id)) as events:
        for kind, event in events:
            if kind == "hello":
                yield event.sequence
                if client.campaign(found.id).state in OVER:  # nothing more will come
                    return
            elif kind == "session.ended":
                yield event.sequence
                _settled(client, found)
                return
            else:
                if said := _said(event):
                    say(said)
                yield event.sequence


def _settled(client: Client, found: models.CampaignInfo) -> None:
    try:
        client.wait(found.id, SETTLING)
    except TimeoutError:  # it goes on: the server is being closed, or somebody has resumed it
        return


def _said(event: models.EventInfo) -> str:
    body = event.body
    match event.kind:
        case "trial.completed":
            observation = cast("dict[str, dict[str, object]]", body["observation"])
            outcomes = {name: Measurement.from_data(each) for name, each in observation["outcomes"].items()}
            return f"trial {event.trial}: {outcomes_text(outcomes)}"
        case "trial.failed":
            return f"trial {event.trial} failed: {cast('dict[str, object]', body['failure'])['reason']}"
        case "trial.abandoned" | "trial.unknown":
            return f"trial {event.trial} is {event.kind.partition('.')[2]}: {body.get('reason', '')}"
        case "approval.asked":
            trials = listing(cast("list[int]", body["trials"]))
            return f"trial {trials} of {event.campaign_name} waits for approval: {body['because']}"
        case "campaign.ordered" if event.actor != "engine":
            return ", ".join(filter(None, (f"{event.actor} orders: {body['order']}", str(body.get("because", "")))))
        case _:
            return ""


def order(line: Line, campaign: str, word: OrderWord, because: str) -> None:
    """Order what is to become of a campaign, and say how it stands."""
    with line.client() as client:
        client.order(client.campaign(campaign).id, word, because)
        served.say_campaign(client.campaign(campaign))


def stop(line: Line, station: str | None, because: str) -> None:
    """Stop everything at once, or what runs on one station."""
    with line.client() as client:
        if station is None:
            client.stop_everything(because=because)
            say("told every device to stop, and ended every campaign")
        else:
            client.abort_station(station, because=because)
            say(f"aborted what runs on {station}")


# --- answers ----------------------------------------------------------------------------------------------------------


def _place(given: Sequence[str], campaign: str | None) -> tuple[tuple[str | None, ...], int | None]:
    """Take ``[CAMPAIGN] [TRIAL]`` apart."""
    *names, last = given or ("",)
    if len(given) > 2 or (names and not last.isdecimal()):
        raise ProblemError(f"{' '.join(given)} names no trial of a campaign", hint="[CAMPAIGN] [TRIAL]")
    if last.isdecimal():
        return (*names, campaign), int(last)
    return (last or None, campaign), None


def _check_name(client: Client, by: str | None) -> None:
    """Refuse another name than that of the token: the journal has that one."""
    name = client.me().name
    if by is not None and by != name:
        raise AccessError(f"the token is that of {name}, and not of {by}", hint="leave --by out: the token says who")


def approve(
    line: Line, given: Sequence[str], *, by: str | None, because: str, is_refused: bool, campaign: str | None
) -> None:
    """Approve or refuse the request that a trial belongs to; without a trial, list what waits."""
    names, number = _place(given, campaign)
    with line.client() as client:
        _check_name(client, by)
        waiting = client.inbox().approvals
        if any(names):
            of = served.chosen(client, *names).id
            waiting = tuple(each for each in waiting if each.campaign == of)
        if number is None:
            served.say_requests(waiting, line)
            return
        found = [each for each in waiting if number in {trial.trial for trial in each.trials}]
        if len(found) != 1:
            problem = f"{len(found)} requests are about trial {number}" if found else f"trial {number} waits for nobody"
            raise CampaignError(problem, hint=f"name the campaign; sdl approve --lab {line.address} lists them")
        first = found[0].trials[0].trial
        answer: Literal["approved", "refused"] = "refused" if is_refused else "approved"
        done = client.approve(found[0].campaign, first, answer, because)
    trials = listing(each.trial for each in done.trials)
    say(f"trial {trials} of {done.campaign_name}: {done.state} by {done.answered_by}")


def resolve(line: Line, given: Sequence[str], finding: Finding, campaign: str | None) -> None:
    """Say what became of acts of an unknown trial; without an answer, list what there is to find out."""
    names, number = _place(given, campaign)
    with line.client() as client:
        _check_name(client, finding.by)
        unknown = [each for each in client.inbox().unknown if number in {None, each.trial}]
        if any(names):
            of = served.chosen(client, *names).id
            unknown = [each for each in unknown if each.campaign == of]
        if finding.answer is None and finding.then is None:
            served.say_unknown(unknown, line)
            return
        if len(unknown) != 1:
            hint = f"name campaign and trial; sdl resolve --lab {line.address} lists them"
            raise CampaignError(f"{len(unknown)} unknown trials are meant", hint=hint)
        if not (finding.because and finding.because.strip()):
            raise ProblemError("an answer needs a reason", hint="add --because TEXT; it is kept in the journal")
        answer = None if finding.answer is None else finding.answer.replace("-", "_")
        client.answer(
            unknown[0].campaign,
            unknown[0].trial,
            cast("Literal['happened', 'did_not_happen', 'cannot_tell'] | None", answer),
            then=cast("Literal['redo', 'failed', 'abandoned'] | None", finding.then),
            act=finding.act,
            because=finding.because,
        )
        now = client.trial(unknown[0].campaign, unknown[0].trial)
    say(f"trial {now.trial} of {unknown[0].campaign_name} is {now.state}; your answer is on record")


def verdict(line: Line, campaign: str, trial: int, quality: Quality, *, by: str | None, because: str) -> None:
    """Say whether the result of a trial can be trusted."""
    with line.client() as client:
        _check_name(client, by)
        client.judge(served.chosen(client, campaign).id, trial, quality, because=because)
    say(f"trial {trial} is {quality.value}")


def rearm(line: Line, *, by: str | None, because: str, station: str | None) -> None:
    """Let steps start again where an interlock had tripped."""
    with line.client() as client:
        _check_name(client, by)
        closed = dict.fromkeys(each.station for each in client.alarms().latches if station in {None, each.station})
        if not closed:
            what = "no station is" if station is None else f"{station} is not"
            raise CampaignError(f"{what} latched", hint="sdl status --lab says how it stands")
        for each in closed:
            client.rearm(each, because=because)
            say(f"armed again: {each}")
    say("Nothing has moved. Campaigns go on by themselves, or with sdl order NAME resume.")


def stock(line: Line, given: Sequence[str], slip: Slip, *, as_json: bool) -> None:
    """Show the stock, after booking what is said."""
    with line.client() as client:
        _check_name(client, slip.by)
        found = client.book(_entry(given, slip)) if given else client.stock()
    served.say_stock(found, as_json=as_json)


def _entry(given: Sequence[str], slip: Slip) -> StockEntry:
    from sdl.server.asked import StockEntry

    action, *rest = given
    if action not in ACTIONS:
        raise ProblemError(f"sdl stock does not know {action!r}", hint=f"it knows {', '.join(ACTIONS)}")
    needed = {"clear": ("place",), "mark": ("sample", "state")}.get(action, ("material", "amount"))
    if len(rest) != len(needed):
        wanted = " and ".join(ACTIONS[action][0])
        raise ProblemError(f"sdl stock {action} takes {wanted}, got {listing(rest) or 'nothing'}")
    said = {
        "because": slip.because or "",
        "lot": slip.lot or "",
        "expires": slip.expires,
        "tolerance": slip.tolerance,
    }
    return StockEntry.from_data({"action": action, **dict(zip(needed, rest, strict=True)), **said})
