"""`gliderport status`: a campaign in one glance, or as it moves."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING

import click

from gliderport_prefect.board.listing import list_failures
from gliderport_prefect.board.money import cost_document, say_budget, say_cost
from gliderport_prefect.board.progress import Standing
from gliderport_prefect.board.summary import Summary, summarize
from gliderport_prefect.board.view import look, look_again
from gliderport_prefect.board.wording import make_printable, say_counts, say_workers
from gliderport_prefect.cli.failures import write_failures
from gliderport_prefect.cli.opening import bucket_option, campaign_argument, json_option, open_campaign
from gliderport_prefect.cli.showing import open_progress
from gliderport_prefect.cli.tables import write_json
from gliderport_prefect.lifecycle.claims import is_alive
from gliderport_prefect.protocol.outcomes import JobState

if TYPE_CHECKING:
    from gliderport_prefect.board.listing import Failure
    from gliderport_prefect.campaign.runtime import Runtime
    from gliderport_prefect.scheduling.state import CampaignState

_POLL_SECONDS = 1.0


@click.command()
@campaign_argument
@click.option("-w", "--watch", is_flag=True, help="Go on showing it until the campaign is over.")
@click.option(
    "--failures", type=click.IntRange(min=0), default=5, metavar="N", help="Failed jobs to show.  [default: 5]"
)
@bucket_option
@json_option
def status(*, campaign: str | None, watch: bool, failures: int, bucket: str | None, as_json: bool) -> None:
    """Show where a campaign stands.

    It tells of jobs, workers, who drives it, and what failed. CAMPAIGN is the one begun last when it is not given.
    """
    runtime = open_campaign(bucket, campaign)
    state = look(runtime)
    if watch:
        _watch(runtime, state)
    summary = summarize(runtime, state)
    if as_json:
        write_json(_document(summary, list(list_failures(runtime, state, most=failures))))
    else:
        _write(summary)
        write_failures(runtime, state, most=failures)


def _watch(runtime: Runtime, state: CampaignState) -> None:
    """Show the campaign on standard error until every job has ended."""
    with open_progress(sys.stderr, runtime.campaign) as view:
        while True:
            summary = summarize(runtime, state)
            view.show(Standing(state.jobs.counts(), summary.workers, cost=summary.cost))
            if not state.jobs.unfinished:
                return
            runtime.clock.sleep(_POLL_SECONDS)
            look_again(runtime, state)


def _document(summary: Summary, failed: list[Failure]) -> dict[str, object]:
    return {
        **dataclasses.asdict(summary),
        "cost": cost_document(summary.cost),
        "launcher_alive": not summary.finished and is_alive(summary.launcher),
        "failures": [dataclasses.asdict(each) for each in failed],
    }


def _write(summary: Summary) -> None:
    counts = {JobState(state): count for state, count in summary.jobs.items()}
    lines = [
        ("campaign", summary.campaign),
        ("begun", summary.created_at),
        ("jobs from", summary.origin or "unknown"),
        ("jobs", f"{summary.total:,}: {say_counts(counts)}"),
        ("workers", f"{say_workers(summary.workers)} (site: {summary.site})"),
        *_say_money(summary),
        ("launcher", _say_launcher(summary)),
    ]
    if summary.note is not None and summary.note.waiting_for and not summary.finished:
        lines.append(("waiting", summary.note.waiting_for))
    if summary.requests_waiting:
        lines.append(("requests", f"{summary.requests_waiting} that no launcher has acted on"))
    for name, text in lines:
        click.echo(f"{name + ':':11}{make_printable(text)}")


def _say_money(summary: Summary) -> list[tuple[str, str]]:
    said = [] if summary.cost.is_free else [("cost", say_cost(summary.cost))]
    return said if summary.budget is None else [*said, ("budget", say_budget(summary.budget, summary.cost))]


def _say_launcher(summary: Summary) -> str:
    if summary.finished:
        return "none; the campaign is over"
    claim = summary.launcher
    if claim is None:
        return f"none yet; `gliderport resume {summary.campaign}` runs it"
    said = f"process {claim.pid} on {claim.host}"
    alive = is_alive(claim)
    if alive is False:
        return f"none; {said} is gone; `gliderport resume {summary.campaign}` goes on"
    noted = f", last heard {summary.note.noted_at}" if summary.note else ""
    return f"{said}{' (alive)' if alive else ''}{noted}"
