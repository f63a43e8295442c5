from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gliderport_prefect.errors import UserError
from gliderport_prefect.presets.tables import Row, Table, inline_table, open_table, parse_range


def table_of(folder: Path, name: str, content: str | bytes) -> Table:
    """Write the file and open it as a table."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return open_table(path)


def values(table: Table) -> list[list[str]]:
    """Return the rows' values; fail on a row that cannot be read."""
    return [list(row.values) for row in rows(table)]


def rows(table: Table) -> Iterator[Row]:
    """Yield the rows; fail on one that cannot be read."""
    for row in table.rows():
        assert isinstance(row, Row), row
        yield row


def errors(table: Table) -> list[UserError]:
    """Return the rows that cannot be read."""
    return [row for row in table.rows() if isinstance(row, UserError)]


def test_csv_keeps_quoted_delimiters_quotes_and_line_ends(tmp_path: Path) -> None:
    table = table_of(tmp_path, "t.csv", 'a,b\r\n"x, ""y""","1\n2"\r\nlast,\r\n')
    assert table.columns == ("a", "b")
    assert values(table) == [['x, "y"', "1\n2"], ["last", ""]]
    assert [row.line for row in rows(table)] == [2, 4]


def test_a_byte_order_mark_and_blank_lines_are_no_content(tmp_path: Path) -> None:
    table = table_of(tmp_path, "t.csv", b"\xef\xbb\xbfa,b\n\n1,2\n\n3,4\n\n")
    assert table.columns == ("a", "b")
    assert [(row.number, row.line, list(row.values)) for row in rows(table)] == [(0, 3, ["1", "2"]), (1, 5, ["3", "4"])]


def test_values_stay_as_they_are_written(tmp_path: Path) -> None:
    assert values(table_of(tmp_path, "t.csv", "a\n007\n 1e3\nTrue\n")) == [["007"], [" 1e3"], ["True"]]
    lines = '{"a": 1.10, "b": 1e400, "c": true, "d": "x", "e": {"k": [1]}}\n'
    assert values(table_of(tmp_path, "t.jsonl", lines)) == [["1.10", "1e400", "true", "x", '{"k":["1"]}']]


def test_tabs_separate_the_values_of_tsv(tmp_path: Path) -> None:
    assert values(table_of(tmp_path, "t.tsv", "a\tb\n1,5\tx y\n")) == [["1,5", "x y"]]


def test_rows_of_json_lines_may_have_their_columns_in_any_order(tmp_path: Path) -> None:
    assert values(table_of(tmp_path, "t.jsonl", '{"a":1,"b":2}\n{"b":3,"a":4}\n')) == [["1", "2"], ["4", "3"]]


def test_one_bad_row_among_many_is_named_by_file_and_line(tmp_path: Path) -> None:
    lines = [f"{n},x" for n in range(20_000)]
    lines[12_345] = "oops"
    table = table_of(tmp_path, "t.csv", "n,x\n" + "\n".join(lines))
    (error,) = errors(table)
    assert (error.file, error.line) == (str(tmp_path / "t.csv"), 12_347)
    assert "1 field, the header 2" in error.message
    assert sum(isinstance(row, Row) for row in table.rows()) == 19_999


@pytest.mark.parametrize(
    ("name", "content", "line", "says"),
    [
        ("t.csv", "a,b\n1,2\n1,2,3\n", 3, "3 fields"),
        ("t.csv", 'a\n1\n"never closed\n\n', 3, "unexpected end"),
        ("t.csv", 'a,b\n"x"y,1\n', 2, "expected after"),
        ("t.csv", f"a\n{'x' * 200_000}\n", 2, "field limit"),
        ("t.jsonl", '{"a": 1}\n{"a": \n', 2, "no JSON"),
        ("t.jsonl", '{"a": 1}\n[1]\n', 2, "expected an object"),
        ("t.jsonl", '{"a": 1}\n{"b": 1}\n', 2, "no value"),
        ("t.jsonl", '{"a": 1}\n{"a": null}\n', 2, "no value"),
        ("t.jsonl", '{"a": 1}\n{"a": 1, "b": 2}\n', 2, "no such column"),
        ("t.jsonl", '{"a": 1}\n{"a": 1, "a": 2}\n', 2, "'a' is there twice"),
        ("t.jsonl", '{"a": 1}\n' + "[" * 100_000 + "\n", 2, "no JSON"),
    ],
)
def test_a_row_that_cannot_be_read_says_why_and_where(
    tmp_path: Path, name: str, content: str | bytes, line: int, says: str
) -> None:
    error = errors(table_of(tmp_path, name, content))[0]
    assert error.line == line
    assert says in str(error)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("t.csv", "", "empty"),
        ("t.jsonl", "\n\n", "empty"),
        ("t.csv", "a,,c\n", "has no name"),
        ("t.csv", "a,b,a\n", "two columns are named 'a'"),
        ("t.csv", b"\xff\xfea\x00", "UTF-8"),
        ("t.jsonl", "nonsense\n", "no JSON"),
        ("t.xlsx", "a", "a table's name ends in"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_when_it_is_opened(
    tmp_path: Path, name: str, content: str | bytes, says: str
) -> None:
    with pytest.raises(UserError) as caught:
        table_of(tmp_path, name, content)
    assert says in str(caught.value)
    assert caught.value.file == str(tmp_path / name)


@pytest.mark.parametrize(("name", "row"), [("t.csv", b"1\n"), ("t.jsonl", b'{"a": 1}\n')])
def test_the_line_that_is_no_utf8_is_named(tmp_path: Path, name: str, row: bytes) -> None:
    header = b"a\n" if name == "t.csv" else b""
    table = table_of(tmp_path, name, header + row * 30_000 + b"\xff\n" + row)
    (error,) = errors(table)
    assert "UTF-8" in error.message
    assert error.line == 30_001 + len(header.splitlines())


def test_a_missing_table_and_a_folder_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        open_table(tmp_path / "none.csv")
    with pytest.raises(UserError, match="regular file"):
        open_table(tmp_path)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0..3", [0, 1, 2, 3]), ("3..1", [3, 2, 1]), ("-1..1", [-1, 0, 1]), ("0..10..5", [0, 5, 10]), ("5..5", [5])],
)
def test_a_range_includes_both_ends(text: str, numbers: list[int]) -> None:
    table = parse_range(text)
    assert table is not None
    assert [(row.number, list(row.values)) for row in rows(table)] == [(n, [str(n)]) for n in numbers]


def test_a_huge_range_is_not_held_in_memory() -> None:
    table = parse_range("0..1000000000000")
    assert table is not None
    assert next(rows(table)).number == 0


@pytest.mark.parametrize("text", ["table.csv", "1..", "a..b", "1...3", "1.5..2"])
def test_other_texts_are_no_range(text: str) -> None:
    assert parse_range(text) is None


@pytest.mark.parametrize("text", ["0..5..0", "0..5..-1", "5..0..1"])
def test_a_step_that_leads_nowhere_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="does not lead"):
        parse_range(text)


def test_inline_rows_say_which_of_them_is_wrong() -> None:
    for written, says in (([], "empty"), ([{"a": 1}, 2], r"\[1\]")):
        with pytest.raises(UserError, match=says):
            inline_table(json.loads(json.dumps(written)), name="inline")
    assert "no value" in str(errors(inline_table([{"a": 1}, {"b": 2}], name="inline"))[0])
