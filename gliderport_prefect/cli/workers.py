"""`gliderport workers`: who works for a campaign, where, and what it costs."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from gliderport_prefect.board.money import say_dollars, say_price
from gliderport_prefect.board.view import look
from gliderport_prefect.board.wording import say_duration, say_size
from gliderport_prefect.board.workers import list_workers
from gliderport_prefect.cli.opening import bucket_option, campaign_argument, json_option, open_campaign
from gliderport_prefect.cli.tables import write_json, write_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gliderport_prefect.board.workers import WorkerRow

_REASON_SHOWN = 160
_ALWAYS = ("worker", "state", "for", "running", "queued")
"""Columns that are shown whatever they say; the others are left out when they say nothing of any worker."""


@click.command()
@campaign_argument
@click.option("--all", "with_gone", is_flag=True, help="Also those that are gone, and why.")
@bucket_option
@json_option
def workers(*, campaign: str | None, with_gone: bool, bucket: str | None, as_json: bool) -> None:
    """List the workers of a campaign.

    It tells what they do, where they run and what they cost, also of those that the site has been asked for and that
    have not said hello yet. CAMPAIGN is the one begun last when it is not given.
    """
    runtime = open_campaign(bucket, campaign)
    rows = list_workers(look(runtime), now=runtime.clock.wall(), with_gone=with_gone)
    if as_json:
        write_json({"campaign": runtime.campaign, "workers": [dataclasses.asdict(row) for row in rows]})
    elif rows:
        _write(list(map(_cells, rows)))
    else:
        click.echo(f"campaign {runtime.campaign} has no live worker; --all shows those that are gone", err=True)


def _write(rows: Sequence[dict[str, object]]) -> None:
    told = [name for name in rows[0] if name in _ALWAYS or any(row[name] not in {None, ""} for row in rows)]
    write_table(told, ([row[name] for name in told] for row in rows))


def _cells(row: WorkerRow) -> dict[str, object]:
    is_paid = row.price_per_hour != 0 and row.hours is not None
    return {
        "worker": row.worker,
        "state": row.state,
        "for": None if row.state_seconds is None else say_duration(row.state_seconds),
        "running": row.running,
        "queued": row.queued,
        "cpus": None if row.cpus is None else f"{row.cpus:g}",
        "memory": None if row.memory_bytes is None else say_size(row.memory_bytes),
        "gpus": row.gpus,
        "host": row.host,
        "pid": row.pid,
        "started": row.started_at,
        "cluster": None if row.cluster == row.host else row.cluster,
        "infra": row.infra,
        "machine": row.instance_type,
        "market": None if row.market is None else row.market.lower().replace("_", " "),
        "recoveries": row.recoveries or None,
        "price": say_price(row.price_per_hour) if is_paid else None,
        "cost": say_dollars(row.cost) if is_paid else None,
        "reason": _first_line(row.reason),
    }


def _first_line(reason: str) -> str:
    """Return what fits into a table; the JSON document has all of it."""
    line = reason.partition("\n")[0]
    return line if len(line) <= _REASON_SHOWN else f"{line[:_REASON_SHOWN]} …"
