"""`gliderport collect`: the results tables, at any time."""

from __future__ import annotations

from pathlib import Path

import click

from gliderport_prefect.board.wording import say_counts, say_place
from gliderport_prefect.cli.opening import bucket_option, campaign_argument, json_option, open_campaign
from gliderport_prefect.cli.tables import write_json
from gliderport_prefect.lifecycle import collect as stage
from gliderport_prefect.lifecycle.plan import plan_of
from gliderport_prefect.protocol.outcomes import JobState


@click.command()
@campaign_argument
@click.option("--results", type=click.Path(path_type=Path), metavar="FOLDER", help="Put the results tables there too.")
@bucket_option
@json_option
def collect(*, campaign: str | None, results: Path | None, bucket: str | None, as_json: bool) -> None:
    """Write the results tables.

    CAMPAIGN is the one begun last when it is not given. The tables, results.jsonl and results.csv, have one row per
    job as it stands now.
    """
    collected = stage.collect(plan_of(open_campaign(bucket, campaign)), results)
    if as_json:
        write_json({"campaign": collected.campaign, "jobs": collected.counts, "results": collected.results})
        return
    counts = {JobState(state): count for state, count in collected.counts.items()}
    click.echo(f"campaign {collected.campaign}: {say_counts(counts)}")
    for place in collected.results:
        click.echo(f"results: {say_place(place)}")
