"""Durable writing: every write, fsync, rename and removal of an artifact or a checkpoint goes through here."""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from robustdd.errors import RobustddError

Content = bytes | Callable[[Path], None]
"""The bytes of a file, or a function that writes them to the path it is given."""

TEMPORARY = ".tmp."
"""How a temporary name begins; the owner, a dot, random digits, a dash and the name to come follow."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)


def point(operation: str, path: Path) -> None:
    """Called before each operation on the disk; does nothing, but a test can let the operation fail here."""


def sync_file(path: Path) -> None:
    """Bring the bytes of `path` to the disk."""
    point("fsync", path)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Bring the names in `folder` to the disk: without it a rename may be lost with the power."""
    sync_file(folder)


def rename(source: Path, target: Path) -> None:
    """Replace `target` by `source` in one step."""
    point("rename", target)
    os.replace(source, target)


def remove(path: Path) -> None:
    """Delete a file that may be gone already."""
    if os.path.lexists(path):  # a read-only disk refuses to unlink even what is not there
        point("remove", path)
        path.unlink(missing_ok=True)


def write_temporary(folder: Path, name: str, content: Content, owner: str = "") -> Path:
    """Write and fsync a new file of `folder` under a temporary name that ends as `name` does; a failure leaves none."""
    path = folder / f"{TEMPORARY}{owner}.{secrets.token_hex(6)}-{name}"
    point("write", path)
    # Unlike mkstemp this obeys the umask: an artifact may be read by whoever may read its folder.
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        mode = os.fstat(descriptor).st_mode & 0o777
        with os.fdopen(descriptor, "wb") as file:
            if isinstance(content, bytes):
                file.write(content)
        if not isinstance(content, bytes):
            content(path)
            os.chmod(path, mode)  # safetensors puts a new file, mode 600, in its place
        sync_file(path)
    except BaseException:
        remove(path)
        raise
    return path


def write_atomically(path: Path, content: bytes, owner: str = "") -> None:
    """Replace the file `path` by `content`: a reader, or a crash, finds the old bytes or the new ones, never a mixture.

    Raises RobustddError in one line when the disk is full or refuses; the old file is intact then.
    """
    with told_in_one_line(path.parent, len(content)):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = write_temporary(path.parent, path.name, content, owner)
        try:
            rename(temporary, path)
        except BaseException:
            remove(temporary)
            raise
        sync_folder(path.parent)


def writable(folder: Path, needed: int = 0) -> None:
    """Make `folder` and prove, before anything is computed, that it takes a file and that `needed` bytes are free.

    Raises RobustddError in one line: not writable, or no space left and how much is needed.
    """
    with told_in_one_line(folder, needed):
        folder.mkdir(parents=True, exist_ok=True)
        remove(write_temporary(folder, "probe", b"probe"))
        if _free(folder) < needed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def told_in_one_line(folder: Path, needed: int = 0) -> Iterator[None]:
    """Tell a full or read-only disk as a RobustddError; let the rest pass. `needed`: bytes, 0 when nobody knows."""
    try:
        yield
    except RobustddError:
        raise
    except Exception as error:
        number = _error_number(error)
        if number in _FULL:
            size = f"needs ~{_megabytes(needed)}" if needed else f"needs more than the {_megabytes(_free(folder))} free"
            raise RobustddError(
                f"No space left on device: {size} in {folder}; free some space there and run again "
                f"({os.strerror(number)}); what was there before is intact"
            ) from error
        if number in _REFUSED or isinstance(error, FileExistsError | NotADirectoryError):
            reason = os.strerror(number) if number else str(error)
            raise RobustddError(
                f"cannot write in {folder}: {reason}; make the folder writable and run again"
            ) from error
        raise


def _free(folder: Path) -> int:
    """Bytes that can be written in `folder`."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e6:.2g} MB"


def _error_number(error: Exception) -> int:
    """The system's error number, 0 for none; a library in Rust (safetensors) tells it in words alone."""
    if isinstance(error, OSError):
        return error.errno or 0
    told = re.search(r"\(os error (\d+)\)", str(error))
    return int(told.group(1)) if told else 0
