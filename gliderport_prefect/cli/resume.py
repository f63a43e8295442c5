"""`gliderport resume`: go on with what lies in the bucket."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from gliderport_prefect.cli.driving import Drive
from gliderport_prefect.cli.launchers import refuse_second_launcher
from gliderport_prefect.cli.opening import bucket_option, campaign_argument, json_option, open_campaign, plan_to_drive


@click.command()
@campaign_argument
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Most workers at a time, from now on.")
@click.option("--results", type=click.Path(path_type=Path), metavar="FOLDER", help="Put the results tables there too.")
@click.option("--take-over", is_flag=True, help="Drive the campaign from here even if another process does.")
@bucket_option
@json_option
def resume(
    *,
    campaign: str | None,
    workers: int | None,
    results: Path | None,
    take_over: bool,
    bucket: str | None,
    as_json: bool,
) -> int:
    """Go on with a campaign that nobody drives, or take it over.

    CAMPAIGN is the one begun last when it is not given. Its jobs are in the bucket; nothing that succeeded is repeated.
    """
    runtime = open_campaign(bucket, campaign)
    refuse_second_launcher(runtime, take_over=take_over)
    plan = plan_to_drive(runtime)
    if workers is not None:
        plan = replace(plan, launcher=replace(plan.launcher, max_workers=workers))
    return Drive(as_json, results).resume(plan)
