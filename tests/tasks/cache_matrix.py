"""What runs again after which change, as a table: `python -m tests.tasks.cache_matrix` writes it into docs/cache.md.

tests/tasks/test_cache_matrix.py makes every change and holds every line to what happened.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "cache.md"
BEGIN, END = "<!-- matrix:begin -->", "<!-- matrix:end -->"


class Line(NamedTuple):
    """What was done, and how many tasks of the stages that ran were executed and cached after it."""

    done: str
    stages: str
    executed: int
    cached: int
    what: str


MATRIX = {
    "nothing": Line("nothing; every stage forced", "all", 0, 43, ""),
    "deleted": Line("a file of every stage deleted", "all", 10, 33, "the task of each file, alone"),
    "tampered": Line("a byte of a file of every stage changed", "all", 10, 33, "the task of each file, alone"),
    "seed": Line("an evaluation seed added", "all", 12, 37, "that seed of every row, and the join of its numbers"),
    "no seed": Line("that seed taken away", "all", 6, 37, "the joins; the seed's files are pruned"),
    "row": Line("a distillation seed added: a row", "all", 4, 43, "its set, its two networks, their join"),
    "no row": Line("that row taken away", "all", 0, 43, ""),
    "more teachers": Line("`num_teachers` 2 to 3", "teachers", 3, 3, "the new ones, and whose blend changed"),
    "fewer teachers": Line("`num_teachers` back to 2", "teachers", 1, 3, "whose blend changed; the third are pruned"),
    "twin": Line("a second study with equal settings", "all", 0, 43, "all are taken from the first"),
    "comment": Line(
        "a comment in a module that all stages share, `dvc repro`", "none", 0, 0, "DVC starts `code` alone"
    ),
    "code for all": Line("code edited that all stages share, `dvc repro`", "all of 13", 26, 0, "everything"),
    "mid-run": Line("code edited while it ran, `dvc repro`", "labels", 1, 0, "exit 255; dvc.lock keeps its old entry"),
    "restored": Line("that code restored, `dvc repro`", "labels", 0, 1, ""),
    "killed": Line("kill -9 after the first of two teachers", "teachers", 1, 1, "the second, from its checkpoint"),
}


def block() -> str:
    """The table in Markdown."""
    head = ["| done to a built study | stages run | executed | cached | what is executed |", "|---|---|--:|--:|---|"]
    lines = [f"| {one.done} | {one.stages} | {one.executed} | {one.cached} | {one.what} |" for one in MATRIX.values()]
    return "\n".join([*head, *lines])


def written(text: str) -> str:
    """A document with the table between its markers."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{block()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
