"""`gliderport logs`: what a job printed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, BinaryIO

import click

from gliderport_prefect.board import logs as job_logs
from gliderport_prefect.board.names import find_job
from gliderport_prefect.board.view import look
from gliderport_prefect.cli.opening import bucket_option, open_campaign

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gliderport_prefect.board.logs import Chunk, StreamName
    from gliderport_prefect.board.names import JobName
    from gliderport_prefect.campaign.runtime import Runtime
    from gliderport_prefect.scheduling.state import CampaignState


@click.command()
@click.argument("names", metavar="[CAMPAIGN] JOB", nargs=-1, required=True)
@click.option("-f", "--follow", is_flag=True, help="Show what the job prints as it comes, until its attempt has ended.")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="Which try; the newest when not given.")
@click.option("--stdout", "only", flag_value="stdout", help="Standard output only.")
@click.option("--stderr", "only", flag_value="stderr", help="Standard error only; it comes on standard output.")
@bucket_option
def logs(
    *, names: tuple[str, ...], follow: bool, attempt: int | None, only: StreamName | None, bucket: str | None
) -> None:
    """Show what a job printed; -f follows it.

    It comes byte for byte: what the job wrote to standard output on standard output, its errors on standard error.
    CAMPAIGN is the one begun last when it is not given.
    """
    campaign, job_id = _split(names)
    if follow and attempt is not None:
        raise click.UsageError("--follow shows the attempt that runs; --attempt shows one that ended")
    runtime = open_campaign(bucket, campaign)
    job, state = find_job(runtime, job_id), look(runtime)
    streams = (only,) if only else job_logs.STREAMS
    if follow:
        chunks = job_logs.follow(runtime, state, job=job, streams=streams)
    else:
        chunks = _read(runtime, state, job=job, attempt=attempt, streams=streams)
    _pass_on(chunks, to_stdout=only)


def _split(names: tuple[str, ...]) -> tuple[str | None, str]:
    match names:
        case [job]:
            return None, job
        case [campaign, job]:
            return campaign, job
        case _:
            raise click.UsageError(f"expected [CAMPAIGN] JOB, got {len(names)} names")


def _read(
    runtime: Runtime, state: CampaignState, *, job: JobName, attempt: int | None, streams: Iterable[StreamName]
) -> Iterator[Chunk]:
    found = job_logs.find_attempt(runtime, state, job=job, number=attempt)
    if found is None:
        click.echo(f"job {job.id} has not run yet; it is {state.jobs.state(job.number).value}", err=True)
        return
    yield from job_logs.read_log(runtime, job, attempt=found, streams=streams)
    if found.report is None:
        click.echo(f"job {job.id} is running; -f follows it", err=True)


def _pass_on(chunks: Iterable[Chunk], *, to_stdout: StreamName | None) -> None:
    """Copy the bytes as they are; the text layers above these streams would change some of them."""
    for stream, data in chunks:
        target: BinaryIO = sys.stdout.buffer if stream == (to_stdout or "stdout") else sys.stderr.buffer
        target.write(data)
        target.flush()
