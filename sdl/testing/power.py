"""Power loss: what a disk may hold after its power went, made from what it was told before.

The rules are those that SQLite and POSIX go by. What was synced is there. Of what was written since, any sector of 512
bytes may be there or not, each by itself; a truncation may have happened or not. The name of a new, renamed or deleted
file is only sure after a sync of its folder, which SQLite makes with the first sync of a new log or rollback file.
Not covered: a disk that lies about its syncs, and damage to sectors beside those being written.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sdl.testing.storage import Operation

SECTOR = 512
"""What a disk writes whole or not at all."""

_SYNCS_ITS_NAME = ("-wal", "-journal")


class PowerLoss(NamedTuple):
    """The disk after a power loss: the store as it may lie there, and what had been acknowledged by then."""

    path: Path
    acknowledged: tuple[Any, ...]
    n_operations: int


@dataclass
class _File:
    """One file: what is sure, and what was written since."""

    sure: bytearray = field(default_factory=bytearray)
    pending: list[Operation] = field(default_factory=list[Operation])
    is_name_sure: bool = False
    former: Path | None = None

    def sync(self, told: Operation) -> None:
        """Make everything sure."""
        if told.data:
            self.sure, self.pending = bytearray(told.data), []
            return
        for operation in self.pending:
            _apply(self.sure, operation)
        self.pending = []

    def image(self, rng: np.random.Generator, share: float) -> bytes:
        """Return what may be there: every sector that is not sure with the probability *share*."""
        content = bytearray(self.sure)
        for operation in self.pending:
            for part in _sectors(operation):
                if rng.random() < share:
                    _apply(content, part)
        return bytes(content)


def _apply(content: bytearray, operation: Operation) -> None:
    start, end = operation.offset, operation.offset + len(operation.data)
    if operation.kind == "truncate":
        del content[start:]
    if operation.kind == "write":
        content.extend(bytes(max(0, end - len(content))))
        content[start:end] = operation.data


def _sectors(operation: Operation) -> Iterator[Operation]:
    """Yield the parts of a write that lie in one sector each; a truncation is one part."""
    if operation.kind != "write":
        yield operation
        return
    start, data = operation.offset, operation.data
    while data:
        size = SECTOR - start % SECTOR
        yield operation._replace(offset=start, data=data[:size])
        start, data = start + size, data[size:]


class _Folder:
    """The files of a store as a disk was told of them."""

    def __init__(self) -> None:
        self.files: dict[Path, _File] = {}
        self.ghosts: dict[Path, _File] = {}
        self.acknowledged: list[Any] = []

    def take(self, told: Operation) -> None:
        """Follow one operation."""
        path = Path(told.path)
        match told.kind:
            case "create":
                self.files[path] = _File()
            case "write" | "truncate":
                self.files.setdefault(path, _File(is_name_sure=True)).pending.append(told)
            case "sync":
                self._sync(path, told)
            case "delete":
                self._delete(path, is_sure=bool(told.offset))
            case "rename":
                self._rename(path, Path(told.note))
            case "sync folder":
                self._sync_names(path)
            case "acknowledge":
                self.acknowledged.append(told.note)

    def _sync(self, path: Path, told: Operation) -> None:
        file = self.files.setdefault(path, _File())
        file.sync(told)
        if path.name.endswith(_SYNCS_ITS_NAME):
            file.is_name_sure = True
            self.ghosts.pop(path, None)

    def _delete(self, path: Path, *, is_sure: bool) -> None:
        file = self.files.pop(path, None)
        if file is not None and not is_sure:
            self.ghosts[path] = file

    def _rename(self, source: Path, target: Path) -> None:
        file = self.files.pop(source, None) or _File()
        file.is_name_sure, file.former = False, source
        self.files[target] = file

    def _sync_names(self, folder: Path) -> None:
        for path, file in self.files.items():
            if path.parent == folder:
                file.is_name_sure, file.former = True, None
        self.ghosts = {path: file for path, file in self.ghosts.items() if path.parent != folder}

    def write(self, root: Path, target: Path, rng: np.random.Generator) -> None:
        """Write one image of what lies below *root* to *target*."""
        share = float(rng.choice([0.0, 1.0, 0.5, rng.random()]))
        for path, file in {**self.ghosts, **self.files}.items():
            is_ghost = path not in self.files
            where: Path | None = path
            if is_ghost or not file.is_name_sure:
                where = path if rng.random() < 0.5 else file.former
            if where is not None and where.is_relative_to(root):
                copy = target / where.relative_to(root)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(file.image(rng, share))


def power_losses(
    log: Sequence[Operation], store: Path, folder: Path, *, n: int, rng: np.random.Generator
) -> Generator[PowerLoss]:
    """Yield *n* power losses at random moments of *log*, each as a store in *folder* that lives until the next one.

    Parameters
    ----------
    log
        What a :class:`~sdl.testing.storage.Disk` noted while the store was at work.
    store
        The store that it was.
    folder
        Where the images are written, one at a time.
    """
    moments = np.sort(rng.integers(1, len(log) + 1, size=n))
    state, done = _Folder(), 0
    target = folder / "after-power-loss.sdl"
    for moment in moments:
        for told in log[done:moment]:
            state.take(told)
        done = int(moment)
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        state.write(store, target, rng)
        yield PowerLoss(target, tuple(state.acknowledged), done)
    shutil.rmtree(target, ignore_errors=True)
