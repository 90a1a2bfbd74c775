"""One writer a folder: an OS lock that the system frees when its holder dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from robustdd.errors import RobustddError
from robustdd.store.disk import told_in_one_line


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; RobustddError names the process that holds it already.

    DVC's child can outlive DVC, and a second `dvc repro` would then write into the same folder.
    """
    with told_in_one_line(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = path.open("a+")
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise RobustddError(
                f"{path.name}: another run (pid {holder}) is writing this stage; wait for it or stop it: kill {holder}"
            ) from None
        except OSError as trouble:
            raise RobustddError(
                f"{path.parent}: this disk has no locks ({trouble.strerror}); make .robustdd a link to a folder of a "
                "local disk, see docs/trouble.md"
            ) from trouble
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
        file.truncate(0)
