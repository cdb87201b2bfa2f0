"""Files of keyword counts: CSV, plain or gzip, ``keyword,window_start,mentions`` and ``window_start,total_posts``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute as pc
from pyarrow import csv

from detection.counts import WINDOW_SECONDS, CountHistory
from programs.errors import UserError

_TIME = pa.timestamp("s", tz="UTC")


def _read(path: Path, columns: dict[str, pa.DataType]) -> pa.Table:
    try:
        return csv.read_csv(
            path,
            convert_options=csv.ConvertOptions(
                column_types=columns,
                include_columns=list(columns),
                timestamp_parsers=["%Y-%m-%dT%H:%M:%SZ", csv.ISO8601],
            ),
        )
    except FileNotFoundError:
        msg = f"no such file: {path}"
        raise UserError(msg) from None
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        msg = f"{path}: expected the columns {','.join(columns)}, times as ISO 8601 in UTC: {error}"
        raise UserError(msg) from None


def _seconds(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    return np.asarray(pc.cast(column, pa.int64()), dtype=np.int64)


def read_history(counts: Sequence[Path], totals: Path | None = None) -> CountHistory:
    """Read files of counts into one history, from the first window to the last that is seen.

    Raises:
        UserError: a file is missing or malformed, or there is not one row.
    """
    columns = {"keyword": pa.string(), "window_start": _TIME, "mentions": pa.int64()}
    table = pa.concat_tables([_read(path, columns) for path in counts])
    if not len(table):
        msg = f"no counts in {', '.join(map(str, counts))}"
        raise UserError(msg)
    words = table["keyword"].combine_chunks().dictionary_encode()
    window = _seconds(table["window_start"])
    start, end = int(window.min()), int(window.max()) + WINDOW_SECONDS
    posts = np.full((end - start) // WINDOW_SECONDS, np.nan)
    if totals is not None:
        volume = _read(totals, {"window_start": _TIME, "total_posts": pa.int64()})
        index = (_seconds(volume["window_start"]) - start) // WINDOW_SECONDS
        inside = (index >= 0) & (index < len(posts))
        posts[index[inside]] = np.asarray(volume["total_posts"])[inside]
    return CountHistory(
        tuple(words.dictionary.to_pylist()),
        np.asarray(words.indices, dtype=np.int32),
        window,
        np.asarray(table["mentions"], dtype=np.int64),
        start,
        end,
        posts,
    )
