"""Tables of rows, one job each: CSV, TSV, JSON Lines, rows written inline, ranges of integers.

A table is walked as often as needed and never held in memory. Values stay text, as they are written. A row that
cannot be read is handed out as the error that says why, with file and line, so that one walk can find them all.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from gliderport_prefect.errors import UserError

_DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_LINES_OF_JSON = {".jsonl", ".ndjson"}
_RANGE = re.compile(r"\s*(-?\d+)\s*\.\.\s*(-?\d+)\s*(?:\.\.\s*(-?\d+)\s*)?")
_MISSING = object()


class Row(NamedTuple):
    """One row."""

    number: int
    """Its number, from 0; of a range: the integer."""
    line: int | None
    """Line in the file where it begins."""
    values: Sequence[str]
    """Its values, in the order of the columns."""


@dataclass(frozen=True)
class Table:
    """Rows with named columns."""

    columns: tuple[str, ...]
    """Names, in order."""
    rows: Callable[[], Iterator[Row | UserError]]
    """Begins a walk over all rows."""
    name: str
    """What people call it: the file, or how it was written."""
    file: str | None = None
    """The file, when there is one."""


def open_table(path: Path) -> Table:
    """Return the table in the file; its ending says of which kind it is.

    Raises:
        UserError: It is no file, of no known kind, or its header cannot be used.
    """
    _check_file(path)
    ending = path.suffix.lower()
    if ending in _DELIMITERS:
        return _open_csv(path, _DELIMITERS[ending])
    if ending in _LINES_OF_JSON:
        return _open_jsonl(path)
    raise UserError(
        f"a table's name ends in {', '.join(sorted([*_DELIMITERS, *_LINES_OF_JSON]))}",
        file=path,
        hint="rename it, so that its kind is known",
    )


def parse_range(text: str) -> Table | None:
    """Return the range that a text such as `0..999` or `10..100..5` (both ends included) means, or None if it is none.

    Raises:
        UserError: The step does not lead from the first to the last.
    """
    match = _RANGE.fullmatch(text)
    if match is None:
        return None
    return range_table(int(match[1]), int(match[2]), step=int(match[3]) if match[3] else None)


def range_table(first: int, last: int, *, step: int | None = None) -> Table:
    """Return a table with one column `n` of the integers from the first to the last, both included.

    Raises:
        UserError: The step does not lead from the first to the last.
    """
    pace = step if step is not None else (1 if first <= last else -1)
    if pace == 0 or (last - first) * pace < 0:
        raise UserError(f"a step of {pace} does not lead from {first} to {last}")
    numbers = range(first, last + (1 if pace > 0 else -1), pace)
    return Table(("n",), lambda: (Row(number, None, (str(number),)) for number in numbers), f"{first}..{last}")


def inline_table(rows: Sequence[object], *, name: str) -> Table:
    """Return the table of rows that were written as a list of mappings, or of single values (column `value`).

    Raises:
        UserError: There is no row, or the rows are of different kinds.
    """
    if not rows:
        raise UserError("the list of rows is empty")
    if not any(isinstance(row, Mapping) for row in rows):
        rows = [{"value": row} for row in rows]
    mappings: list[Mapping[str, object]] = []
    for at, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise UserError("a row that is no mapping among mappings", key=f"[{at}]")
        mappings.append(cast("Mapping[str, object]", row))
    columns = tuple(str(column) for column in mappings[0])

    def walk() -> Iterator[Row | UserError]:
        for number, row in enumerate(mappings):
            yield _from_mapping(number, row, columns=columns)

    return Table(columns, walk, name)


# --- CSV and TSV ------------------------------------------------------------------------------------------------


def _open_csv(path: Path, delimiter: str) -> Table:
    header = next(_csv_lines(path, delimiter), None)
    if header is None:
        raise UserError("the table is empty", file=path, hint="its first line names the columns")
    columns = tuple(column.strip() for column in header[1])
    for column in columns:
        if not column or columns.count(column) > 1:
            what = f"two columns are named {column!r}" if column else "a column has no name"
            raise UserError(what, file=path, line=header[0])
    return Table(columns, lambda: _csv_rows(path, delimiter, width=len(columns)), str(path), str(path))


def _csv_rows(path: Path, delimiter: str, *, width: int) -> Iterator[Row | UserError]:
    lines = _csv_lines(path, delimiter)
    next(lines, None)
    number = 0
    try:
        for line, values in lines:
            if len(values) == width:
                yield Row(number, line, values)
            else:
                message = f"the row has {len(values)} {'field' if len(values) == 1 else 'fields'}, the header {width}"
                yield UserError(message, file=path, line=line, hint="quote values that contain the delimiter")
            number += 1
    except UserError as error:
        yield error


def _csv_lines(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line where each row begins, and its fields; blank lines are left out."""
    begins = 1
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            for values in reader:
                if values:
                    yield begins, values
                begins = reader.line_num + 1
        except csv.Error as error:
            raise UserError(f"the row cannot be read: {error}", file=path, line=begins) from None
        except UnicodeDecodeError:
            raise not_utf8(path) from None


# --- JSON Lines -------------------------------------------------------------------------------------------------


def _open_jsonl(path: Path) -> Table:
    first = next(json_lines(path), None)
    if first is None:
        raise UserError("the table is empty", file=path)
    if isinstance(first, UserError):
        raise first
    columns = tuple(first[1])
    return Table(columns, lambda: _jsonl_rows(path, columns), str(path), str(path))


def _jsonl_rows(path: Path, columns: Sequence[str]) -> Iterator[Row | UserError]:
    for number, found in enumerate(json_lines(path, as_text=True)):
        if isinstance(found, UserError):
            yield found
            continue
        line, mapping = found
        row = _from_mapping(number, mapping, columns=columns)
        if isinstance(row, UserError):
            row.file, row.line = str(path), line
            yield row
        else:
            yield row._replace(line=line)


def json_lines(path: Path, *, as_text: bool = False) -> Iterator[tuple[int, dict[str, Any]] | UserError]:
    """Yield line number and object of each line that is not blank; a line that holds none yields its error.

    Args:
        path: The file.
        as_text: Whether numbers stay text, as they are written.
    """
    numbers: dict[str, Callable[[str], Any]] = {"parse_int": str, "parse_float": str} if as_text else {}
    decoder = json.JSONDecoder(object_pairs_hook=_without_duplicates, **numbers)  # pyright: ignore[reportArgumentType]
    line = 0
    try:
        with path.open(encoding="utf-8-sig") as file:
            for line, text in enumerate(file, 1):
                if text.strip():
                    yield _json_object(decoder, text, file=path, line=line)
    except UnicodeDecodeError:
        yield not_utf8(path)


def _json_object(
    decoder: json.JSONDecoder, text: str, *, file: Path, line: int
) -> tuple[int, dict[str, Any]] | UserError:
    try:
        value = decoder.decode(text)
    except json.JSONDecodeError as error:
        return UserError(f"no JSON: {error.msg} at column {error.colno}", file=file, line=line)
    except (ValueError, RecursionError) as error:
        return UserError(f"no JSON: {error}", file=file, line=line)
    if isinstance(value, dict):
        return line, cast("dict[str, Any]", value)
    return UserError(f"expected an object, got {text.strip():.60}", file=file, line=line)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is there twice")
    return mapping


# --- values -----------------------------------------------------------------------------------------------------


def _from_mapping(number: int, mapping: Mapping[str, object], *, columns: Sequence[str]) -> Row | UserError:
    values: list[str] = []
    for column in columns:
        value = mapping.get(column, _MISSING)
        if value is None or value is _MISSING:
            return UserError("the row has no value here", key=column)
        values.append(_as_text(value))
    if len(mapping) > len(columns):
        unknown = next(column for column in mapping if column not in columns)
        return UserError("the first row has no such column", key=str(unknown), hint="give all rows the same columns")
    return Row(number, None, values)


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def not_utf8(path: Path) -> UserError:
    """Return the error that names the first line which is no UTF-8."""
    line = None
    with path.open("rb") as file:
        for line, content in enumerate(file, 1):  # noqa: B007 - the line where the loop ends is what is sought
            try:
                content.decode()
            except UnicodeDecodeError:
                break
    return UserError("the file is no UTF-8 text", file=path, line=line, hint="save it as UTF-8")


def _check_file(path: Path) -> None:
    if path.is_file():
        return
    what = "a table is read more than once, so it must be a regular file" if path.exists() else "there is no such file"
    raise UserError(what, file=path)
