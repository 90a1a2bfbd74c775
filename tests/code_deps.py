"""Write into dvc.yaml which code every stage depends on: `python -m tests.code_deps`, after an import has changed.

What the key of a stage holds whose artifact this one names is left out: another key is another manifest, and DVC sees
that. It reads every dependency of every stage each time, and the modules that all share would be most of what it reads.
"""

from __future__ import annotations

import re
from pathlib import Path

from tasks.code import closure
from tests.dvc_project import stages_of_dvc
from tests.pipeline import CODE

BESIDE_MODULES = {"report": {"robustdd/templates/report.html"}}
"""Files that a stage reads from the code without importing them."""


def code_of(stage: str) -> list[str]:
    """The files of the project that a stage reads as code, sorted."""
    return sorted({"robustdd/params.py", *in_key(stage), *BESIDE_MODULES.get(stage, set())})


def deps_of(stage: str) -> list[str]:
    """Of its code what the key of no stage holds whose artifact it names, sorted."""
    return sorted(set(code_of(stage)).difference(*map(in_key, named_by(stage))))


def named_by(stage: str) -> set[str]:
    """The stages of which every instance of `stage` names an artifact.

    Not those further back: an artifact between may come out the same. Nor those of which only the folder is named, for
    that may be empty; but no study is without images.
    """
    written = stages_of_dvc()[stage]
    deps = written.get("do", written)["deps"]
    named = {found[1] for dep in deps if (found := re.fullmatch(r"data/([a-z-]+)/.+", dep))}
    return named | ({"images"} & {dep.removeprefix("data/") for dep in deps})


def in_key(stage: str) -> set[str]:
    """The files of the project that the key of a stage's tasks holds."""
    return {str(path.relative_to(CODE)) for path in closure(f"tasks.{stage.replace('-', '_')}").values()}


def rewritten(text: str) -> str:
    """The text of dvc.yaml with the code deps of every stage as they are now; nothing else is touched."""
    lines: list[str] = []
    stage = ""
    for line in text.splitlines():
        if found := re.fullmatch(r"  ([a-z-]+):", line):
            stage = found[1]
        if not (found := re.fullmatch(r"( +- \$\{root\}/).*", line)):
            lines.append(line)
        elif stage:
            lines += [f"{found[1]}{name}" for name in deps_of(stage)]
            stage = ""
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    path = Path(CODE) / "dvc.yaml"
    path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")
