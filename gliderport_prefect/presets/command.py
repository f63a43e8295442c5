"""A command with placeholders and a table: the shortest way to a campaign.

gliderport run --each photos.csv 'convert {input} -resize {width} {output}'
gliderport run --each 0..999 'python simulate.py --seed {n}'
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gliderport_prefect.errors import UserError
from gliderport_prefect.presets.job_template import JobTemplate, compile_job
from gliderport_prefect.presets.placeholders import HIDDEN, NUMBER
from gliderport_prefect.presets.submission import LocatedJob, Place, Scan, Submission
from gliderport_prefect.presets.tables import Table, open_table, parse_range

_ID = "id"
_ROW = f"{HIDDEN}row"
"""Column for the row's number, whether or not the table has a column `n`."""
_DEFAULT_ID = f"job-{{{_ROW}:07}}"


def command_submission(
    command: str, each: str, *, id_template: str | None = None, job: Mapping[str, Any] | None = None
) -> Submission:
    """Return the campaign of one command for each row.

    Args:
        command: A bash script with placeholders.
        each: A table's file, or a range of integers such as `0..999`.
        id_template: Id of a row's job, with placeholders; by default the column `id`, else `job-` and the row's number.
        job: Further keys of the job, with placeholders.

    Raises:
        UserError: The table, a placeholder or a key is wrong.
    """
    table = parse_range(each) or open_table(Path(each))
    written = {**(job or {}), "run": command}
    if id_template is not None:
        written["id"] = id_template
    return Submission(scan_rows(written, table, folder=Path.cwd()), origin=f"{command!r:.200} for each of {table.name}")


def scan_rows(written: Mapping[str, Any], table: Table, *, folder: Path) -> Scan:
    """Return the walk over the jobs that the template makes of the rows.

    Raises:
        UserError: The template is wrong whatever the row.
    """
    columns = (*table.columns, _ROW, *(() if NUMBER in table.columns else (NUMBER,)))
    default_id = "{id}" if _ID in table.columns else _DEFAULT_ID
    template = compile_job({"id": default_id, **written}, columns, folder=folder)
    return lambda: _scan(template, table)


def _scan(template: JobTemplate, table: Table) -> Iterator[LocatedJob | UserError]:
    for row in table.rows():
        if isinstance(row, UserError):
            yield row
            continue
        number, line, values = row
        place = Place(table.file or table.name, line)
        number_text = str(number)
        try:
            yield LocatedJob(template.make((*values, number_text, number_text)), place)
        except UserError as error:
            yield place.locate(error)
