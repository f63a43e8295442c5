"""One row per job: what results tables and listings tell of it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from gliderport_prefect.protocol.ids import worker_of

if TYPE_CHECKING:
    from gliderport_prefect.board.attempts import NewestAttempts
    from gliderport_prefect.board.names import JobName
    from gliderport_prefect.campaign.runtime import Runtime
    from gliderport_prefect.protocol.outcomes import JobState
    from gliderport_prefect.scheduling.state import CampaignState


@dataclass(frozen=True)
class JobRow:
    """A job and how its newest settled attempt ended; what an attempt would tell is empty before there is one."""

    id: str
    """Its id."""
    state: str
    """Where it stands."""
    outcome: str | None = None
    """How the attempt ended."""
    attempts: int = 0
    """How many attempts have been settled."""
    exit_code: int | None = None
    """Exit code of the command; none when it did not run or a signal ended it."""
    signal: int | None = None
    """Signal that ended it."""
    reason: str = ""
    """What happened, when it did not succeed."""
    started_at: str | None = None
    """When its inputs began to be fetched, by the worker's clock."""
    finished_at: str | None = None
    """When it was over, by the worker's clock."""
    wall_seconds: float | None = None
    """From the start of the command to its end."""
    cpu_seconds: float | None = None
    """User and system time of all its processes."""
    peak_memory_bytes: int | None = None
    """Highest memory of its processes."""
    stage_in_seconds: float | None = None
    """Fetching of inputs."""
    stage_out_seconds: float | None = None
    """Staging and publication of outputs."""
    cost: float | None = None
    """US dollars for its share of the workers, all its attempts together; none when a price is not known."""
    cost_wasted: float | None = None
    """Those of them for attempts whose work was thrown away: lost, preempted, or tried again."""
    bytes_in: int | None = None
    """Inputs fetched for it."""
    bytes_out: int | None = None
    """Outputs published."""
    checkpoint_bytes_in: int | None = None
    """Files of a checkpoint restored before its command started."""
    checkpoint_bytes_out: int | None = None
    """Files of checkpoints saved."""
    worker: str | None = None
    """Who ran it."""
    session: str | None = None
    """In which session."""
    attempt: str | None = None
    """Id of the attempt: try and epoch."""
    outputs: tuple[str, ...] = ()
    """Where its outputs are."""
    stdout_bytes: int | None = None
    """How much it printed."""
    stderr_bytes: int | None = None
    """How much it printed as errors."""
    logs: str | None = None
    """Where what it printed lies in parts; none when the ledger holds it. `gliderport logs` shows both."""
    labels: dict[str, str] = field(default_factory=dict[str, str])
    """What people filter by."""
    result: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the job wrote into the file that `$GLIDERPORT_RESULT` names."""


COLUMNS: tuple[str, ...] = tuple(each.name for each in fields(JobRow))
"""Keys of a row, in order."""


def make_row(runtime: Runtime, state: CampaignState, *, name: JobName, newest: NewestAttempts) -> JobRow:
    """Return the row of a job."""
    job_state: JobState = state.jobs.state(name.number)
    settled, cost = newest.get(name.number), newest.cost(name.number)
    if settled is None:
        return JobRow(name.id, job_state.value, labels=dict(name.labels))
    report, usage = settled.report, settled.report.usage
    in_parts = report.stdout.parts or report.stderr.parts
    return JobRow(
        id=name.id,
        state=job_state.value,
        outcome=report.outcome.value,
        attempts=state.jobs.settled(name.number),
        exit_code=report.exit_code,
        signal=report.signal,
        reason=report.reason,
        started_at=report.started_at,
        finished_at=report.finished_at,
        wall_seconds=usage.wall_seconds,
        cpu_seconds=usage.cpu_seconds,
        peak_memory_bytes=usage.peak_memory_bytes,
        stage_in_seconds=usage.stage_in_seconds,
        stage_out_seconds=usage.stage_out_seconds,
        cost=cost.total,
        cost_wasted=cost.wasted,
        bytes_in=usage.bytes_in,
        bytes_out=usage.bytes_out,
        checkpoint_bytes_in=usage.checkpoint_bytes_in,
        checkpoint_bytes_out=usage.checkpoint_bytes_out,
        worker=worker_of(settled.session),
        session=settled.session,
        attempt=report.attempt,
        outputs=tuple(each.destination for each in report.outputs),
        stdout_bytes=report.stdout.size_bytes,
        stderr_bytes=report.stderr.size_bytes,
        logs=f"{runtime.store.url}/{runtime.keys.logs(report.id, report.attempt)}" if in_parts else None,
        labels=dict(name.labels),
        result=dict(report.result),
    )


def as_mapping(row: JobRow) -> dict[str, Any]:
    """Return the row as JSON has it."""
    return {name: getattr(row, name) for name in COLUMNS}
