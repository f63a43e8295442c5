"""`gliderport teardown`: nothing is left running."""

from __future__ import annotations

import click

from gliderport_prefect.cli.launchers import refuse_second_launcher
from gliderport_prefect.cli.opening import bucket_option, campaign_argument, json_option, open_campaign
from gliderport_prefect.cli.tables import write_json
from gliderport_prefect.lifecycle import teardown as stage
from gliderport_prefect.lifecycle.plan import plan_of


@click.command()
@campaign_argument
@click.option("--force", is_flag=True, help="Even while a process of this machine drives the campaign.")
@bucket_option
@json_option
def teardown(*, campaign: str | None, force: bool, bucket: str | None, as_json: bool) -> None:
    """Stop all workers of a campaign and remove temporary objects.

    It proves that no worker is left. Objects are only removed when the campaign is over. CAMPAIGN is the one begun
    last when it is not given. Jobs, results and logs stay.
    """
    runtime = open_campaign(bucket, campaign)
    refuse_second_launcher(runtime, take_over=force)
    ended = stage.teardown(plan_of(runtime))
    if as_json:
        write_json({"campaign": runtime.campaign, "workers_stopped": ended})
    else:
        click.echo(f"campaign {runtime.campaign}: stopped {ended} workers; none is left")
