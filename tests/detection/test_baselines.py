"""The table of baselines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.baselines import BaselineTable, keyword_hash, keyword_hashes


def table_of(words: list[str]) -> BaselineTable:
    columns = {"level": np.arange(len(words), dtype=np.float32), "shape": np.ones((len(words), 2), np.float32)}
    table = BaselineTable.build(7, "test", keyword_hashes(words), columns, {"trend": np.array([[1.5, 2.5]])})
    return replace(table, names=dict(zip(keyword_hashes(words[:2]).tolist(), words, strict=False)))


def test_the_hash_never_changes():
    """Baselines of one process are looked up by another, so the hash is part of the format."""
    assert keyword_hash("dance") == 0xB9850A6D593D94A9
    assert keyword_hash("日本") == 3177284604324879296
    assert keyword_hashes(["日本", "dance"]).tolist() == [3177284604324879296, 0xB9850A6D593D94A9]


@given(st.lists(st.text(), unique=True, max_size=50), st.lists(st.text(), max_size=20))
def test_find_gives_the_row_of_each_known_keyword_and_minus_one_for_others(words, others):
    table = table_of(words)
    asked = words + others
    rows = table.find(keyword_hashes(asked))
    assert rows.dtype == np.int64
    for word, row in zip(asked, rows.tolist(), strict=True):
        if word in words:
            assert table.columns["level"][row] == words.index(word)
        else:
            assert row == -1


def test_hash_beyond_the_last_row_is_not_found():
    table = BaselineTable.build(1, "t", np.array([5, 3], np.uint64), {"level": np.array([50, 30], np.float32)})
    assert table.find(np.array([0, 3, 4, 5, 2**64 - 1], np.uint64)).tolist() == [-1, 0, -1, 1, -1]
    assert table.columns["level"].tolist() == [30, 50]


def test_empty_table_knows_nothing():
    table = BaselineTable.empty("t")
    assert (len(table), table.version) == (0, 0)
    assert table.find(keyword_hashes(["a", "b"])).tolist() == [-1, -1]
    assert keyword_hashes([]).shape == (0,)


@pytest.mark.parametrize("table", [table_of(["a", "ß", "日本"]), BaselineTable.empty("none")])
def test_bytes_round_trip(table):
    again = BaselineTable.from_bytes(table.to_bytes())
    assert (again.version, again.detector) == (table.version, table.detector)
    np.testing.assert_array_equal(again.hashes, table.hashes)
    assert again.names == table.names
    assert again.columns.keys() == table.columns.keys()
    assert again.pooled.keys() == table.pooled.keys()
    for name, values in table.columns.items():
        assert again.columns[name].dtype == values.dtype
        np.testing.assert_array_equal(again.columns[name], values)
    for name, values in table.pooled.items():
        np.testing.assert_array_equal(again.pooled[name], values)


def test_other_bytes_are_refused():
    with pytest.raises(ValueError, match="pickle"):
        BaselineTable.from_bytes(b"not a table")
