"""Write into dvc.yaml which code every stage reaches: `python -m tests.code_deps`, after an import has changed."""

from __future__ import annotations

import re
from pathlib import Path

from tasks.code import closure
from tests.pipeline import CODE

BESIDE_MODULES = {"report": {"robustdd/templates/report.html"}}
"""Files that a stage reads from the code without importing them."""


def code_of(stage: str) -> list[str]:
    """The files of the project that a stage reads as code, sorted."""
    reached = closure(f"tasks.{stage.replace('-', '_')}").values()
    found = {"robustdd/params.py", *(str(path.relative_to(CODE)) for path in reached)}
    return sorted(found | BESIDE_MODULES.get(stage, set()))


def rewritten(text: str) -> str:
    """The text of dvc.yaml with the code of every stage as it is now; nothing else is touched."""
    lines: list[str] = []
    stage = ""
    for line in text.splitlines():
        if found := re.fullmatch(r"  ([a-z-]+):", line):
            stage = found[1]
        if not (found := re.fullmatch(r"( +- \$\{root\}/).*", line)):
            lines.append(line)
        elif stage:
            lines += [f"{found[1]}{name}" for name in code_of(stage)]
            stage = ""
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    path = Path(CODE) / "dvc.yaml"
    path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")
