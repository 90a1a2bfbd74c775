"""One line about bytes that a decoder does not like, whatever it raised."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from robustdd.errors import RobustddError, UserError

_MOST = 120
_OBJECT = re.compile(r" ?<[^<>]* at 0x[0-9a-f]+>")


@contextmanager
def told_as(line: str) -> Iterator[None]:
    """Raise UserError `line` (reason) for every exception inside that is not told in one line already.

    Decoders of images, parquet and pickles raise nearly anything on damaged or hostile bytes: OSError, ValueError,
    struct.error, MemoryError, and what their next version thinks of.
    """
    try:
        yield
    except RobustddError:
        raise
    except Exception as error:
        raise UserError(f"{line} ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    first = _OBJECT.sub("", (str(error).strip().splitlines() or [""])[0])[:_MOST]
    return "".join(part for part in first if part.isprintable()) or type(error).__name__
