"""What jobs told of themselves, side by side: one row per job, one column per key of `$GLIDERPORT_RESULT`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gliderport_prefect.board.rows import COLUMNS, as_mapping
from gliderport_prefect.protocol.notation import unknown_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gliderport_prefect.board.rows import JobRow

_PLAIN = tuple(name for name in COLUMNS if name not in {"labels", "result"})


@dataclass(frozen=True)
class Ranking:
    """A table of some columns."""

    columns: list[str]
    """Names: fields of a row, `label.<name>`, `result.<key>`."""
    rows: list[list[Any]]
    """A row per job."""


def rank(
    rows: Iterable[JobRow], *, sort: str | None = None, ascending: bool = False, columns: Iterable[str] = ()
) -> Ranking:
    """Return the rows, sorted by a column; jobs that have nothing there come last.

    Args:
        rows: The jobs.
        sort: A column, or the name of a result or label without its prefix; order of submission when not given.
        ascending: Whether the smallest comes first.
        columns: What to show; by default the id, the state, the labels and all results.

    Raises:
        UserError: There is no such column.
    """
    flat = [_flatten(row) for row in rows]
    known = list(dict.fromkeys([*_PLAIN, *(name for row in flat for name in row)]))
    shown = [_find(name, known) for name in columns]
    if not shown:
        shown = ["id", "state", *(name for name in known if name not in _PLAIN)]
    if sort is not None:
        by = _find(sort, known)
        shown = shown if by in shown else [*shown, by]
        flat = _sorted(flat, by, ascending=ascending)
    return Ranking(shown, [[row.get(name) for name in shown] for row in flat])


def _flatten(row: JobRow) -> dict[str, Any]:
    flat = {name: value for name, value in as_mapping(row).items() if name in _PLAIN}
    flat |= {f"label.{name}": value for name, value in row.labels.items()}
    return flat | {f"result.{name}": value for name, value in row.result.items()}


def _find(name: str, known: list[str]) -> str:
    for candidate in (name, f"result.{name}", f"label.{name}"):
        if candidate in known:
            return candidate
    raise unknown_key(name, known, key="column")


def _sorted(rows: list[dict[str, Any]], by: str, *, ascending: bool) -> list[dict[str, Any]]:
    """Sort numbers as numbers and everything else as text, numbers first, what is missing last."""
    numbers = [row for row in rows if isinstance(row.get(by), int | float)]
    missing = [row for row in rows if row.get(by) is None]
    others = [row for row in rows if row.get(by) is not None and not isinstance(row[by], int | float)]
    numbers.sort(key=lambda row: row[by], reverse=not ascending)
    others.sort(key=lambda row: str(row[by]), reverse=not ascending)
    return [*numbers, *others, *missing]
