"""The mutants of ``tests/soak/mutants.py`` can still be built, whatever was changed in the code."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

SOAK = Path(__file__).parent / "soak"


@pytest.fixture(scope="module")
def mutants() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SOAK))
        yield importlib.import_module("mutants")
        for name in [name for name in sys.modules if name.partition(".")[0] in {"mutants", "mutations"}]:
            del sys.modules[name]


def test_every_mutant_can_be_built(mutants: Any) -> None:
    wrong: list[str] = []
    for mutant in mutants.MUTANTS:
        text = (mutants.ROOT / mutant.file).read_text(encoding="utf-8")
        for old, new in mutant.changes:
            if text.count(old) != 1:
                wrong.append(f"{mutant.name}: {old!r} stands {text.count(old)} times in {mutant.file}")
            text = text.replace(old, new)
    assert not wrong, "\n".join(wrong)


def test_every_mutant_has_a_name_and_a_test_that_is_there(mutants: Any) -> None:
    names = [mutant.name for mutant in mutants.MUTANTS]
    assert len(names) == len(set(names)) > 60
    missing = [
        test
        for mutant in mutants.MUTANTS
        for test in mutant.test.split()
        if not (mutants.ROOT / test.partition("::")[0]).exists()
    ]
    assert missing == []
