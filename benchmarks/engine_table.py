"""The measurements of `benchmarks.engine` as Markdown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

Case = dict[str, Any]
ORDER = (
    *("unroll", "loop", "scikit-learn", "tesla", "adjoint", "compiled", "compiled, kept", "compiled, parts of 25"),
    *("bfloat16", "bfloat16, kept", "torch", "faiss"),
)
"""Of columns, the one that the others are compared with first; JSON keeps its keys by the alphabet."""
SIZE = ("width", "batch", "steps", "rows", "size", "threads", "tf32", "rate")


def as_markdown(record: Case) -> str:
    """Tables of everything that a record holds, part by part; a case that failed says why."""
    known = record["identity"]
    lines = [
        f"# Engine on {known['device']}",
        "",
        f"torch {known['torch']}, {record['cores']} cores, commit {record['commit']}. Medians of interleaved rounds;",
        "a ratio is the median over rounds of the first column's time over the variant's: above 1 is faster. Shares",
        "of the peak, of a large float32 matrix product, count the operations of plain convolutions, done or not.",
        "",
    ]
    cases = sorted(((json.loads(key), found) for key, found in record["cases"].items()), key=lambda one: _rank(one[0]))
    for part, title in TITLES.items():
        chosen = [(case, found) for case, found in cases if case["part"] in (part, *ALIASES.get(part, ()))]
        if chosen:
            lines += [f"## {title}", "", *ROWS[part](chosen), ""]
    return "\n".join(lines)


def _rank(case: Case) -> tuple[float, ...]:
    """The place of a case among those of its part."""
    variant = ORDER.index(case["variant"]) if case.get("variant") in ORDER else -1
    sizes = (case.get(name, 0) for name in ("batch", "rate", "steps"))
    return variant, case.get("threads", 0), case.get("tf32", False), -case.get("width", 0), *sizes


def _told(case: Case) -> str:
    return ", ".join(f"{name} {case[name]}" for name in SIZE if case.get(name) not in (None, False))


def _by_variant(chosen: list[tuple[Case, Case]], cell: Callable[[Case | None], str]) -> Iterator[str]:
    """One line a case and one column a variant; a case that failed says why."""
    names = sorted({name for _, found in chosen for name in found.get("variants", {})}, key=ORDER.index)
    yield f"| | {' | '.join(names)} |"
    yield "|---" * (len(names) + 1) + "|"
    for case, found in chosen:
        if "failed" in found:
            yield f"| {_told(case)} | {found['failed']} |{' |' * (len(names) - 1)}"
        else:
            yield f"| {_told(case)} | {' | '.join(cell(found['variants'].get(name)) for name in names)} |"
    for case, found in chosen:
        for name, reason in found.get("left_out", {}).items():
            yield f"\n{_told(case)}: {name} is left out, {reason}; ratios are over the first that worked."


def _ratios(chosen: list[tuple[Case, Case]]) -> Iterator[str]:
    yield from _by_variant(chosen, _cell)
    emulated = any(found.get("arithmetic") == "rounded" for _, found in chosen)
    if emulated:
        yield ""
        yield "This processor has no instructions for bfloat16: its values are rounded in float32, which costs time."


def _cell(one: Case | None) -> str:
    if one is None:
        return ""
    share = f", {one['share_of_peak']:.0%} of peak" if "share_of_peak" in one else ""
    pace = f", {one['images_a_second']:.0f} img/s" if "images_a_second" in one else ""
    return f"{one['ratio']:.2f}x ({one['seconds']:.3g} s{share}{pace})"


def _qualities(chosen: list[tuple[Case, Case]]) -> Iterator[str]:
    yield "Cosine / relative error of the image gradient; relative error of the rate's gradient."
    yield ""
    yield from _by_variant(chosen, _quality)
    if not all(found.get("real", True) for _, found in chosen):
        yield ""
        yield "Drawn images, not CIFAR-10: the data was not there."


def _quality(one: Case | None) -> str:
    if one is None:
        return ""
    image, rate = one["images"], one["learning_rate"]
    return f"{image['cosine']:.6f} / {image['error']:.1e}; {rate['error']:.1e}"


def _memories(chosen: list[tuple[Case, Case]]) -> Iterator[str]:
    yield "| variant | | peak above the start, MB | of that the student's points, MB |"
    yield "|---|---|---|---|"
    for case, found in chosen:
        if "failed" in found:
            yield f"| {case['variant']} | {_told(case)} | {found['failed']} | |"
        else:
            yield f"| {case['variant']} | {_told(case)} | {found['bytes'] / 1e6:.0f} | {found['points'] / 1e6:.0f} |"


def _compiles(chosen: list[tuple[Case, Case]]) -> Iterator[str]:
    for case, found in chosen:
        times = " / ".join(f"{found[kind].get('seconds', float('nan')):.0f} s" for kind in ("cold", "cached"))
        yield f"First gradient of a process above the second, {_told(case)}: cold / cached {times}."


def _bits(chosen: list[tuple[Case, Case]]) -> Iterator[str]:
    for case, found in chosen:
        same = found.get("variants", {})
        told = ", ".join(f"{name}: {'yes' if same[name] else 'NO'}" for name in sorted(same, key=ORDER.index))
        yield f"- {_told(case)}: {told or found.get('failed')}"


TITLES = {
    "gradient": "Gradient of the synthetic set",
    "quality": "Against float64",
    "memory": "Memory",
    "teachers": "Training of teachers",
    "neighbours": "Nearest neighbours",
    "compile": "Compiling",
    "determinism": "Twice the same bits",
}
ALIASES = {"gradient": ("sweeps",)}
ROWS = {
    "gradient": _ratios,
    "quality": _qualities,
    "memory": _memories,
    "teachers": _ratios,
    "neighbours": _ratios,
    "compile": _compiles,
    "determinism": _bits,
}
