"""The results table of a campaign: one row per job in order of submission, as JSON Lines and as CSV.

A stream from end to end: a million rows take temporary space on disk, not memory.
"""

from __future__ import annotations

import csv
import json
import tempfile
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gliderport_prefect.board.attempts import collect_newest
from gliderport_prefect.board.names import read_names
from gliderport_prefect.board.rows import COLUMNS, as_mapping, make_row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gliderport_prefect.campaign.runtime import Runtime
    from gliderport_prefect.scheduling.state import CampaignState

RESULTS = "results.jsonl"
"""Name of the table with everything, a JSON object per line."""
RESULTS_CSV = "results.csv"
"""Name of the same for spreadsheets."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet runs cells that begin so as formulas."""
_PLAIN = tuple(name for name in COLUMNS if name not in {"labels", "outputs", "result"})


def write_results(runtime: Runtime, state: CampaignState, *, folder: Path | None = None) -> list[str]:
    """Write both tables into the bucket, and into a folder of this machine if one is given.

    Returns:
        Where the tables are: URLs in the bucket, or paths in the folder.
    """
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gliderport-", dir=folder) as temporary:
        lines, table = Path(temporary) / RESULTS, Path(temporary) / RESULTS_CSV
        names = _write_lines(runtime, state, path=lines)
        _write_csv(lines, table, names=names)
        for path in (lines, table):
            runtime.store.upload_file(path, runtime.keys.board(path.name))
        if folder is None:
            return [f"{runtime.store.url}/{runtime.keys.board(path.name)}" for path in (lines, table)]
        return [str(path.replace(folder / path.name)) for path in (lines, table)]


@dataclass(frozen=True)
class _Names:
    """Columns that jobs bring, in order of their first appearance."""

    labels: dict[str, None] = field(default_factory=dict[str, None])
    results: dict[str, None] = field(default_factory=dict[str, None])


def _write_lines(runtime: Runtime, state: CampaignState, *, path: Path) -> _Names:
    """Write the rows and return the columns that they bring."""
    names = _Names()
    with path.open("w", encoding="utf-8") as file, collect_newest(runtime, state) as newest:
        for name in islice(read_names(runtime), len(state.jobs)):
            row = make_row(runtime, state, name=name, newest=newest)
            names.labels.update(dict.fromkeys(row.labels))
            names.results.update(dict.fromkeys(row.result))
            # Undecodable bytes of file names come as lone surrogates, which only an escape can write.
            file.write(json.dumps(as_mapping(row), separators=(",", ":")) + "\n")
    return names


def _write_csv(lines: Path, path: Path, *, names: _Names) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        brought = [*(f"label.{label}" for label in names.labels), *(f"result.{each}" for each in names.results)]
        writer.writerow([*_PLAIN, "outputs", *map(_cell, brought)])
        for row in _read_lines(lines):
            cells = [*(row[name] for name in _PLAIN), " ".join(row["outputs"])]
            cells += [row["labels"].get(label) for label in names.labels]
            cells += [row["result"].get(each) for each in names.results]
            writer.writerow(map(_cell, cells))


def _read_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _cell(value: object) -> object:
    """Return the value as a spreadsheet may have it: text that looks like a formula is quoted as text."""
    if isinstance(value, dict | list):
        value = json.dumps(value)
    if not isinstance(value, str) or (value.isalnum() and value.isascii()):
        return value
    text = value.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")
    return f"'{text}" if text.startswith(_FORMULA_STARTS) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
