"""`gliderport jobs`: jobs by state, label or id."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gliderport_prefect.board.listing import list_jobs
from gliderport_prefect.board.names import Selection
from gliderport_prefect.board.rows import as_mapping
from gliderport_prefect.board.view import look
from gliderport_prefect.board.wording import say_duration, say_size
from gliderport_prefect.cli.opening import (
    bucket_option,
    campaign_argument,
    json_option,
    open_campaign,
    parse_pairs,
    states_option,
)
from gliderport_prefect.cli.tables import write_json_list, write_table
from gliderport_prefect.protocol.notation import unknown_key
from gliderport_prefect.protocol.outcomes import JobState

if TYPE_CHECKING:
    from gliderport_prefect.board.rows import JobRow

_COLUMNS = ("job", "state", "tries", "outcome", "exit", "wall", "cpu", "memory", "worker", "reason")


@click.command()
@campaign_argument
@click.argument("job_ids", metavar="[JOB]...", nargs=-1)
@states_option("Only jobs in this state, such as FAILED; can be given several times.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Only jobs with this label; repeatable.")
@bucket_option
@json_option
def jobs(
    *,
    campaign: str | None,
    job_ids: tuple[str, ...],
    states: tuple[str, ...],
    labels: tuple[str, ...],
    bucket: str | None,
    as_json: bool,
) -> None:
    """List jobs, by state, label or id.

    CAMPAIGN is the one begun last when it is not given. JOB is an id or a pattern such as 'align-*'.
    """
    selection = make_selection(job_ids, states=states, labels=labels)
    runtime = open_campaign(bucket, campaign)
    rows = list_jobs(runtime, look(runtime), selection=selection)
    if as_json:
        write_json_list({"campaign": runtime.campaign}, "jobs", rows=map(as_mapping, rows))
    else:
        write_table(_COLUMNS, map(_cells, rows))


def make_selection(job_ids: tuple[str, ...], *, states: tuple[str, ...], labels: tuple[str, ...]) -> Selection:
    """Return which jobs the command line means.

    Raises:
        UserError: There is no such state.
    """
    known = [state.value for state in JobState]
    for state in states:
        if state.upper() not in known:
            raise unknown_key(state.upper(), known, key="--state")
    return Selection(
        ids=job_ids,
        states=frozenset(JobState(state.upper()) for state in states),
        labels=parse_pairs(labels, "--label"),
    )


def _cells(row: JobRow) -> list[object]:
    ended = f"signal {row.signal}" if row.signal else row.exit_code
    return [
        row.id,
        row.state,
        row.attempts,
        row.outcome,
        ended,
        None if row.wall_seconds is None else say_duration(row.wall_seconds),
        None if row.cpu_seconds is None else say_duration(row.cpu_seconds),
        None if row.peak_memory_bytes is None else say_size(row.peak_memory_bytes),
        row.worker,
        row.reason,
    ]
