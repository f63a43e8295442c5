"""`gliderport resume`: go on with what lies in the bucket."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from gliderport_prefect.board.money import say_dollars
from gliderport_prefect.campaign.requests import append_request
from gliderport_prefect.cli.driving import Drive
from gliderport_prefect.cli.exits import Exit
from gliderport_prefect.cli.launchers import is_driven_here, refuse_second_launcher
from gliderport_prefect.cli.opening import (
    DOLLARS,
    bucket_option,
    campaign_argument,
    json_option,
    open_campaign,
    plan_to_drive,
)
from gliderport_prefect.lifecycle.budget import check_budget
from gliderport_prefect.lifecycle.opening import open_site
from gliderport_prefect.protocol.records import RequestKind


@click.command()
@campaign_argument
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Most workers at a time, from now on.")
@click.option("--budget", type=DOLLARS, metavar="DOLLARS", help="What it may cost in all, from now on.")
@click.option("--results", type=click.Path(path_type=Path), metavar="FOLDER", help="Put the results tables there too.")
@click.option("--take-over", is_flag=True, help="Drive the campaign from here even if another process does.")
@bucket_option
@json_option
def resume(  # noqa: PLR0913 - the options of the command line
    *,
    campaign: str | None,
    workers: int | None,
    budget: float | None,
    results: Path | None,
    take_over: bool,
    bucket: str | None,
    as_json: bool,
) -> int:
    """Go on with a campaign that nobody drives, or take it over.

    CAMPAIGN is the one begun last when it is not given. Its jobs are in the bucket; nothing that succeeded is repeated.
    A --budget reaches a launcher that runs, too.
    """
    runtime = open_campaign(bucket, campaign)
    plan = plan_to_drive(runtime)
    if budget is not None:
        check_budget(budget, open_site(plan).quote)
        append_request(runtime, RequestKind.BUDGET, budget=budget)
        click.echo(f"campaign {plan.campaign} may cost {say_dollars(budget)} from now on", err=True)
        if not take_over and is_driven_here(runtime):
            return Exit.SUCCEEDED
    refuse_second_launcher(runtime, take_over=take_over)
    if workers is not None:
        plan = replace(plan, launcher=replace(plan.launcher, max_workers=workers))
    return Drive(as_json, results).resume(plan)
