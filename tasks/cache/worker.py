"""What a process needs before it computes a unit: torch as every stage has it, a log, and the code of the stage."""

from __future__ import annotations

import logging
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import torch

from robustdd.allocator import keep_freed_memory
from robustdd.errors import RobustddError
from robustdd.exactness import compute_exactly
from tasks.cache import unit as units
from tasks.cache.code import ROOT, changed_since_read
from tasks.cache.unit import Unit


@dataclass(frozen=True)
class WorkerSetup:
    """How units are to be run, wherever that is; small, for it travels with every unit."""

    threads: int = 1
    """Threads of torch, from params.yaml."""
    module: str = ""
    """The module of the stage's tasks."""
    code: str = ""
    """Hash of its code when the stage began."""
    elsewhere: bool = False
    """Whether units run in other processes than the stage's, which have no log to the terminal yet."""

    def apply(self, unit: Unit) -> None:
        """Make this process ready for `unit`; RobustddError where its code is not the code that the stage began with.

        The key of an artifact is taken from the files of the code. A process that has loaded older ones, or a unit that
        starts after an edit, would else leave the result of one code under the key of another.
        """
        prepare_torch(self.threads)
        keep_what_is_compiled()
        if self.elsewhere:
            log_to_terminal()
        other = self.code and units.stage_code(self.module) != self.code
        if other or changed_since_read(self.module):
            raise RobustddError(
                f"{unit.place} {unit.name}: the code on {platform.node() or 'this machine'} is not that which "
                "the stage began with; run again (workers that were started before an edit: restart them)"
            )


def prepare_torch(threads: int) -> None:
    """Have torch compute in this process as every stage does; more than once is as good as once."""
    keep_freed_memory()
    compute_exactly(threads)


def keep_what_is_compiled(root: Path = ROOT) -> None:
    """Have torch.compile keep its work in the checkout, for every later process, unless the user named a place.

    By itself it writes to the folder for temporary files, which a restart empties. Where the code may only be read, it
    does so here too. Every width of vectors has a folder of its own: torch 2.13 takes the loops of one for another's,
    and computes nonsense without an error.
    """
    if os.access(root, os.W_OK):
        place = root / ".robustdd" / "compiled" / torch.backends.cpu.get_cpu_capability()
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(place))


class TerminalHandler(logging.StreamHandler[TextIO]):
    """The project's lines on standard error; a type of its own, for others hang their handlers on loggers too."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)


def log_to_terminal() -> None:
    """Show the project's own lines, plain, once; Prefect's loggers, which print tracebacks, have no handler here."""
    logger = logging.getLogger("robustdd")
    if not any(isinstance(handler, TerminalHandler) for handler in logger.handlers):
        logger.addHandler(TerminalHandler())
    logger.setLevel(logging.INFO)
    logger.propagate = False
