"""Tables as lines of aligned text, and JSON: both as a stream, so that a million rows begin at once.

Not rich's tables: those need all rows at once, take a tenth of a millisecond for each cell, and cut what is wider than
80 characters when they are piped.
"""

from __future__ import annotations

import json
import os
import sys
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import click

from gliderport_prefect.board.wording import make_printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_MEASURED = 500
"""Rows that the widths of the columns are taken from."""
_GAP = "  "


def write_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> int:
    """Write a heading and the rows to standard output, and return how many rows there were.

    Nothing but the heading is written in colour, and nothing of a cell can drive the terminal.
    """
    texts = ([_text(cell) for cell in row] for row in rows)
    first = list(islice(texts, _MEASURED))
    widths = [max(len(row[at]) for row in [columns, *first]) for at in range(len(columns))]
    click.secho(_line([name.upper() for name in columns], widths), bold=True, color=wants_colour())
    count = 0
    for row in chain(first, texts):
        click.echo(_line(row, widths))
        count += 1
    return count


def write_json(document: object) -> None:
    """Write one JSON document to standard output."""
    click.echo(json.dumps(document, indent=2))


def write_json_list(head: Mapping[str, Any], name: str, *, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON document with a list of any length as its last key, a row per line."""
    click.echo(json.dumps(head, indent=2).rstrip("\n}") + f",\n  {json.dumps(name)}: [", nl=False)
    for line in _separated(json.dumps(row) for row in rows):
        click.echo(line, nl=False)
    click.echo("\n  ]\n}")


def wants_colour() -> bool | None:
    """Return False when colours are unwanted, None to let the stream decide."""
    return False if os.environ.get("NO_COLOR") or not sys.stdout.isatty() else None


def _separated(texts: Iterable[str]) -> Iterator[str]:
    separator = "\n    "
    for text in texts:
        yield f"{separator}{text}"
        separator = ",\n    "


def _text(cell: object) -> str:
    return "-" if cell is None or cell == "" else make_printable(str(cell))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
