"""What there is to say of the laboratory, as answers: stations, timeline, stock, alarms; each for whoever asks.

Campaigns that one may not see have no name there: a station is busy with another campaign.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from sdl.errors import LabError
from sdl.journal.materials import MaterialAdded, MaterialBody, MaterialCounted, SampleMarked, SampleMoved, SampleState
from sdl.journal.records import StepStarted
from sdl.journal.safety import InterlockTripped
from sdl.lab import Ledger
from sdl.lab.latches import Latch, latches_in
from sdl.lab.materials import Consumable, Reagent
from sdl.problem.amount import Amount
from sdl.problem.value import listing
from sdl.server import asked, models
from sdl.server.dossiers import Dossier
from sdl.server.house import House
from sdl.server.identities import Identity, Role

MAX_TRIPS = 50
"""Trips that are told of, the newest."""

Seen = Mapping[str, Dossier]
"""The campaigns that whoever asks may see, by name."""


def seen(house: House, who: Identity) -> Seen:
    """Return the campaigns that *who* may see."""
    return {each.name: each for each in house.seen_by(who)}


def named(known: Seen, campaign: str) -> tuple[str | None, str]:
    """Return id and name of a campaign; nothing of one that is not seen."""
    return (known[campaign].id, campaign) if campaign in known else (None, "")


# --- stations ---------------------------------------------------------------------------------------------------------


def laboratory_info(house: House, who: Identity) -> models.LaboratoryInfo:
    """Return the laboratory and what its stations do."""
    lab, known = house.lab, seen(house, who)
    described = lab.describe()
    doing = doing_now(house, known)
    closed = {each.station: each for each in latch_infos(house, who)}
    sequence, digest = house.journal.head
    return models.LaboratoryInfo(
        name=lab.name,
        kind=str(described["kind"]),
        is_simulated=lab.is_simulated,
        clock="virtual" if lab.clock.is_virtual else "wall",
        now=house.now,
        head=models.Head(sequence=sequence, hash=digest),
        engine="failed" if house.host.failure else "ending" if house.is_closing else "running",
        reason=house.host.failure,
        at_once=house.laboratory.file.at_once,
        stations=tuple(
            models.StationInfo(
                name=name,
                devices=tuple(station.devices),
                state="latched" if name in closed else "working" if name in doing else "idle",
                doing=doing.get(name),
                latch=closed.get(name),
                calendar=lab.calendars[name].model_dump(mode="json") if name in lab.calendars else None,
            )
            for name, station in lab.stations.items()
        ),
    )


def doing_now(house: House, known: Seen) -> dict[str, models.Doing]:
    """Return what each station works on; those that are free are left out."""
    found: dict[str, models.Doing] = {}
    for each in house.dossiers():
        if each.name in house.running:
            for event in house.look(each, lambda view: view.whereabouts.runs_now):
                body = event.body
                if not isinstance(body, StepStarted):
                    continue
                trials = body.members or ((event.trial,) if event.trial is not None else ())
                campaign, name = named(known, each.name)
                doing = models.Doing(
                    campaign=campaign,
                    campaign_name=name,
                    trials=trials if campaign else (),
                    step=body.step if campaign else "",
                    since=event.time,
                )
                found.update(dict.fromkeys((body.station, *body.needs), doing))
    return found


# --- alarms -----------------------------------------------------------------------------------------------------------


def latch_infos(house: House, who: Identity) -> list[models.LatchInfo]:
    """Return what is latched."""
    may_rearm = who.may([Role.OPERATE])
    return [_latch(house, each, may_rearm=may_rearm) for each in latches_in(house.journal, house.lab.name)]


def _latch(house: House, latch: Latch, *, may_rearm: bool) -> models.LatchInfo:
    since = next(event.time for event in house.journal.read(latch.sequence - 1) if event.sequence == latch.sequence)
    return models.LatchInfo(
        station=latch.station,
        interlock=latch.body.interlock,
        reason=latch.body.reason,
        since=since,
        may_rearm=may_rearm,
    )


def alarms(house: House, who: Identity) -> models.Alarms:
    """Return what is latched and what has tripped."""
    trips = [
        models.TripInfo(
            interlock=event.body.interlock,
            reason=event.body.reason,
            signals=event.body.signals,
            actions=dict(event.body.actions),
            time=event.time,
        )
        for event in house.journal.read(kinds=("safety.tripped",))
        if isinstance(event.body, InterlockTripped)
    ]
    return models.Alarms(latches=tuple(latch_infos(house, who)), trips=tuple(reversed(trips[-MAX_TRIPS:])))


# --- stock ------------------------------------------------------------------------------------------------------------


def stock_info(house: House, who: Identity) -> models.StockInfo:
    """Return the stock. Samples of campaigns that *who* may not see are left out."""
    day, known = house.now.date(), seen(house, who)
    return house.look_at_stock(lambda ledger: _stock(ledger, day, known))


def _stock(ledger: Ledger, day: dt.date, known: Seen) -> models.StockInfo:
    mine = {each.name for each in ledger.samples if each.campaign in known}
    return models.StockInfo(
        materials=tuple(_material(ledger, name, day) for name in ledger.materials),
        racks=tuple(
            models.RackInfo(
                rack=rack.name,
                positions=rack.positions,
                free=tuple(rack.free),
                taken={where: name if name in mine else "" for where, name in rack.taken.items()},
            )
            for rack in ledger.racks.values()
        ),
        samples=tuple(
            models.SampleInfo(
                sample=each.name,
                campaign=named(known, each.campaign)[0],
                trial=each.trial,
                state=each.state.value,
                positions=each.positions,
                because=each.because,
                by=each.by,
            )
            for each in ledger.samples
            if each.name in mine
        ),
        waiting=tuple(shortages(ledger, known)),
    )


def shortages(ledger: Ledger, known: Seen) -> list[models.Shortage]:
    """Return what the steps of the *known* campaigns lack."""
    return [
        models.Shortage(campaign=each.id, campaign_name=name, trial=trial, step=body.step, missing=body.missing)
        for name, each in known.items()
        for trial, body in ledger.waiting(name).items()
    ]


def _material(ledger: Ledger, name: str, day: dt.date) -> models.MaterialInfo:
    balance = ledger.balance(name, day)
    return models.MaterialInfo(
        material=name,
        unit=balance.left.unit,
        left=str(balance.left),
        least=balance.left.least,
        most=balance.left.most,
        reserved=str(balance.reserved) if balance.reserved.most else "",
        consumed=str(balance.consumed) if balance.consumed.most else "",
        unexplained=balance.unexplained,
        lots=tuple(
            models.LotInfo(lot=lot.lot, left=str(lot.left), expires=lot.expires, is_expired=lot.is_expired)
            for lot in balance.lots
        ),
    )


def stock_bodies(ledger: Ledger, entry: asked.StockEntry) -> Sequence[MaterialBody]:
    """Return what is booked for *entry*. Raises LabError or ProblemError for what cannot be."""
    if entry.action != "add" and not entry.because.strip():
        raise LabError(f"{entry.action} needs a reason", hint='say because: "what you did or saw"')
    match entry.action:
        case "count":
            counted = _amount(ledger, entry)
            lot = _lot(ledger, entry)
            if entry.tolerance:
                counted = counted.give_or_take(entry.tolerance)
            return [MaterialCounted(material=entry.material, lot=lot, amount=counted, because=entry.because)]
        case "add":
            return [_added(ledger, entry)]
        case "clear":
            return _cleared(ledger, entry)
        case "mark":
            if entry.state not in set(SampleState):
                raise LabError(f"{entry.state!r} is no state of a sample", hint=f"one of {listing(SampleState)}")
            name = ledger.sample(entry.sample).name
            return [SampleMarked(sample=name, state=SampleState(entry.state), because=entry.because)]


def campaign_of(ledger: Ledger, body: MaterialBody) -> str:
    """Return the campaign that a booking is of: that of the sample, which others may not see; else none."""
    return ledger.sample(body.sample).campaign if isinstance(body, SampleMoved | SampleMarked) else ""


def _amount(ledger: Ledger, entry: asked.StockEntry) -> Amount:
    amount = Amount.of(entry.amount, name=entry.material)
    return amount.to(ledger.unit(entry.material), name=entry.material) if entry.material in ledger.materials else amount


def _lot(ledger: Ledger, entry: asked.StockEntry) -> str:
    lots = ledger.lots(entry.material)
    there = [lot.name for lot in lots if lot.left.most > 0] or [lots[-1].name]
    if entry.lot:
        if entry.lot not in {lot.name for lot in lots}:
            raise LabError(f"there is no lot {entry.lot!r} of {entry.material}", hint=f"there is {listing(there)}")
        return entry.lot
    if len(there) > 1:
        raise LabError(f"there are {len(there)} lots of {entry.material}", hint=f"name one of {listing(there)}")
    return there[0]


def _added(ledger: Ledger, entry: asked.StockEntry) -> MaterialAdded:
    amount = _amount(ledger, entry)
    made = (Consumable if amount.unit is None else Reagent)(
        entry.material, amount, lot=entry.lot, expires=entry.expires
    )
    return MaterialAdded(
        material=made.name,
        lot=made.lot,
        form=made.form,
        amount=amount,
        expires=None if made.expires is None else made.expires.isoformat(),
        because=entry.because,
    )


def _cleared(ledger: Ledger, entry: asked.StockEntry) -> list[MaterialBody]:
    rack, _, position = entry.place.partition("/")
    if rack not in ledger.racks:
        raise LabError(f"there is no rack {rack!r}", hint=f"there is {listing(ledger.racks) or 'none'}")
    taken = ledger.racks[rack].taken
    names = dict.fromkeys(name for where, name in taken.items() if not position or where == position)
    if not names:
        raise LabError(
            f"there is no sample in {entry.place}", hint=f"there is one in {listing(taken) or 'no position'}"
        )
    return [SampleMoved(sample=name, position=None, because=entry.because) for name in names]
