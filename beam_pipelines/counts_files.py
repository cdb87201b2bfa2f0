"""Files of counts: CSV, plain or gzip, ``keyword,window_start,mentions`` and ``window_start,total_posts``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv

from detection.counts import WINDOW_SECONDS, CountHistory
from programs.errors import UserError

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Sparse counts sorted by window.

    Attributes:
        keywords: distinct keywords, length k.
        keyword: index into ``keywords``, int32[n].
        window: start of the window, epoch seconds, int64[n].
        mentions: int64[n], at least 1; each (keyword, window) appears once.
    """

    keywords: tuple[str, ...]
    keyword: npt.NDArray[np.int32]
    window: Ints
    mentions: Ints


def parse_time(text: str) -> int:
    """Return epoch seconds of an ISO 8601 time; without an offset it is UTC.

    Raises:
        ValueError: the text is not such a time.
    """
    moment = datetime.fromisoformat(text.strip())
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _read(path: Path, columns: Sequence[str], types: dict[str, pa.DataType]) -> pa.Table:
    if not path.exists():
        msg = f"{path}: no such file"
        raise UserError(msg)
    try:
        return pacsv.read_csv(
            path,
            convert_options=pacsv.ConvertOptions(
                column_types=types, include_columns=list(columns), strings_can_be_null=False
            ),
            parse_options=pacsv.ParseOptions(newlines_in_values=False),
        )
    except pa.ArrowKeyError:
        msg = f"{path}: expected a header line with the columns {','.join(columns)}"
        raise UserError(msg) from None
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        msg = f"{path}: {reason}; expected CSV with the columns {','.join(columns)}"
        raise UserError(msg) from None


def _codes(column: pa.ChunkedArray) -> tuple[list[str], Ints]:
    column = column.cast(pa.dictionary(pa.int32(), pa.string())) if column.type == pa.string() else column
    combined = column.unify_dictionaries().combine_chunks()
    parts = combined.chunks if isinstance(combined, pa.ChunkedArray) else [combined]
    if not parts:
        return [], np.empty(0, np.int64)
    codes = np.concatenate([part.indices.to_numpy(zero_copy_only=False) for part in parts]).astype(np.int64)
    return parts[0].dictionary.to_pylist(), codes


def _times(path: Path, column: pa.ChunkedArray) -> Ints:
    texts, codes = _codes(column)
    times = np.empty(len(texts), np.int64)
    for i, text in enumerate(texts):
        try:
            times[i] = parse_time(text)
        except ValueError:
            msg = f"{path}: window_start {text!r} is not an ISO 8601 time, e.g. 2021-03-01T12:15:00Z"
            raise UserError(msg) from None
        if times[i] % WINDOW_SECONDS:
            msg = f"{path}: window_start {text} starts no {WINDOW_SECONDS // 60}-minute window"
            raise UserError(msg)
    return times[codes]


def _unheard(_: str) -> None:
    pass


def read_counts(paths: Sequence[Path], progress: Callable[[str], None] = _unheard) -> Counts:
    """Read files of mentions; rows of one keyword and window are added up.

    Raises:
        UserError: a file is missing or malformed, or no row has mentions.
    """
    text = pa.dictionary(pa.int32(), pa.string())
    names: dict[str, int] = {}
    keyword, window, mentions = [], [], []
    for path in paths:
        table = _read(
            path,
            ("keyword", "window_start", "mentions"),
            {"keyword": text, "window_start": text, "mentions": pa.int64()},
        )
        local, codes = _codes(table["keyword"])
        counts = table["mentions"].to_numpy()
        if table["mentions"].null_count or (counts < 0).any():
            msg = f"{path}: mentions must be whole numbers of at least 0"
            raise UserError(msg)
        index = np.array([names.setdefault(name, len(names)) for name in local], np.int64)
        times = _times(path, table["window_start"])
        some = counts > 0
        keyword.append(index[codes][some].astype(np.int32))
        window.append(times[some])
        mentions.append(counts[some].astype(np.int64))
        progress(f"read {path}: {len(table):,} rows")
    if not keyword or not sum(map(len, keyword)):
        msg = f"{', '.join(map(str, paths))}: no row with mentions"
        raise UserError(msg)
    return _combined(tuple(names), np.concatenate(keyword), np.concatenate(window), np.concatenate(mentions))


def _combined(names: tuple[str, ...], keyword: npt.NDArray[np.int32], window: Ints, mentions: Ints) -> Counts:
    key = window * len(names) + keyword
    if (np.diff(key) <= 0).any():
        order = np.argsort(key, kind="stable")
        key, keyword, window, mentions = key[order], keyword[order], window[order], mentions[order]
        first = np.flatnonzero(np.diff(key, prepend=key[0] - 1))
        if len(first) < len(key):
            mentions = np.add.reduceat(mentions, first)
            keyword, window = keyword[first], window[first]
    return Counts(names, keyword, window, mentions)


def read_totals(path: Path) -> dict[int, float]:
    """Read a file of volumes; return posts per window start.

    Raises:
        UserError: the file is missing or malformed.
    """
    text = pa.dictionary(pa.int32(), pa.string())
    table = _read(path, ("window_start", "total_posts"), {"window_start": text, "total_posts": pa.float64()})
    posts = table["total_posts"].to_numpy()
    if table["total_posts"].null_count or (posts < 0).any():
        msg = f"{path}: total_posts must be numbers of at least 0"
        raise UserError(msg)
    return dict(zip(_times(path, table["window_start"]).tolist(), posts.tolist(), strict=True))


def read_history(paths: Sequence[Path], totals: Path | None = None) -> CountHistory:
    """Read files of mentions, and one of volumes, into a history from the first window that is in any of them to the last.

    A window with a volume was watched, so one without mentions is silent: at the ends of the history too.

    Raises:
        UserError: a file is missing or malformed, or no row has mentions.
    """
    counts, volume = read_counts(paths), read_totals(totals) if totals else {}
    seen = [int(counts.window[0]), int(counts.window[-1]), *volume]
    start, end = min(seen), max(seen) + WINDOW_SECONDS
    posts = np.array([volume.get(window, np.nan) for window in range(start, end, WINDOW_SECONDS)])
    return CountHistory(counts.keywords, counts.keyword, counts.window, counts.mentions, start, end, posts)
