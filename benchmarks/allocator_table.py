"""The Markdown of `benchmarks.allocator`: every number from its JSON."""

from __future__ import annotations

from textwrap import fill
from typing import Any

from benchmarks.markdown import table

NAMES = {
    "loop": "MTT's loop",
    "unroll": "unrolled graph",
    "adjoint": "engine, not compiled",
    "compiled": "engine, compiled",
}


def as_markdown(found: dict[str, Any]) -> str:
    """One table for each kind of work."""
    versions, where = found["versions"], f"{found['threads']} thread of {found['device']}"
    head = f"""Generated from allocator.json by `make results`. Every line is a process of its own; ratios to the first
line are medians over {found["rounds"]} rounds, in which all were asked in turn. A stage keeps freed memory; peers, as
published, do not. {where}, torch {versions["torch"]}, {versions["libc"]}, commit {found["commit"]}."""
    parts = ["# What keeping freed memory is worth", fill(head, 120)]
    for name, lines in found["works"].items():
        body = [
            [
                NAMES[line["variant"]],
                "kept" if line["keep"] else "given back",
                f"{line['seconds']:.2f}",
                f"{line['ratio']:.2f}",
                f"{line['peak_mb']:,}",
            ]
            for line in lines
        ]
        header = ["variant", "freed memory", "seconds", "times as fast as the first", "peak MB"]
        parts += [f"## {name[0].upper()}{name[1:]}", table(header, body, words=2)]
    return "\n\n".join(parts) + "\n"
