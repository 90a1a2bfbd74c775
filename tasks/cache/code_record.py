"""The code of every stage as files that DVC watches: `python -m tasks.cache.code_record`, the DVC stage `code`.

A stage of dvc.yaml depends on its one file and on no module: DVC starts it when a syntax tree that it reaches changed,
and not for a comment; and a study of 200 stages does not read the same modules 200 times.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable
from pathlib import Path

from robustdd.errors import RobustddError, UserError
from robustdd.store.disk import write_atomically
from robustdd.study.graph import STAGES
from tasks.cache.code import code_hash, module_of

log = logging.getLogger("robustdd.run")


def recorded_in(study: Path, stage: str) -> Path:
    """The file that holds the code of `stage` in the folder of a study."""
    return study / "data" / "code" / f"{stage}.json"


def code_of(stage: str) -> bytes:
    """What that file says, as the code is now: the hash in the stage's keys, and that of the sections of params.yaml.

    The sections are in no key but decide how a study is read. Code that cannot be read is told in place of both: the
    stages that reach it fail, and the others need not.
    """
    try:
        told = {"code": code_hash(module_of(stage)), "params": code_hash("robustdd.params")}
    except (SyntaxError, ValueError, OSError) as error:
        told = {"error": str(error)}
    return f"{json.dumps(told, indent=1)}\n".encode()


def record_code(study: Path, stages: Iterable[str] = STAGES) -> list[str]:
    """Write the code of every one of `stages` into the folder of a study; returns those whose code is new.

    Raises RobustddError when it cannot be written.
    """
    changed = []
    for stage in stages:
        if not _is_recorded(study, stage):
            write_atomically(recorded_in(study, stage), code_of(stage))
            changed.append(stage)
    return changed


def require_recorded(study: Path, stage: str) -> None:
    """Raise UserError where the code of `stage` is not what DVC will note beside its artifact."""
    if not _is_recorded(study, stage):
        raise UserError(
            f"{recorded_in(study, stage)}: is missing or tells of other code than this; run `dvc repro` without "
            f"--single-item, or where this comes again `python -m tasks.cache.code_record` in {study} before it"
        )


def _is_recorded(study: Path, stage: str) -> bool:
    path = recorded_in(study, stage)
    return path.is_file() and path.read_bytes() == code_of(stage)


def main() -> int:
    """Exit code: 0, or 1 when a file cannot be written or the code changed meanwhile: DVC hashes it after this."""
    logging.basicConfig(format="%(message)s", level=logging.INFO, force=True)
    try:
        changed = record_code(Path.cwd())
        if again := record_code(Path.cwd()):
            raise RobustddError(f"code: changed while it was read, for {', '.join(again)}; run again")
    except RobustddError as error:
        log.error("error: %s", error)
        return error.exit_code
    log.info("code: %s", f"new for {', '.join(changed)}" if changed else "as before")
    return 0


if __name__ == "__main__":
    sys.exit(main())
