"""Labels as they stand in files, whole numbers or names, to numbers of classes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from robustdd.errors import UserError

MOST = 1000
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")

Labels = Sequence[int | str]


def class_names(columns: Sequence[Labels], what: str) -> tuple[str, ...]:
    """Names of the classes that the labels in `columns` show, when nobody has told them.

    Names are sorted; whole numbers are the classes 0, 1, ..., each of which must occur. Raises UserError, beginning
    with `what`, for reals, negative numbers and gaps, and for fewer than 2 or more than 1,000 classes.
    """
    used = {label for column in columns for label in column}
    if all(_is_whole(label) for label in used):
        return check_count(_numbered({int(label) for label in used}, what), what)
    names = sorted(map(str, used))
    # The label that is at fault first: among whole numbers that is the one that is not whole.
    for label in sorted(names, key=_is_whole):
        if _is_number(label):
            raise UserError(
                f"{what}: label {_shown(label)} is no class; expected whole numbers 0, 1, ... or names alone"
            )
        check_name(label, what)
    return check_count(tuple(names), what)


def numbers(labels: Labels, names: tuple[str, ...], ids: Sequence[str], what: str) -> list[int]:
    """Classes 0..len(names) - 1 of `labels`: all of them are names, or all are whole numbers.

    Raises UserError for the first label that is no class, with the id at its place.
    """
    places = {name: place for place, name in enumerate(names)}
    if all(label in places for label in labels):
        return [places[str(label)] for label in labels]
    named = [label in places for label in labels]
    for label, ident, is_name in zip(labels, ids, named, strict=True):
        if not is_name and not (_is_whole(label) and 0 <= int(label) < len(names)):
            raise UserError(f"{what}: label {_shown(label)} of {ident!r} is no class; expected {_told(names)}")
    if any(named):
        raise UserError(f"{what}: some labels are names, some numbers; expected {_told(names)}, of one kind alone")
    return [int(label) for label in labels]


def check_count(names: tuple[str, ...], what: str) -> tuple[str, ...]:
    """`names`; raises UserError unless they are 2 to 1,000."""
    if not 2 <= len(names) <= MOST:
        raise UserError(f"{what}: has {len(names):,} classes; expected 2 to {MOST:,}")
    return names


def check_name(name: str, what: str) -> None:
    """Raise UserError unless `name` is a short printable text: it goes into tables, pages and file names."""
    if not name or len(name) > 100 or not name.isprintable() or name != name.strip():
        raise UserError(f"{what}: {_shown(name)} cannot name a class; expected 1 to 100 printable characters")


def _numbered(used: set[int], what: str) -> tuple[str, ...]:
    if min(used, default=0) < 0:
        raise UserError(f"{what}: label {min(used)} is negative; expected whole numbers 0, 1, ... or names")
    last = max(used, default=-1)
    if last >= MOST:
        raise UserError(f"{what}: label {last} makes more than {MOST:,} classes; expected 2 to {MOST:,}")
    missing = next((label for label in range(last) if label not in used), None)
    if missing is not None:
        reason = f"no image has label {missing}, though {last} is in use"
        raise UserError(f"{what}: {reason}; name all classes in `classes` of params.yaml")
    return tuple(str(label) for label in range(last + 1))


def _is_whole(label: int | str) -> bool:
    return isinstance(label, int) or _WHOLE.fullmatch(label) is not None


def _is_number(label: str) -> bool:
    try:
        float(label)
    except ValueError:
        return False
    return True


def _shown(label: int | str) -> str:
    text = repr(label)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _told(names: tuple[str, ...]) -> str:
    return f"0..{len(names) - 1}, or one of {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}"
