"""The routes of what people are asked to do by hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from sdl.errors import ProblemError
from sdl.server import asked, models, premises
from sdl.server.desk import Errand
from sdl.server.house import House, Missing
from sdl.server.identities import Identity, Role
from sdl.server.routing import Routes, Who, json_of

TaskName = Annotated[str, Field(max_length=100)]


def task_routes(house: House) -> Routes:
    """Return the routes of tasks."""
    routes = Routes("laboratory")

    @routes.get("/tasks", Role.READ)
    def list_tasks(who: Who) -> models.TaskList:
        """Return what people are asked to do by hand, of the campaigns that you see, oldest first."""
        return models.TaskList(tasks=tuple(task_infos(house, who, premises.seen(house, who))))

    @routes.post("/tasks/{task}", Role.OPERATE)
    def answer_task(
        task: TaskName, who: Who, body: Annotated[asked.TaskReply, json_of(asked.TaskReply)]
    ) -> models.Done:
        """Say that a task is done, or could not be, and what there is to note."""
        if task not in {each.asked.task for each in house.desk.waiting}:
            raise Missing("there is no such task", hint="somebody has answered it, or it was stopped")
        if body.answer == "done" and body.note.strip().lower().startswith("failed"):
            raise ProblemError("the note says that it failed, and the answer that it is done", hint="answer: failed")
        house.host.call(lambda: house.desk.answer(task, body.answer, body.note, by=who.name))
        return models.Done(done=f"the task is {body.answer}")

    return routes


def task_infos(house: House, who: Identity, known: premises.Seen) -> Iterable[models.TaskInfo]:
    """Yield what waits for a person, of the campaigns that *who* may see."""
    for errand in house.desk.waiting:
        if errand.campaign in known or (who.sees_everything and not errand.campaign):
            yield _info(errand, known, may_answer=who.may([Role.OPERATE]))


def _info(errand: Errand, known: premises.Seen, *, may_answer: bool) -> models.TaskInfo:
    dossier = known.get(errand.campaign)
    return models.TaskInfo(
        task=errand.asked.task,
        person=errand.asked.person,
        text=errand.asked.text,
        expected_seconds=errand.asked.expected_seconds,
        since=errand.since,
        campaign=None if dossier is None else dossier.id,
        campaign_name=errand.campaign,
        trials=tuple(trial for _, trial, _ in errand.works),
        step=errand.works[0][2] if errand.works else "",
        may_answer=may_answer,
    )
