"""`gliderport workers`: who works for a campaign."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from gliderport_prefect.board.summary import list_workers
from gliderport_prefect.board.view import look
from gliderport_prefect.board.wording import say_size
from gliderport_prefect.cli.opening import bucket_option, campaign_argument, json_option, open_campaign
from gliderport_prefect.cli.tables import write_json, write_table

if TYPE_CHECKING:
    from gliderport_prefect.board.summary import WorkerRow

_COLUMNS = ("worker", "state", "running", "queued", "cpus", "memory", "gpus", "host", "pid", "started", "reason")


@click.command()
@campaign_argument
@click.option("--all", "with_gone", is_flag=True, help="Also those that are gone, and why.")
@bucket_option
@json_option
def workers(*, campaign: str | None, with_gone: bool, bucket: str | None, as_json: bool) -> None:
    """List the workers of a campaign.

    Those are told that have said hello and not left. CAMPAIGN is the one begun last when it is not given.
    """
    runtime = open_campaign(bucket, campaign)
    rows = list_workers(look(runtime), with_gone=with_gone)
    if as_json:
        write_json({"campaign": runtime.campaign, "workers": [dataclasses.asdict(row) for row in rows]})
    elif rows:
        write_table(_COLUMNS, map(_cells, rows))
    else:
        click.echo(f"campaign {runtime.campaign} has no live worker; --all shows those that are gone", err=True)


def _cells(row: WorkerRow) -> list[object]:
    return [
        row.worker,
        row.state,
        row.running,
        row.queued,
        None if row.cpus is None else f"{row.cpus:g}",
        None if row.memory_bytes is None else say_size(row.memory_bytes),
        row.gpus,
        row.host,
        row.pid,
        row.started_at,
        row.reason,
    ]
