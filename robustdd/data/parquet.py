"""Opening a parquet file that somebody else wrote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq

from robustdd.data.refusals import told_as
from robustdd.errors import UserError


@contextmanager
def opened(path: Path, most: int) -> Iterator[pq.ParquetFile]:
    """The file at `path`, to be read inside; raises UserError for whatever goes wrong there.

    A file whose columns take more than `most` bytes when they are decompressed, as its footer tells, is refused first.
    """
    with told_as(f"{path}: cannot be read as parquet"), pq.ParquetFile(path) as file:
        found = file.metadata
        size = sum(found.row_group(place).total_byte_size for place in range(found.num_row_groups))
        if size > most:
            raise UserError(f"{path}: takes {size:,} bytes when it is unpacked; expected at most {most:,}")
        yield file
