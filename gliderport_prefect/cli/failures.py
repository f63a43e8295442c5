"""Failed jobs with their last words, as a person reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gliderport_prefect.board.listing import FAILED, list_failures
from gliderport_prefect.board.wording import make_printable

if TYPE_CHECKING:
    from gliderport_prefect.board.listing import Failure
    from gliderport_prefect.campaign.runtime import Runtime
    from gliderport_prefect.scheduling.state import CampaignState


def write_failures(runtime: Runtime, state: CampaignState, *, most: int) -> None:
    """Write the first failed jobs to standard output, and how to see the others."""
    shown = list(list_failures(runtime, state, most=most))
    for each in shown:
        _write(each)
    counts = state.jobs.counts()
    left = sum(counts[each] for each in FAILED) - len(shown)
    if left and shown:
        options = " ".join(f"--state {each.value}" for each in sorted(FAILED, reverse=True) if counts[each])
        click.echo(f"\n{left:,} more: gliderport jobs {runtime.campaign} {options}")


def _write(failure: Failure) -> None:
    tries = f"{failure.attempts} attempt" + ("" if failure.attempts == 1 else "s")
    head = f"{failure.id}: {failure.outcome} after {tries} on {failure.worker}"
    click.echo("\n" + make_printable(f"{head}: {failure.reason}" if failure.reason else head))
    for line in failure.last_lines.splitlines():
        click.echo(f"    {make_printable(line)}")
