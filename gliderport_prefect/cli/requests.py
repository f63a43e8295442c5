"""`gliderport cancel` and `gliderport retry`: ask whoever drives a campaign, or drive it when nobody does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gliderport_prefect.board.listing import FAILED
from gliderport_prefect.board.names import Selection, select
from gliderport_prefect.board.summary import newest_claim
from gliderport_prefect.board.view import look
from gliderport_prefect.campaign.replay import replay
from gliderport_prefect.campaign.requests import append_request, is_answered
from gliderport_prefect.campaign.specs import SpecReader
from gliderport_prefect.cli.driving import Drive
from gliderport_prefect.cli.exits import Exit
from gliderport_prefect.cli.jobs import make_selection
from gliderport_prefect.cli.opening import bucket_option, open_campaign, plan_to_drive, say_command, states_option
from gliderport_prefect.errors import UserError
from gliderport_prefect.lifecycle.claims import is_alive
from gliderport_prefect.lifecycle.launcher import take_over
from gliderport_prefect.protocol.outcomes import TERMINAL_STATES, JobState
from gliderport_prefect.protocol.records import RequestKind
from gliderport_prefect.scheduling.state import spans_of

if TYPE_CHECKING:
    from gliderport_prefect.board.names import JobName
    from gliderport_prefect.campaign.runtime import Runtime
    from gliderport_prefect.scheduling.state import CampaignState

_PATIENCE_SECONDS = 15.0
"""A launcher looks for requests every second, or every five when it is idle."""
_POLL_SECONDS = 0.25
_ENDED = frozenset(TERMINAL_STATES)


@click.command()
@click.argument("campaign")
@click.argument("job_ids", metavar="[JOB]...", nargs=-1)
@states_option("Only jobs in this state, such as QUEUED; can be given several times.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Only jobs with this label; repeatable.")
@click.option("--no-drive", is_flag=True, help="Leave the request to whoever drives the campaign next.")
@bucket_option
def cancel(
    *,
    campaign: str,
    job_ids: tuple[str, ...],
    states: tuple[str, ...],
    labels: tuple[str, ...],
    no_drive: bool,
    bucket: str | None,
) -> int:
    """End jobs, or the whole campaign.

    JOB is an id or a pattern such as 'align-*'; all jobs that have not ended are meant when none is named. What a
    running job has printed is kept.
    """
    runtime = open_campaign(bucket, campaign)
    state, selection = look(runtime), make_selection(job_ids, states=states, labels=labels)
    meant = [name for name in select(runtime, state, selection=selection) if not state.jobs.has_ended(name.number)]
    if not meant:
        click.echo("nothing to cancel: all these jobs have ended")
        return Exit.SUCCEEDED
    number = _ask(runtime, RequestKind.CANCEL, meant=meant, total=len(state.jobs))
    if _await_answer(runtime, number, since=state.ledger_number):
        click.echo(f"cancelled {len(meant):,} jobs; those that run are being stopped")
        return Exit.SUCCEEDED
    if no_drive or _is_driven(runtime, since=state.ledger_number):
        return _leave(runtime)
    return _cancel_here(runtime, len(meant))


@click.command()
@click.argument("campaign", required=False)
@click.argument("job_ids", metavar="[JOB]...", nargs=-1)
@states_option("Jobs in this state.  [default: FAILED and QUARANTINED]")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Only jobs with this label; repeatable.")
@click.option("--no-drive", is_flag=True, help="Leave the request to whoever drives the campaign next.")
@bucket_option
def retry(
    *,
    campaign: str | None,
    job_ids: tuple[str, ...],
    states: tuple[str, ...],
    labels: tuple[str, ...],
    no_drive: bool,
    bucket: str | None,
) -> int:
    """Run failed jobs again, and nothing else.

    They are run from the stored submission, with their full number of retries. CAMPAIGN is the one begun last when it
    is not given. JOB is an id or a pattern. Cancelled jobs are meant when they
    are named, or with --state CANCELLED. When nobody drives the campaign, it is driven from here to its end.
    """
    runtime = open_campaign(bucket, campaign)
    state, selection = look(runtime), make_selection(job_ids, states=states, labels=labels)
    meant = _retriable(runtime, state, selection=selection)
    if not meant:
        click.echo("nothing to retry: none of these jobs has failed")
        return Exit.SUCCEEDED
    number = _ask(runtime, RequestKind.RETRY, meant=meant, total=len(state.jobs))
    click.echo(f"{len(meant):,} jobs are to run again", err=True)
    if _await_answer(runtime, number, since=state.ledger_number):
        watch = say_command("status -w", runtime.campaign, bucket=runtime.store.url)
        click.echo(f"queued {len(meant):,} jobs again; `{watch}` watches them")
        return Exit.SUCCEEDED
    if no_drive or _is_driven(runtime, since=state.ledger_number):
        return _leave(runtime)
    return Drive().resume(plan_to_drive(runtime))


def _retriable(runtime: Runtime, state: CampaignState, *, selection: Selection) -> list[JobName]:
    """Return the jobs to run again.

    Raises:
        UserError: A job that is named, or the state that is asked for, is not one that failed.
    """
    again = _ENDED - {JobState.SUCCEEDED}
    wrong = selection.states - again
    if wrong:
        raise UserError(f"only jobs that ended without success are run again, not those in state {min(wrong).value}")
    if not selection.ids and not selection.states:
        again = FAILED
    names = list(select(runtime, state, selection=selection))
    exact = {each for each in selection.ids if not set(each) & set("*?[")}
    for name in names:
        if name.id in exact and state.jobs.state(name.number) not in again:
            raise UserError(f"job {name.id!r} is {state.jobs.state(name.number).value}: only failed jobs are run again")
    return [name for name in names if state.jobs.state(name.number) in again]


def _ask(runtime: Runtime, kind: RequestKind, *, meant: list[JobName], total: int) -> int:
    """Append the request; one about all jobs names none, so that jobs submitted meanwhile are meant too."""
    everything = kind is RequestKind.CANCEL and len(meant) == total
    return append_request(runtime, kind, jobs=[] if everything else spans_of(name.number for name in meant))


def _await_answer(runtime: Runtime, number: int, *, since: int) -> bool:
    """Wait until a launcher has acted on the request, as long as there may be one that will."""
    if is_alive(newest_claim(runtime)) is False or replay(runtime).finished:
        return False
    deadline = runtime.clock.monotonic() + _PATIENCE_SECONDS
    while not (answered := is_answered(runtime, number, since=since)) and runtime.clock.monotonic() < deadline:
        runtime.clock.sleep(_POLL_SECONDS)
    return answered


def _is_driven(runtime: Runtime, *, since: int) -> bool:
    """Say whether a launcher lives that has not answered: one of this machine, or one that wrote in the meantime."""
    alive = is_alive(newest_claim(runtime))
    state = replay(runtime)
    return not state.finished and (alive is True or (alive is None and state.ledger_number > since))


def _leave(runtime: Runtime) -> Exit:
    go_on = say_command("resume", runtime.campaign, bucket=runtime.store.url)
    click.echo(f"nobody has answered yet; the request waits for whoever drives the campaign next: `{go_on}`")
    return Exit.SUCCEEDED


def _cancel_here(runtime: Runtime, count: int) -> Exit:
    """Act on the request as a launcher; go on as one only if that starts no job."""
    launcher = take_over(runtime, SpecReader(runtime.store, runtime.keys).spec_of)
    launcher.follow_requests()
    state = launcher.state
    if set(_unfinished(state)) <= state.cancel_wanted:
        code = Drive().resume(plan_to_drive(runtime))
        return Exit.SUCCEEDED if code in {Exit.CANCELLED, Exit.JOBS_FAILED} else code
    go_on = say_command("resume", runtime.campaign, bucket=runtime.store.url)
    click.echo(f"cancelled {count:,} jobs; {state.jobs.unfinished:,} others are left and nobody drives them: `{go_on}`")
    return Exit.SUCCEEDED


def _unfinished(state: CampaignState) -> list[int]:
    return list(state.jobs.in_state(*(each for each in JobState if each not in _ENDED)))
