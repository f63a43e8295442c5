"""The results table of a campaign: one row per job in order of submission, as JSON Lines and as CSV.

A stream from end to end: a million rows take temporary space on disk, not memory.
"""

from __future__ import annotations

import csv
import json
import tempfile
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gliderport_prefect.board.attempts import collect_newest
from gliderport_prefect.board.names import read_names
from gliderport_prefect.board.rows import COLUMNS, as_mapping, make_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gliderport_prefect.campaign.runtime import Runtime
    from gliderport_prefect.scheduling.state import CampaignState

RESULTS = "results.jsonl"
"""Name of the table with everything, a JSON object per line."""
RESULTS_CSV = "results.csv"
"""Name of the same for spreadsheets."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet runs cells that begin so as formulas."""
_PLAIN = tuple(name for name in COLUMNS if name not in {"labels", "outputs"})


def write_results(runtime: Runtime, state: CampaignState, *, folder: Path | None = None) -> list[str]:
    """Write both tables into the bucket, and into a folder of this machine if one is given.

    Returns:
        Where the tables are: URLs in the bucket, or paths in the folder.
    """
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gliderport-", dir=folder) as temporary:
        lines, table = Path(temporary) / RESULTS, Path(temporary) / RESULTS_CSV
        labels = _write_lines(runtime, state, path=lines)
        _write_csv(lines, table, labels=labels)
        for path in (lines, table):
            runtime.store.upload_file(path, runtime.keys.board(path.name))
        if folder is None:
            return [f"{runtime.store.url}/{runtime.keys.board(path.name)}" for path in (lines, table)]
        return [str(path.replace(folder / path.name)) for path in (lines, table)]


def _write_lines(runtime: Runtime, state: CampaignState, *, path: Path) -> list[str]:
    """Write the rows and return the names of all labels, in order of their first appearance."""
    labels: dict[str, None] = {}
    with path.open("w", encoding="utf-8") as file, collect_newest(runtime, state) as newest:
        for name in islice(read_names(runtime), len(state.jobs)):
            row = make_row(runtime, state, name=name, settled=newest.get(name.number))
            labels.update(dict.fromkeys(name.labels))
            # Undecodable bytes of file names come as lone surrogates, which only an escape can write.
            file.write(json.dumps(as_mapping(row), separators=(",", ":")) + "\n")
    return list(labels)


def _write_csv(lines: Path, path: Path, *, labels: list[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*_PLAIN, "outputs", *(_cell(f"label.{label}") for label in labels)])
        for row in _read_lines(lines):
            named: Mapping[str, str] = row["labels"]
            cells = [row[name] for name in _PLAIN]
            writer.writerow(map(_cell, [*cells, " ".join(row["outputs"]), *(named.get(label) for label in labels)]))


def _read_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _cell(value: object) -> object:
    """Return the value as a spreadsheet may have it: text that looks like a formula is quoted as text."""
    if not isinstance(value, str):
        return value
    text = value.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")
    return f"'{text}" if text.startswith(_FORMULA_STARTS) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
