"""`gliderport reap`: end what was left behind, of whatever campaign."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from gliderport_prefect.board.wording import make_printable, say_place
from gliderport_prefect.cli.credentials import credentials_option
from gliderport_prefect.cli.exits import Exit
from gliderport_prefect.cli.opening import json_option
from gliderport_prefect.cli.tables import write_json, write_table
from gliderport_prefect.lifecycle.opening import STARTED
from gliderport_prefect.lifecycle.reap import SILENT_SECONDS, Fate, Reaped
from gliderport_prefect.lifecycle.reap import reap as end_forgotten
from gliderport_prefect.protocol.quantities import parse_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

_COLUMNS = ("site", "campaign", "worker", "reference", "why")


def _parse_time(_: click.Context, __: click.Parameter, value: str, /) -> float:
    try:
        return parse_seconds(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@click.option("--site", type=click.Choice(list(STARTED)), help="Look there only.  [default: every site that is set up]")
@click.option("--bucket", metavar="URL", help="Only workers of campaigns in this bucket.  [default: all buckets]")
@click.option("--dry-run", is_flag=True, help="Say what would be ended, and end nothing.")
@click.option(
    "--silent-for",
    "silent_seconds",
    callback=_parse_time,
    default=f"{SILENT_SECONDS:g}s",
    metavar="TIME",
    help="A campaign that gives no sign of life for this long is silent; never less than two heartbeats of its "
    "workers.  [default: 2m]",
)
@credentials_option
@json_option
def reap(*, site: str | None, bucket: str | None, dry_run: bool, silent_seconds: float, as_json: bool) -> Exit:
    """End workers that nobody needs any more, of all campaigns.

    Those are ended whose campaign is over or torn down, whose bucket holds no such campaign, or whose campaign has
    neither a launcher that answers nor a worker that gives a sign of life. Their jobs wait for `gliderport resume`.
    What is left of such campaigns on this machine (notes, logs, scratch) is removed. Workers of other users, and of
    campaigns that may live, are left alone.

    The exit code is 0 when all is as it should be, 5 when a site could not be asked or did not end a worker, 6 when the
    bucket of a running worker could not be read.
    """
    reaped = end_forgotten(site, bucket=bucket, silent_seconds=silent_seconds, dry_run=dry_run)
    if as_json:
        write_json({"dry_run": dry_run, **dataclasses.asdict(reaped)})
    else:
        _write(reaped, dry_run=dry_run)
    if reaped.site_troubles:
        return Exit.STUCK
    return Exit.BUCKET if reaped.bucket_troubles else Exit.SUCCEEDED


def _write(reaped: Reaped, *, dry_run: bool) -> None:
    _write_fates("would end" if dry_run else "ended", reaped.ended)
    _write_fates("left", reaped.left)
    for folder in reaped.removed:
        click.echo(f"{'would remove' if dry_run else 'removed'} {make_printable(folder)}")
    for folder, why in reaped.kept.items():
        click.echo(make_printable(f"left {folder}: {why}"))
    for trouble in (*reaped.site_troubles, *reaped.bucket_troubles):
        click.echo(make_printable(f"error: {trouble}"), err=True)
    if not reaped.ended and not reaped.left:
        click.echo("no worker was left behind" if not reaped.site_troubles else "no worker was found")


def _write_fates(verb: str, fates: Sequence[Fate]) -> None:
    if fates:
        click.echo(f"{verb} {len(fates)} worker{'s' if len(fates) > 1 else ''}:")
        write_table((*_COLUMNS, "bucket"), ([*_cells(each), say_place(each.bucket)] for each in fates))


def _cells(fate: Fate) -> list[str]:
    return [getattr(fate, name) for name in _COLUMNS]
