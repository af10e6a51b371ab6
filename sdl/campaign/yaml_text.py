"""YAML that a person wrote: plain data, and the line on which every value stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import yaml

from sdl.errors import ProblemError

MAX_NODES = 100_000
"""Values in a text, each counted as often as aliases repeat it."""

Place = tuple[str | int, ...]
"""Where a value stands: the keys and list positions that lead to it."""


class _Loader(yaml.SafeLoader):
    """Plain data only, and scalars as YAML 1.2 reads them: ``no`` is a text, ``1e-3`` a number, ``12:30`` a text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 # PyYAML's way to say which scalars are no texts


_add: Callable[[str, re.Pattern[str], list[str]], None] = cast("Any", _Loader).add_implicit_resolver
for _tag, _pattern, _first in (
    ("null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
):
    _add(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


@dataclass
class YamlText:
    """The data of a YAML text, and its lines.

    Parameters
    ----------
    where
        Names the text in messages.
    data
        What it says: mappings, lists, texts, numbers, booleans, None.
    lines
        The line of every key and every item of a list, from 1.
    """

    where: str
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    lines: dict[Place, int] = field(default_factory=dict[Place, int])
    _n_nodes: int = 0

    @classmethod
    def of(cls, text: str, where: str) -> YamlText:
        """Read *text*.

        Raises
        ------
        ProblemError
            It is no YAML, no mapping, has a key twice or one that is no text, a tag that is no plain data, or more than
            ``MAX_NODES`` values.
        """
        found = cls(where)
        try:
            found._read(text)
        except yaml.MarkedYAMLError as error:
            raise ProblemError(f"{where}{_line(error)}: {error.problem or error}") from None
        except yaml.YAMLError as error:
            raise ProblemError(f"{where} is no YAML: {str(error).partition(chr(10))[0]}") from None
        except RecursionError:
            raise ProblemError(f"{where} is nested too deeply") from None
        return found

    def place_of(self, steps: Sequence[str | int]) -> tuple[Place, int | None]:
        """Follow *steps* into the text as far as it goes, passing over steps that it does not know; say the line."""
        place: Place = ()
        for step in steps:
            if (*place, step) in self.lines:
                place = (*place, step)
        return place, self.lines.get(place)

    def _read(self, text: str) -> None:
        loader: Any = _Loader(text)  # PyYAML's constructors are not typed
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise ProblemError(f"{self.where} is empty" if node is None else f"{self.where} holds no keys")
        self._walk(node, ())
        self.data = loader.construct_document(node)

    def _walk(self, node: yaml.Node, place: Place) -> None:
        self._n_nodes += 1
        if self._n_nodes > MAX_NODES:
            raise ProblemError(f"{self.where} holds more than {MAX_NODES} values", hint="do aliases repeat each other?")
        self.lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._walk(item, (*place, index))
        elif isinstance(node, yaml.MappingNode):
            self._walk_keys(node, place)

    def _walk_keys(self, node: yaml.MappingNode, place: Place) -> None:
        seen: set[str] = set()
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if key.tag.endswith(":merge"):
                self._walk(value, place)
                continue
            if not key.tag.endswith(":str"):
                raise ProblemError(f"{self.where}, line {line}: the key {name} is no text", hint=f'write "{name}":')
            if name in seen:
                raise ProblemError(f"{self.where}, line {line}: the key {name!r} stands there twice")
            seen.add(name)
            self.lines[*place, name] = line
            self._walk(value, (*place, name))


def _line(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f", line {mark.line + 1}" if mark is not None else ""
