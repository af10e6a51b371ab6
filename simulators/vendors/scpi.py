"""Instruments with SCPI, simulated: messages of several parts, and a queue of errors."""

from __future__ import annotations

from abc import ABC, abstractmethod

NO_ERROR = '+0,"No error"'


class ComplaintError(Exception):
    """What goes into the queue of errors: its number and text as SCPI writes them."""


class SimulatedScpi(ABC):
    """Answers lines of SCPI, whose parts a semicolon separates; the answers of its questions likewise."""

    identity = "sdl,simulated SCPI instrument,0,1"

    def __init__(self) -> None:
        self.errors: list[str] = []

    def answer(self, line: str) -> str:
        """Return the answers to the questions in *line*, nothing to commands."""
        answers = (self._part(part.strip()) for part in line.split(";"))
        return ";".join(answer for answer in answers if answer is not None)

    def _part(self, part: str) -> str | None:
        word, _, rest = part.removeprefix(":").partition(" ")
        match word.upper():
            case "*IDN?":
                return self.identity
            case "*CLS":
                self.errors.clear()
                return None
            case "SYST:ERR?":
                return self.errors.pop(0) if self.errors else NO_ERROR
            case other:
                return self._listened(other, rest)

    def _listened(self, word: str, rest: str) -> str | None:
        try:
            return self._said(word, rest)
        except ComplaintError as error:
            self.errors.append(str(error))
        except ValueError:
            self.errors.append('-104,"Data type error"')
        return None

    @abstractmethod
    def _said(self, word: str, rest: str) -> str | None:
        """Answer a question, or do what a command says. Raises ComplaintError, and ValueError for what is no number."""


def within(text: str, low: float, high: float) -> float:
    """Return *text* as a number. Raises ComplaintError as SCPI does where it is out of range."""
    value = float(text)
    if not low <= value <= high:
        raise ComplaintError('-222,"Parameter data out of range"')
    return value


def unknown() -> ComplaintError:
    """Return the complaint of an instrument that does not know a word."""
    return ComplaintError('-113,"Undefined header"')
