"""Conditions over signals, as text: ``heater.setpoint > 50 degC and not door == "closed"``.

A condition is read by a parser of its own into a few frozen parts; nothing in it is executed. What it says is true,
false or *unknown*: a signal that is lost, stale, not finite or of another kind makes the comparison unknown, whatever
the operator, and unknown goes on through ``and``, ``or`` and ``not`` as in Kleene's logic. Who asks decides what
unknown means; :mod:`sdl.lab.interlocks` takes it for unsafe everywhere.

Grammar::

    condition  = term {"or" term}
    term       = factor {"and" factor}
    factor     = "not" factor | "(" condition ")" | comparison
    comparison = operand ("<" | "<=" | ">" | ">=" | "==" | "!=") operand
    operand    = signal | number [unit] | "text" | true | false
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from sdl.errors import ProblemError, UnitError
from sdl.lab.envelope import as_number
from sdl.problem import units

MAX_LENGTH = 1000
"""Characters of one condition."""

MAX_DEPTH = 40
"""How deep brackets and ``not`` may nest."""

_SPLIT = re.compile(r"""(\(|\)|<=|>=|==|!=|<|>|\band\b|\bor\b|\bnot\b|"[^"]*"|'[^']*')""")
_SIGNAL = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_ORDER: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_EQUALITY = frozenset(("==", "!="))
_HINT = 'write it as in "heater.setpoint > 50 degC and vent.flow >= 10 L/min"'

Look = Callable[[str], object]
"""Gives the present value of a signal, in the signal's own unit; None where it is not known."""


@dataclass(frozen=True)
class Signal:
    """A signal, by its dotted name."""

    name: str


@dataclass(frozen=True)
class Constant:
    """A number with its unit, a text, or a truth value."""

    value: float | str | bool
    unit: str | None = None


Operand = Signal | Constant


class Condition(Protocol):
    """What may be true, false, or unknown."""

    def holds(self, look: Look) -> bool | None:
        """Tell whether it holds; None where that is not known."""
        ...

    def signals(self) -> Iterator[str]:
        """Yield the names of the signals that it looks at."""
        ...

    def bound(self, unit_of: Callable[[str], str | None]) -> Condition:
        """Return the same condition with its numbers in the units of the signals that they are compared with.

        Raises :class:`~sdl.errors.UnitError` where a dimension does not fit, or a unit is missing.
        """
        ...


@dataclass(frozen=True)
class Always:
    """The empty condition: it holds."""

    def holds(self, look: Look) -> bool | None:  # noqa: ARG002 # the protocol's
        """Return True."""
        return True

    def signals(self) -> Iterator[str]:
        """Yield nothing."""
        return iter(())

    def bound(self, unit_of: Callable[[str], str | None]) -> Condition:  # noqa: ARG002 # the protocol's
        """Return itself."""
        return self


@dataclass(frozen=True)
class Comparison:
    """Two operands and an operator; the units are noted where both operands are signals."""

    left: Operand
    sign: str
    right: Operand
    left_unit: str | None = None
    right_unit: str | None = None

    def holds(self, look: Look) -> bool | None:
        """Compare; None unless both sides are known and of one kind."""
        left, right = _value(self.left, look), _value(self.right, look)
        if self.left_unit != self.right_unit and (number := as_number(right)) is not None and math.isfinite(number):
            right = units.convert(number, self.right_unit, self.left_unit, name="a signal")
        return _compare(left, self.sign, right)

    def signals(self) -> Iterator[str]:
        """Yield the one or two signals."""
        for operand in (self.left, self.right):
            if isinstance(operand, Signal):
                yield operand.name

    def bound(self, unit_of: Callable[[str], str | None]) -> Condition:
        """Convert the constant to the unit of the signal; note the units of two signals."""
        if isinstance(self.left, Signal) and isinstance(self.right, Signal):
            left, right = unit_of(self.left.name), unit_of(self.right.name)
            if not units.are_compatible(left, right):
                raise UnitError(
                    f"{self.left.name} is in {left or 'no unit'}, {self.right.name} in {right or 'no unit'}"
                )
            return replace(self, left_unit=left, right_unit=right)
        if isinstance(self.left, Signal) and isinstance(self.right, Constant):
            return replace(self, right=_in_unit(self.right, unit_of(self.left.name), self.left.name))
        if isinstance(self.left, Constant) and isinstance(self.right, Signal):
            return replace(self, left=_in_unit(self.left, unit_of(self.right.name), self.right.name))
        raise ProblemError("a comparison needs a signal on one side", hint=_HINT)


@dataclass(frozen=True)
class Not:
    """The opposite; unknown stays unknown."""

    inner: Condition

    def holds(self, look: Look) -> bool | None:
        """Return the opposite."""
        found = self.inner.holds(look)
        return None if found is None else not found

    def signals(self) -> Iterator[str]:
        """Yield the signals inside."""
        return self.inner.signals()

    def bound(self, unit_of: Callable[[str], str | None]) -> Condition:
        """Bind what is inside."""
        return Not(self.inner.bound(unit_of))


@dataclass(frozen=True)
class Joined:
    """Several conditions: all of them (``and``), or any (``or``)."""

    items: tuple[Condition, ...]
    is_all: bool

    def holds(self, look: Look) -> bool | None:
        """Kleene's logic: one false settles ``and``, one true settles ``or``, else one unknown makes it unknown."""
        found = [item.holds(look) for item in self.items]
        settling = not self.is_all
        if any(item is settling for item in found):
            return settling
        return None if None in found else not settling

    def signals(self) -> Iterator[str]:
        """Yield the signals inside."""
        for item in self.items:
            yield from item.signals()

    def bound(self, unit_of: Callable[[str], str | None]) -> Condition:
        """Bind what is inside."""
        return Joined(tuple(item.bound(unit_of) for item in self.items), self.is_all)


def parse(text: str) -> Condition:
    """Read a condition. Raises :class:`~sdl.errors.ProblemError` that quotes what it does not understand."""
    if len(text) > MAX_LENGTH:
        raise ProblemError(f"a condition has {len(text)} characters, at most {MAX_LENGTH} are allowed")
    words = [word for part in _SPLIT.split(text) if (word := part.strip())]
    if not words:
        return Always()
    reader = _Reader(text, words)
    found = reader.condition(0)
    reader.end()
    return found


class _Reader:
    """Reads words from the left."""

    def __init__(self, text: str, words: list[str]) -> None:
        self._text = text
        self._words = words
        self._at = 0

    def condition(self, depth: int) -> Condition:
        return self._joined("or", lambda: self._joined("and", lambda: self._factor(depth)))

    def end(self) -> None:
        if self._at < len(self._words):
            raise self._fault(f"{self._words[self._at]!r} is left over")

    def _joined(self, word: str, read: Callable[[], Condition]) -> Condition:
        items = [read()]
        while self._peek() == word:
            self._next()
            items.append(read())
        return items[0] if len(items) == 1 else Joined(tuple(items), is_all=word == "and")

    def _factor(self, depth: int) -> Condition:
        if depth > MAX_DEPTH:
            raise self._fault(f"it nests deeper than {MAX_DEPTH}")
        if self._peek() == "not":
            self._next()
            return Not(self._factor(depth + 1))
        if self._peek() == "(":
            self._next()
            inner = self.condition(depth + 1)
            if self._next() != ")":
                raise self._fault("a bracket is not closed")
            return inner
        return self._comparison()

    def _comparison(self) -> Condition:
        left = self._operand()
        sign = self._next()
        if sign not in _ORDER:
            raise self._fault(f"a comparison belongs after {self._words[max(self._at - 2, 0)]!r}, there is {sign!r}")
        right = self._operand()
        if self._peek() in _ORDER:
            raise self._fault("one comparison follows another; join two of them with and")
        if not (isinstance(left, Signal) or isinstance(right, Signal)):
            raise self._fault("a comparison needs a signal on one side")
        if sign not in _EQUALITY and any(_is_word(operand) for operand in (left, right)):
            raise self._fault(f"texts and truth values compare by == and !=, not by {sign}")
        return Comparison(left, sign, right)

    def _operand(self) -> Operand:
        word = self._next()
        if word[:1] in {'"', "'"}:
            return Constant(word[1:-1])
        if word in {"true", "false"}:
            return Constant(word == "true")
        if _SIGNAL.fullmatch(word) and word not in {"and", "or", "not"}:
            return Signal(word)
        try:
            number, unit = units.split(word, name="a number")
            units.check_unit(unit, name=f"the unit of {word!r}")
        except UnitError:
            raise self._fault(f"{word!r} is neither a signal nor a number with a unit") from None
        return Constant(number, unit)

    def _peek(self) -> str:
        return self._words[self._at] if self._at < len(self._words) else ""

    def _next(self) -> str:
        word = self._peek()
        if not word:
            raise self._fault("it ends too early")
        self._at += 1
        return word

    def _fault(self, what: str) -> ProblemError:
        return ProblemError(f"cannot read the condition {self._text[:200]!r}: {what}", hint=_HINT)


def _is_word(operand: Operand) -> bool:
    return isinstance(operand, Constant) and isinstance(operand.value, str | bool)


def _in_unit(constant: Constant, unit: str | None, signal: str) -> Constant:
    if isinstance(constant.value, str | bool):
        return constant
    if constant.unit is None and unit:
        raise UnitError(
            f"{constant.value:g} has no unit, and {signal} is in {unit}", hint=f"write {constant.value:g} {unit}"
        )
    return Constant(
        units.convert(constant.value, constant.unit, unit or None, name=f"what {signal} is compared with"), unit
    )


def _value(operand: Operand, look: Look) -> object:
    return look(operand.name) if isinstance(operand, Signal) else operand.value


def _compare(left: object, sign: str, right: object) -> bool | None:
    """Compare two values; None where one is missing, not finite, or of another kind than the other."""
    a, b = as_number(left), as_number(right)
    if a is not None and b is not None:
        return _ORDER[sign](a, b) if math.isfinite(a) and math.isfinite(b) else None
    if sign in _EQUALITY:
        for kind in (str, bool):
            if isinstance(left, kind) and isinstance(right, kind):
                return (left == right) is (sign == "==")
    return None
