"""The page's Japanese: every form of a sentence is one that the code says, and what the code says to people has one."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

TABLE = ROOT / "sdl" / "server" / "page" / "sentences.js"

SAYING = (
    "campaign/approvals.py",
    "campaign/autonomy.py",
    "campaign/whereabouts.py",
    "lab/schedule/values.py",
    "server/campaign_routes.py",
    "server/desk.py",
    "server/house.py",
    "server/looking.py",
    "server/rehearsal.py",
    "server/slicing.py",
    "server/task_routes.py",
    "server/urgent.py",
)
"""What people who operate a laboratory read at the page, from beginning to end."""

NOT_READ = frozenset(
    (
        'attachment; filename="trials.csv"',
        "{} is no person who can approve",
        "say who you are",
        "campaign {} has no request {}",
        "open: {}",
        "the envelope of {} is {}",
        "the envelope of {} is {}, the wrong way round",
        "give two numbers, in the unit of the parameter",
        "name some of {}",
        "the next one",
        "a batch of {} cannot have at least {}",
        "it is on record",
        "trial {} is {}",
        "what you said of trial {} is on record",
    )
)
"""Texts of these modules that the page never shows, or that hold nothing but names."""


SAID_BY = ("sdl/campaign", "sdl/lab", "sdl/server", "planners/[abefmps]*")
"""Where all that has a form is said."""

OF_PYDANTIC = ("Field required", "Input should", "String should")


def texts(path: Path) -> Iterator[str]:
    """Yield what a module says, with {} where something stands in a sentence."""
    parts: set[int] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):  # wholes come before their parts
        match node:
            case ast.JoinedStr(values=values):
                parts.update(map(id, values))
                yield "".join(str(each.value) if isinstance(each, ast.Constant) else "{}" for each in values)
            case ast.Expr(value=documentation):
                parts.add(id(documentation))
            case ast.Constant(value=str(text)) if id(node) not in parts:
                yield re.sub(r"\{[a-z_]+\}", "{}", text)
            case _:
                pass


@cache
def forms() -> dict[str, str]:
    """Return the forms of the page, English to Japanese."""
    rows = re.findall(r'^  (\["(?:[^"\\]|\\.)*", "(?:[^"\\]|\\.)*"\]),$', TABLE.read_text(encoding="utf-8"), re.M)
    return dict(map(json.loads, rows))


def test_every_form_is_one_that_is_said() -> None:
    rooms = (each for pattern in SAID_BY for each in ROOT.glob(pattern))
    paths = (path for room in rooms for path in (room.rglob("*.py") if room.is_dir() else [room]))
    said = {text for path in paths if path.suffix == ".py" for text in texts(path)}
    said |= {f"{{}}{text}" for text in said if text.startswith(" (")}  # what is put behind a sentence
    said |= {f"{text}: {{}}" for text in said if text == "{}, line {}"}  # and before one
    assert [form for form in forms() if form not in said and not form.startswith(OF_PYDANTIC)] == []


def test_every_hole_of_a_translation_is_one_of_the_sentence() -> None:
    for english, japanese in forms().items():
        used = {int(place) for place in re.findall(r"\{(\d)[*!sor]?\}", japanese)}
        assert used <= set(range(english.count("{}"))), english


@pytest.mark.parametrize("module", SAYING)
def test_what_people_are_told_has_a_form(module: str) -> None:
    said = {text for text in texts(ROOT / "sdl" / module) if re.search(r"[a-z]{2} [a-z{]|[a-z}] [a-z]{2}", text)}
    assert said - NOT_READ - set(forms()) == set()


def test_every_word_of_the_page_is_there_in_both_languages() -> None:
    english, _, japanese = (TABLE.parent / "words.js").read_text(encoding="utf-8").partition("const JAPANESE")
    has, has_too = (set(re.findall(r'(?:^|[ {])"?([a-z]\w*)"?: "', text)) for text in (english, japanese))
    assert has - has_too == set()
    used = {key for path in TABLE.parent.glob("*.js") for key in re.findall(r'\bt\("(\w+)"\)', path.read_text("utf-8"))}
    assert used - has == set()
