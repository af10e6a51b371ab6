"""Names that would lead out of a folder: none of two hundred leads anywhere."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from urllib.parse import quote

import pytest
from asking import Asking

from sdl.errors import SdlError
from sdl.journal import open_journal

ROADS = (
    "",
    "../",
    "../../",
    "..\\",
    "/",
    "//",
    "./../",
    "C:\\",
    "\\\\host\\share\\",
    "%2e%2e/",
    "..%2f",
    "....//",
    "~/",
    "a/../../",
)
ENDS = (
    "evil",
    "etc/passwd",
    "app.py",
    "CON",
    "nul.txt",
    "evil\0.txt",
    "evil\n",
    "e" * 300,
    ".",
    "..",
    " ",
    "evil.",
    "év\u202eil",
    "-rf",
    "$(id)",
)
NAMES = [road + end for road, end in product(ROADS, ENDS)]


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def test_artifacts_lie_where_their_bytes_say_whatever_they_are_called(tmp_path: Path) -> None:
    assert len(NAMES) >= 200
    base = tmp_path / "one" / "two" / "three"
    base.mkdir(parents=True)
    with open_journal(base / "store.sdl") as journal:
        before = files(tmp_path)
        kept = 0
        for number, name in enumerate(NAMES):
            try:
                artifact = journal.put(b"%d" % number, name=name, media_type="text/plain")
            except SdlError:
                continue  # a name that nothing can have, told as such
            kept += 1
            assert journal.get(artifact) == b"%d" % number
        found = files(tmp_path) - before
    assert kept > 100
    assert all(path.is_relative_to(base) and not path.is_symlink() for path in found)
    assert not [path for path in found if "evil" in path.name or "passwd" in path.name]


@pytest.mark.parametrize("start", ["/page/", "/api/v1/campaigns/", "/api/v1/artifacts/"])
def test_no_address_leads_out_of_what_is_served(asking: Asking, start: str) -> None:
    for name in NAMES:
        for written in {quote(name, safe=""), quote(name, safe="/")}:
            answer = asking.http.get(start + written)
            found = (start, written, answer.status_code, answer.text[:80])
            if answer.status_code == 200:  # what climbs up to the address of the page itself is the page
                assert answer.headers["content-type"].startswith("text/html"), found
            assert "root:" not in answer.text, found
            assert "import " not in answer.text, found
