"""Files of a store, each named by the SHA-256 of its bytes."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sdl.errors import JournalCorrupt, JournalError
from sdl.failpoints import fail_point
from sdl.journal.records import Artifact

_TEMPORARY = "incoming-"
_NAME = re.compile("[0-9a-f]{64}")


class ArtifactFolder:
    """A folder of files ``ab/abcdef…``. A file stands there under its name whole, or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, sha256: str) -> Path:
        """Return where the bytes with this hash are kept."""
        return self.folder / sha256[:2] / sha256

    def put(self, data: bytes, *, name: str, media_type: str) -> Artifact:
        """Keep *data* durably: temporary file, fsync, rename, fsync of the folder. Equal bytes are kept once."""
        artifact = describe(data, name=name, media_type=media_type)
        target = self.path(artifact.sha256)
        try:
            if file_digest(target) != artifact.sha256:
                self._write(data, target)
            sync_folder(target.parent)
            fail_point("artifact.kept")
        except OSError as error:
            raise JournalError(
                f"artifact {name!r} ({len(data)} bytes) cannot be kept in {self.folder}: {error.strerror}",
                hint="nothing was recorded; free space on the disk, then go on",
            ) from error
        return artifact

    def _write(self, data: bytes, target: Path) -> None:
        if not target.parent.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            fail_point("artifact.before_folder_fsync")
            sync_folder(self.folder)
        number, temporary = tempfile.mkstemp(dir=self.folder, prefix=_TEMPORARY)
        try:
            with os.fdopen(number, "wb") as file:
                fail_point("artifact.before_write")
                file.write(data)
                file.flush()
                fail_point("artifact.before_fsync")
                os.fsync(number)
            Path(temporary).chmod(0o444)
            fail_point("artifact.before_rename")
            Path(temporary).replace(target)
            fail_point("artifact.after_rename")
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def get(self, artifact: Artifact) -> bytes:
        """Return the bytes of *artifact*. Raises JournalCorrupt where they are missing or other than they were."""
        path = self.path(artifact.sha256)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise _damaged(artifact, "is missing", path) from None
        except OSError as error:
            raise JournalError(f"artifact {artifact.name!r} cannot be read from {path}: {error.strerror}") from error
        if hashlib.sha256(data).hexdigest() != artifact.sha256:
            raise _damaged(artifact, "does not match its hash", path)
        return data

    def files(self) -> Iterator[Path]:
        """Yield every artifact in the folder, whatever its bytes are."""
        yield from sorted(path for path in self.folder.glob("??/*") if _NAME.fullmatch(path.name))

    def left_over(self) -> Iterator[Path]:
        """Yield the files of writes that never ended."""
        yield from sorted(self.folder.glob(f"{_TEMPORARY}*"))


def describe(data: bytes, *, name: str, media_type: str) -> Artifact:
    """Return the artifact that *data* are."""
    return Artifact(sha256=hashlib.sha256(data).hexdigest(), size=len(data), name=name, media_type=media_type)


def file_digest(path: Path) -> str | None:
    """Return the SHA-256 of a file in hexadecimal, None where there is no such file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def is_about_room(error: BaseException) -> bool:
    """Say whether *error*, or its cause, tells of a full disk only: what the disk holds is still sound then."""
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(cause, OSError) and cause.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* durable."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _damaged(artifact: Artifact, what: str, path: Path) -> JournalCorrupt:
    return JournalCorrupt(
        f"artifact {artifact.name!r} {what}: {path}",
        hint="take the file from a backup; its name is the hash of its bytes",
    )
