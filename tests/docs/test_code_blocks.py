"""Every code block in README.md and docs/ runs.

A page becomes one script, run in an empty folder by a python of its own: its ``python`` blocks one after the other in
one namespace, its ``console`` and ``bash`` blocks between them, with the virtual environment first in PATH. The lines
of a traceback are those of the page. ``yaml``, ``json`` and ``toml`` blocks are loaded; ``text`` blocks are output, and
are not run. Two comments, invisible on the page, stand directly above a block:

* ``<!-- file: NAME -->`` writes the block to the file NAME in the page's folder, in place of running it;
* ``<!-- not run: REASON -->`` leaves it out. There may be only a few of these.

The install commands of the README (a block that makes a virtual environment) are compared with ``.ci/run`` in place of
being run: what continuous integration does is what the reader is told to do.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml

from sdl.campaign.file import parse_campaign
from sdl.journal.tables import TableSchema

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MAX_NOT_RUN = 10  # a server, a station, a bench: what goes on until somebody ends it
LINKED = ("examples", "benchmarks", "seeds")  # folders of the clone that commands on a page may name

PYTHON = {"python"}
SHELL = {"console", "bash"}
DATA: dict[str, Callable[[str], object]] = {"yaml": yaml.safe_load, "json": json.loads, "toml": tomllib.loads}
OUTPUT = {"text"}
KNOWN = PYTHON | SHELL | set(DATA) | OUTPUT

FENCE = re.compile(r"^(?P<indent>\s*)(?P<mark>`{3,}|~{3,}|:{3,})(?P<info>.*)$")
MARK = re.compile(r"^\s*<!--\s*(?P<key>file|not run):\s*(?P<value>.*?)\s*-->\s*$")


@dataclass(frozen=True)
class Block:
    """One code block: where it stands, its language, its lines, and the comment above it."""

    page: Path
    line: int  # of the opening fence, from 1
    language: str
    lines: tuple[str, ...]
    mark: str = ""
    value: str = ""

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}" if self.page.is_relative_to(ROOT) else f"page:{self.line}"

    @property
    def is_install(self) -> bool:
        return self.language in SHELL and "-m venv" in self.text

    @property
    def is_run(self) -> bool:
        return not self.mark and self.language in PYTHON | SHELL


def blocks_of(page: Path, text: str) -> list[Block]:
    """Find the fenced blocks of a page."""
    lines = text.splitlines()
    return list(blocks_between(page, lines, 0, len(lines)))


def blocks_between(page: Path, lines: Sequence[str], start: int, stop: int) -> Iterator[Block]:
    """Find the blocks in some lines; directives are looked into, since a note may hold a block."""
    while start < stop:
        match = FENCE.match(lines[start])
        end = end_of(lines, start) if match else start
        if match and match["info"].strip().startswith("{"):
            assert "code" not in match["info"], (
                f"{page}:{start + 1}: write ```python, which is run, for {match['info']}"
            )
            yield from blocks_between(page, lines, start + 1, end) if "eval-rst" not in match["info"] else ()
        elif match:
            yield block_at(page, lines, start, end, match)
        start = end + 1


def end_of(lines: Sequence[str], start: int) -> int:
    """The line of the fence that closes the one at *start*."""
    opening = FENCE.match(lines[start])
    assert opening is not None
    for number in range(start + 1, len(lines)):
        stripped = lines[number].strip()
        if stripped and set(stripped) == {opening["mark"][0]} and len(stripped) >= len(opening["mark"]):
            return number
    raise AssertionError(f"the fence in line {start + 1} is not closed")


def block_at(page: Path, lines: Sequence[str], start: int, end: int, match: re.Match[str]) -> Block:
    indent = len(match["indent"])
    above = start - 1
    while above >= 0 and not lines[above].strip():
        above -= 1
    mark = MARK.match(lines[above]) if above >= 0 else None
    return Block(
        page=page,
        line=start + 1,
        language=match["info"].strip().partition(" ")[0],
        lines=tuple(line[indent:] for line in lines[start + 1 : end]),
        mark=mark["key"] if mark else "",
        value=mark["value"] if mark else "",
    )


def commands(block: Block) -> str:
    """The lines that a reader types: those after ``$ `` with what continues them, or a whole bash script."""
    if block.language == "bash" and not any(line.startswith("$ ") for line in block.lines):
        return block.text.rstrip()
    typed: list[str] = []
    goes_on = False
    for line in block.lines:
        if line.startswith("$ ") or goes_on:
            typed.append(line.removeprefix("$ " if not goes_on else "> "))
            goes_on = line.endswith("\\")
    return "\n".join(typed)


def parts_of_install(block: Block) -> list[str]:
    """The single commands of an install block, in order."""
    joined = commands(block).replace("\\\n", " ").replace("\n", " && ")
    return [" ".join(part.split()) for part in joined.split("&&") if part.strip()]


def is_compared(part: str) -> bool:
    """Whether a part of an install block is compared with ``.ci/run``: it installs, or it is the test run itself."""
    return "-m venv" in part or "pip install" in part or "bin/pytest" in part or part.startswith("git clone")


def script_of(blocks: Sequence[Block]) -> str:
    """The script that a page becomes; each block keeps the line that it has on the page."""
    lines: list[str] = []
    for block in blocks:
        lines += [""] * (block.line - 1 - len(lines))
        if block.language in PYTHON:
            lines += ["", *block.lines]
        else:
            typed = commands(block)
            if block.is_install:
                typed = "\n".join(part for part in parts_of_install(block) if not is_compared(part))
            lines.append(f"__import__('docs_shell').run({typed!r}, {block.where!r})")
    return "\n".join(lines) + "\n"


def run_page(blocks: Sequence[Block], folder: Path, memory: Path) -> subprocess.CompletedProcess[str]:
    """Run a page in *folder*."""
    (folder / ".venv").symlink_to(sys.prefix)
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    for block in blocks:
        if block.mark == "file":
            (folder / block.value).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.value).write_text(block.text, encoding="utf-8")
    script = memory.with_suffix(".py")
    script.write_text(script_of([block for block in blocks if block.is_run]), encoding="utf-8")
    environment = os.environ | {
        "PATH": f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}",
        # A reader's session finds what lies in the folder.
        "PYTHONPATH": f"{Path(__file__).parent}{os.pathsep}{folder}",
        "SDL_DOCS_MEMORY": str(memory),
        "MPLBACKEND": "agg",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # the development environment has many, which take seconds to load
        "PYTEST_PLUGINS": "sdl.testing.plugin",
        "NO_COLOR": "1",
    }
    # A reader's own lines may not warn. Not all warnings: an error inside a library would change what it does.
    command = [sys.executable, "-W", "error:::__main__", str(script)]
    return subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


ALL = {page: blocks_of(page, page.read_text(encoding="utf-8")) for page in PAGES if page.exists()}


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "page",
    [page for page, blocks in ALL.items() if any(block.is_run for block in blocks)],
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
def test_page_runs(page: Path, tmp_path: Path) -> None:
    with TemporaryDirectory(prefix="sdl") as short:  # the name of a socket has 107 bytes at most
        done = run_page(ALL[page], Path(short), tmp_path / "memory")
    assert done.returncode == 0, f"{page.relative_to(ROOT)}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
    # A planner that fails is replaced, and the page would go on with another one than it speaks of.
    assert "-> fall back" not in done.stdout, done.stdout[-6000:]


def test_there_is_a_readme() -> None:
    assert any(block.is_install for block in ALL.get(ROOT / "README.md", ())), "README.md has no install commands"


def test_every_block_says_what_it_is() -> None:
    wrong = [
        f"{block.where}: language {block.language!r}, known are {', '.join(sorted(KNOWN))}"
        for blocks in ALL.values()
        for block in blocks
        if block.language not in KNOWN
    ]
    assert not wrong, "\n".join(wrong)


def test_shell_blocks_hold_commands() -> None:
    """A console block without ``$ `` would pass without running anything."""
    empty = [
        block.where
        for blocks in ALL.values()
        for block in blocks
        if block.language in SHELL
        if block.mark != "file" and not commands(block)
    ]
    assert not empty


def test_few_blocks_are_not_run() -> None:
    skipped = [block for blocks in ALL.values() for block in blocks if block.mark == "not run"]
    shown = "\n".join(f"{block.where}: {block.value}" for block in skipped)
    print(shown)
    assert all(len(block.value) > 10 for block in skipped), f"a block that is not run says why:\n{shown}"
    assert len(skipped) <= MAX_NOT_RUN, shown


def test_data_blocks_load() -> None:
    for blocks in ALL.values():
        for block in blocks:
            if block.language in DATA:
                assert DATA[block.language](block.text) is not None, block.where


def test_campaign_files_and_schemas_are_sound() -> None:
    for block in (block for blocks in ALL.values() for block in blocks if block.language == "yaml"):
        keys = set(yaml.safe_load(block.text))
        if {"name", "lab"} <= keys:
            assert parse_campaign(block.text, block.where).name
        if {"name", "columns"} <= keys:
            assert TableSchema.from_data(yaml.safe_load(block.text)).name


def test_install_commands_are_those_of_ci() -> None:
    """What the README tells to type is what ``.ci/run`` types, in this order, in a folder of its own."""
    done = [line.strip() for line in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()]
    for block in (block for blocks in ALL.values() for block in blocks if block.is_install):
        at = -1
        for part in filter(is_compared, parts_of_install(block)):
            if part.startswith("git clone"):
                continue
            wanted = as_in_ci(part)
            assert wanted in done[at + 1 :], f"{block.where}: .ci/run has no line {wanted!r} after line {at + 1}"
            at = done.index(wanted, at + 1)


def as_in_ci(part: str) -> str:
    """Write a README command as ``.ci/run`` has it: in its own environment, quietly, and with every extra."""
    words = [word.replace(".venv", ".ci-venv") for word in shlex.split(part)]
    if "install" in words:
        words = [word for word in words if word not in {"--quiet", "-q"}]
        words.insert(words.index("install") + 1, "--quiet")
    if "-e" in words:
        words[words.index("-e") + 1] = "'.[dev]'"
    return " ".join(words)


LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)#\s]+)[^)]*\)")


@pytest.mark.parametrize("page", [*ALL, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    targets = [match["target"] for match in LINK.finditer(page.read_text(encoding="utf-8"))]
    local = [target for target in targets if not re.match(r"^[a-z]+:", target)]
    broken = [target for target in local if not (page.parent / target).exists()]
    assert not broken


# --- the runner itself ------------------------------------------------------------------------------------------------

PAGE = """
```python
x = 2
```

<!-- file: numbers.txt -->
```text
1 2 3
```

1. in a list

   ```console
   $ mkdir deeper && cd deeper \\
   > && cat ../numbers.txt > copy.txt
   output that is not typed
   ```

:::{note}
```python
from pathlib import Path
assert Path("copy.txt").read_text() == "1 2 3\\n"
assert x == 2
```
:::

<!-- not run: it would wait for ever -->
```console
$ sleep infinity
```
"""


def test_a_page_runs_as_a_reader_would_run_it(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    blocks = blocks_of(tmp_path / "page.md", PAGE)
    done = run_page(blocks, tmp_path / "page", tmp_path / "memory")
    assert done.returncode == 0, done.stderr
    assert [block.language for block in blocks] == ["python", "text", "console", "python", "console"]
    assert blocks[-1].value == "it would wait for ever"


@pytest.mark.parametrize(
    "code",
    [
        "```python\n1 / 0\n```",
        "```python\nimport warnings; warnings.warn('old', DeprecationWarning)\n```",
        "```console\n$ false\n```",
        "```bash\nfalse | true\n```",
    ],
)
def test_a_page_with_an_error_fails(code: str, tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    done = run_page(blocks_of(tmp_path / "page.md", "\n\n" + code), tmp_path / "page", tmp_path / "memory")
    assert done.returncode != 0
    assert "page:3" in done.stderr or "line 4" in done.stderr


def test_install_command_as_in_ci() -> None:
    assert as_in_ci(".venv/bin/pip install -c constraints.txt -e .") == (
        ".ci-venv/bin/pip install --quiet -c constraints.txt -e '.[dev]'"
    )
    assert as_in_ci("python3.11 -m venv .venv") == "python3.11 -m venv .ci-venv"
