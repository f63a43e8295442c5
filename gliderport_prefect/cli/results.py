"""`gliderport results`: what the jobs told of themselves, in one table."""

from __future__ import annotations

import click

from gliderport_prefect.board.listing import list_jobs
from gliderport_prefect.board.ranking import rank
from gliderport_prefect.board.view import look
from gliderport_prefect.cli.opening import bucket_option, campaign_argument, json_option, open_campaign
from gliderport_prefect.cli.tables import write_json_list, write_table


@click.command()
@campaign_argument
@click.option("--sort", metavar="COLUMN", help="Sort by this column, highest first.")
@click.option("--ascending", is_flag=True, help="Sort lowest first.")
@click.option("--column", "columns", multiple=True, metavar="COLUMN", help="Show this column only; repeatable.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Show the first N rows only.")
@bucket_option
@json_option
def results(  # noqa: PLR0913 - the options of the command line
    *,
    campaign: str | None,
    sort: str | None,
    ascending: bool,
    columns: tuple[str, ...],
    limit: int | None,
    bucket: str | None,
    as_json: bool,
) -> None:
    """Show what the jobs told of themselves, in one table.

    A job writes a JSON object into the file that $GLIDERPORT_RESULT names; its keys are the columns result.KEY here and
    in results.csv. COLUMN is one of these, with or without `result.`, a label.NAME, or any column of results.csv.
    """
    runtime = open_campaign(bucket, campaign)
    table = rank(list_jobs(runtime, look(runtime)), sort=sort, ascending=ascending, columns=columns)
    rows = table.rows[:limit]
    if as_json:
        documents = (dict(zip(table.columns, row, strict=True)) for row in rows)
        write_json_list({"campaign": runtime.campaign}, "results", rows=documents)
    else:
        write_table([name.removeprefix("result.") for name in table.columns], rows)
