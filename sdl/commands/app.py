"""All commands: their names, arguments and help. What a command does stands in a module that it imports when it runs.

So ``sdl --help`` costs no more than this page: nothing here imports bluesky, ophyd or torch.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sdl import __version__
from sdl.commands import for_agents, for_devices, for_many, for_stations
from sdl.commands.border import DEBUG_OPTION, DEBUG_VARIABLE, FrontDoor
from sdl.commands.line import Line, at_lab
from sdl.errors import ProblemError

app = typer.Typer(cls=FrontDoor, rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)

Store = Annotated[
    Path | None,
    typer.Argument(metavar="[STORE]", help="A store. Without it: the only one in this folder.", show_default=False),
]
CampaignName = Annotated[
    str | None,
    typer.Option("--campaign", metavar="NAME", help="Which campaign, where a store holds several.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Trials = Annotated[
    int | None, typer.Option("--trials", min=1, metavar="N", help="How many trials in all.", show_default=False)
]


class PlannerChoice(StrEnum):
    """The planners that the demonstration offers."""

    BAYESIAN = "bayesian"
    SOBOL = "sobol"
    RANDOM = "random"


class ActAnswerChoice(StrEnum):
    """What a person may find out about an act."""

    HAPPENED = "happened"
    DID_NOT_HAPPEN = "did-not-happen"
    CANNOT_TELL = "cannot-tell"


class ThenChoice(StrEnum):
    """What may become of an unknown trial."""

    REDO = "redo"
    FAILED = "failed"
    ABANDONED = "abandoned"


class QualityChoice(StrEnum):
    """What a result may be called."""

    VALID = "valid"
    SUSPECT = "suspect"
    INVALID = "invalid"


def _version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"sdl {__version__}")
        raise typer.Exit


def _only_here(what: str, *given: object) -> None:
    """Refuse what a served laboratory has no use for."""
    if any(given):
        raise ProblemError(f"{what} are for this machine, and not for a served laboratory", hint="leave them out")


@app.callback(invoke_without_command=True)
def sdl(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option(DEBUG_OPTION, help=f"Show tracebacks; {DEBUG_VARIABLE}=1 does the same.")
    ] = False,
) -> None:
    """Run a self-driving laboratory: planners propose, bluesky executes, a journal keeps everything."""
    del version, debug  # seen to before: the one by its callback, the other by the front door
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def demo(
    lab: Annotated[
        str | None,
        typer.Argument(metavar="[LAB]", help="A simulated laboratory. Without it: list them.", show_default=False),
    ] = None,
    *,
    trials: Annotated[
        int | None,
        typer.Option("--trials", min=1, metavar="N", help="How many trials in all; 30 at first.", show_default=False),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, metavar="N", help="The source of all chance; 7 at first.", show_default=False),
    ] = None,
    planner: Annotated[
        PlannerChoice | None, typer.Option("--planner", help="Who proposes; bayesian at first.", show_default=False)
    ] = None,
    in_flight: Annotated[
        int | None,
        typer.Option(
            "--in-flight", min=1, metavar="N", help="How many trials at once; 1 at first.", show_default=False
        ),
    ] = None,
    store: Annotated[
        Path | None, typer.Option("--store", metavar="PATH", help="Where; LAB.sdl in this folder.", show_default=False)
    ] = None,
    real_time: Annotated[
        bool, typer.Option("--real-time", help="Let everything take as long as it would; hours a trial.")
    ] = False,
) -> None:
    """Run a simulated laboratory.

    Run it again: it goes on where it stopped.
    """
    from sdl.commands.demo import DemoOptions, demo, list_twins

    if lab is None:
        list_twins()
        return
    chosen = None if planner is None else planner.value
    demo(lab, store, DemoOptions(trials=trials, seed=seed, planner=chosen, in_flight=in_flight, real_time=real_time))


@app.command()
@at_lab
def run(
    file: Annotated[Path, typer.Argument(metavar="SCRIPT|CAMPAIGN.yaml", help="What to run.", show_default=False)],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- ARGUMENTS]", help="Handed to a script.", show_default=False),
    ] = None,
    *,
    trials: Trials = None,
    documents: Annotated[
        str | None,
        typer.Option(
            "--documents",
            metavar="ADDRESS",
            help="Publish documents for viewers: tcp://127.0.0.1:PORT.",
            show_default=False,
        ),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="With --lab: hand it in, and do not wait.")] = False,
    line: Line | None = None,
) -> None:
    """Run a campaign from a script or a campaign file.

    Run it again: it goes on where it stopped.
    """
    if line is not None:
        _only_here("--trials, --documents and arguments", trials, documents, arguments)
        from sdl.commands import asking

        asking.run(line, file, is_detached=detach)
        return
    from sdl.commands.run import run

    run(file, tuple(arguments or ()), trials, documents)


@app.command()
@at_lab
def rehearse(
    target: Annotated[
        Path,
        typer.Argument(metavar="CAMPAIGN.yaml|SCRIPT|STORE", help="What to rehearse.", show_default=False),
    ],
    *,
    trials: Trials = None,
    in_flight: Annotated[
        int | None,
        typer.Option("--in-flight", min=1, metavar="N", help="How many trials at once.", show_default=False),
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option("--begin", metavar="TIME", help="When it begins, UTC; now if left out.", show_default=False),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Ask no planner: steps only take their time.")] = False,
    as_json: AsJson = False,
    line: Line | None = None,
) -> None:
    """Say when a campaign would end, and what holds it up.

    Nothing moves, and nothing is recorded.
    """
    if line is not None:
        _only_here("--trials, --in-flight, --begin and --quick", trials, in_flight, begin, quick)
        from sdl.commands import asking

        asking.rehearse(line, target, as_json=as_json)
        return
    from sdl.commands.rehearse import rehearse

    rehearse(target, trials=trials, in_flight=in_flight, begin=begin, quick=quick, as_json=as_json)


@app.command()
@at_lab
def status(store: Store = None, as_json: AsJson = False, line: Line | None = None) -> None:
    """Say how campaigns stand.

    Trials, the best so far, laboratory time, budget, failures, and what a kill has cut off.
    """
    if line is not None:
        from sdl.commands import served

        served.status(line, store, as_json=as_json)
        return
    from sdl.commands.status import status
    from sdl.commands.stores import find_store

    status(find_store(store), as_json=as_json)


@app.command()
@at_lab
def show(
    trial: Annotated[int, typer.Argument(metavar="TRIAL", help="The trial's number.", show_default=False)],
    store: Store = None,
    campaign: CampaignName = None,
    as_json: AsJson = False,
    line: Line | None = None,
) -> None:
    """Show one trial, and why it was proposed."""
    if line is not None:
        from sdl.commands import served

        served.show(line, trial, store, campaign, as_json=as_json)
        return
    from sdl.commands.show import show
    from sdl.commands.stores import find_store

    show(trial, find_store(store), campaign=campaign, as_json=as_json)


@app.command()
@at_lab
def stock(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STORE] [ACTION]",
            help="count MATERIAL AMOUNT, add MATERIAL AMOUNT, clear RACK[/POSITION], or mark SAMPLE STATE.",
            show_default=False,
        ),
    ] = None,
    *,
    by: Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who says so.", show_default=False)] = None,
    because: Annotated[str | None, typer.Option("--because", metavar="TEXT", help="Why.", show_default=False)] = None,
    lot: Annotated[str | None, typer.Option("--lot", metavar="LOT", help="Which lot.", show_default=False)] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="DAY", help="Last day of a new lot.", show_default=False)
    ] = None,
    tolerance: Annotated[
        str | None,
        typer.Option("--tolerance", metavar="AMOUNT", help="By how much a count may be off.", show_default=False),
    ] = None,
    as_json: AsJson = False,
    line: Line | None = None,
) -> None:
    """Show what is left, or book what was counted.

    Reading works at any time; booking works while no campaign runs on the store.
    """
    from sdl.commands.stock import Slip, stock

    slip = Slip(by, because, lot, expires, tolerance)
    if line is not None:
        from sdl.commands import asking

        asking.stock(line, words or (), slip, as_json=as_json)
        return
    stock(words or (), slip, as_json=as_json)


@app.command()
@at_lab
def rearm(
    store: Store = None,
    *,
    by: Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who has looked.", show_default=False)] = None,
    because: Annotated[
        str, typer.Option("--because", metavar="TEXT", help="What was found, and done.", show_default=False)
    ],
    station: Annotated[
        str | None,
        typer.Option("--station", metavar="NAME", help="Which; all that are latched.", show_default=False),
    ] = None,
    line: Line | None = None,
) -> None:
    """Let steps start again after an interlock tripped.

    Nothing moves by this. Who did it and why is kept in the journal.
    """
    if line is not None:
        _only_here("STORE", store)
        from sdl.commands import asking

        asking.rearm(line, by=by, because=because, station=station)
        return
    from sdl.commands.rearm import rearm
    from sdl.commands.stores import find_store

    rearm(find_store(store), by=by or "", because=because, station=station)


@app.command()
@at_lab
def verdict(
    store: Annotated[
        Path, typer.Argument(metavar="STORE", help="A store; with --lab, a campaign.", show_default=False)
    ],
    trial: Annotated[int, typer.Argument(metavar="TRIAL", min=1, help="Its number.", show_default=False)],
    quality: Annotated[QualityChoice, typer.Argument(help="What its result is.", show_default=False)],
    *,
    by: Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who says so.", show_default=False)] = None,
    because: Annotated[str, typer.Option("--because", metavar="TEXT", help="Why.", show_default=False)],
    campaign: CampaignName = None,
    line: Line | None = None,
) -> None:
    """Say whether the result of a trial can be trusted.

    Planners leave out what is not valid. Name and reason are kept in the journal, and so is every earlier verdict.
    """
    from sdl.journal.trust import Quality

    if line is not None:
        from sdl.commands import asking

        asking.verdict(line, campaign or str(store), trial, Quality(quality.value), by=by, because=because)
        return
    from sdl.commands.stores import find_store
    from sdl.commands.verdict import verdict

    verdict(find_store(store), trial, Quality(quality.value), by=by or "", because=because, campaign=campaign)


@app.command()
@at_lab
def resolve(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[STORE] [TRIAL]", help="Which. Without --answer: list them.", show_default=False),
    ] = None,
    *,
    answer: Annotated[
        ActAnswerChoice | None,
        typer.Option("--answer", help="Whether what was intended was done.", show_default=False),
    ] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who says so.", show_default=False)] = None,
    because: Annotated[
        str | None, typer.Option("--because", metavar="TEXT", help="What it is seen by.", show_default=False)
    ] = None,
    then: Annotated[
        ThenChoice | None,
        typer.Option("--then", help="What is to become of the trial, where it cannot go on.", show_default=False),
    ] = None,
    act: Annotated[
        str | None, typer.Option("--act", metavar="ID", help="Only this act of the trial.", show_default=False)
    ] = None,
    campaign: CampaignName = None,
    line: Line | None = None,
) -> None:
    """Say what became of acts that a crash cut off.

    Works on a store while no campaign runs on it. The name and the reason are kept in the journal.
    """
    from sdl.commands.resolve import Finding, resolve

    said = None if answer is None else answer.value
    finding = Finding(said, by, because, None if then is None else then.value, act)
    if line is not None:
        from sdl.commands import asking

        asking.resolve(line, words or (), finding, campaign)
        return
    resolve(words or (), finding, campaign)


app.command()(for_stations.station)
app.command()(for_stations.keys)
app.command()(for_stations.panel)


@app.command()
@at_lab
def report(
    store: Store = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="NAME.html beside the store.", show_default=False),
    ] = None,
    campaign: CampaignName = None,
    line: Line | None = None,
) -> None:
    """Write a report: an HTML page and pictures."""
    if line is not None:
        from sdl.commands import served_report

        served_report.report(line, output, store, campaign)
        return
    from sdl.commands.exports import report
    from sdl.commands.stores import find_store

    report(find_store(store), output, campaign=campaign)


@app.command()
@at_lab
def export(
    store: Store = None,
    *,
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv", metavar="FILE", help="Write the trials as CSV; - for standard output.", show_default=False
        ),
    ] = None,
    events: Annotated[
        Path | None,
        typer.Option(
            "--events",
            metavar="FILE",
            help="Write all events as JSON lines; - for standard output.",
            show_default=False,
        ),
    ] = None,
    tiled: Annotated[
        str | None,
        typer.Option(
            "--tiled", metavar="URL|FOLDER", help="Replay the ended runs into a Tiled catalogue.", show_default=False
        ),
    ] = None,
    campaign: CampaignName = None,
    line: Line | None = None,
) -> None:
    """Write trials as a table, events as JSON, or runs into Tiled."""
    if csv is None and events is None and tiled is None:
        raise typer.BadParameter("say where to: --csv FILE, --events FILE or --tiled URL", param_hint="--csv")
    if line is not None:
        _only_here("--tiled", tiled)
        from sdl.commands import served

        if csv is not None:
            served.export_csv(line, csv, store, campaign)
        if events is not None:
            served.export_events(line, events, store, campaign)
        return
    from sdl.commands.exports import export, export_events, export_runs
    from sdl.commands.stores import find_store

    if csv is not None:
        export(find_store(store), csv, campaign=campaign)
    if events is not None:
        export_events(find_store(store), events)
    if tiled is not None:
        export_runs(find_store(store), tiled, campaign=campaign)


@app.command()
def verify(
    store: Store = None,
    expected_head: Annotated[
        str | None,
        typer.Option("--expected-head", metavar="NUMBER:HASH", help="A head noted elsewhere.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that a store is what was written to it.

    The chain of hashes, every event, every artifact. Note the head that is printed: given back later with
    --expected-head, it shows whether the end was cut off.
    """
    from sdl.commands.exports import verify
    from sdl.commands.stores import find_store

    raise typer.Exit(verify(find_store(store), expected_head, as_json=as_json))


@app.command()
def backup(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="The folder of the store.", show_default=False)],
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="A folder to make.", show_default=False)],
) -> None:
    """Copy a store, while a campaign writes to it or not.

    The copy is a store like any other. Note the head that is printed, elsewhere.
    """
    from sdl.commands.exports import backup
    from sdl.commands.stores import find_store

    backup(find_store(store), target)


@app.command()
def replay(
    store: Store = None,
    campaign: CampaignName = None,
    module: Annotated[
        list[str] | None,
        typer.Option("--module", metavar="NAME", help="A package whose planners may be imported.", show_default=False),
    ] = None,
    is_dry: Annotated[bool, typer.Option("--dry", help="Compare, and record nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ask the planners again, and compare with what they proposed.

    From the recorded data alone, bit for bit. The outcome is kept in the journal.
    """
    from sdl.commands.replay import replay
    from sdl.commands.stores import find_store

    found = find_store(store)
    raise typer.Exit(replay(found, campaign, tuple(module or ()), is_recorded=not is_dry, as_json=as_json))


app.command()(for_agents.mcp)
app.command()(for_devices.check_device)
app.command()(for_devices.new)
app.command()(at_lab(for_many.approve))
app.command()(at_lab(for_many.order))
app.command()(for_many.serve)
app.command()(at_lab(for_many.stop))
app.add_typer(for_many.users, name="users")


@app.command()
def doctor(
    as_json: AsJson = False,
    deep: Annotated[bool, typer.Option("--deep", help="Also import torch, which takes some seconds.")] = False,
) -> None:
    """Say what is installed and what is wrong."""
    from sdl.commands.doctor import doctor

    raise typer.Exit(doctor(as_json=as_json, deep=deep))
