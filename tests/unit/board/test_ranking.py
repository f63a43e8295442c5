"""One table of what jobs told of themselves."""

from __future__ import annotations

import pytest

from gliderport_prefect.board.ranking import rank
from gliderport_prefect.board.rows import JobRow
from gliderport_prefect.errors import UserError

ROWS = [
    JobRow("a", "SUCCEEDED", labels={"model": "svm"}, result={"accuracy": 0.9, "note": "x"}),
    JobRow("b", "FAILED", labels={"model": "knn"}),
    JobRow("c", "SUCCEEDED", result={"accuracy": 0.95}),
    JobRow("d", "SUCCEEDED", result={"accuracy": "NaN"}),
]


def test_every_result_and_label_is_a_column() -> None:
    assert rank(ROWS).columns == ["id", "state", "label.model", "result.accuracy", "result.note"]


def test_the_highest_comes_first_and_what_is_missing_last() -> None:
    assert [row[0] for row in rank(ROWS, sort="result.accuracy").rows] == ["c", "a", "d", "b"]


def test_the_lowest_comes_first_when_asked() -> None:
    assert [row[0] for row in rank(ROWS, sort="accuracy", ascending=True).rows] == ["a", "c", "d", "b"]


def test_only_the_columns_that_are_named_are_shown_and_the_one_that_sorts() -> None:
    table = rank(ROWS, sort="accuracy", columns=["id", "note"])
    assert table.columns == ["id", "result.note", "result.accuracy"]


def test_a_column_that_is_not_there_is_an_error_that_helps() -> None:
    with pytest.raises(UserError, match=r"result\.accuracy"):
        rank(ROWS, sort="result.accurate")
