"""SkyPilot's managed jobs, and what they say of the workers that they are."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gliderport_prefect.protocol.ids import WorkerName
from gliderport_prefect.sites.seam import Machine, Market, SiteWorker, WorkerState
from gliderport_prefect.sites.sky_prices import SHARED_INFRA

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FIELDS = (
    "job_id",
    "task_id",
    "job_name",
    "status",
    "details",
    "failure_reason",
    "recovery_count",
    "submitted_at",
    "start_at",
    "end_at",
    "last_recovered_at",
    "job_duration",
    "cloud",
    "region",
    "zone",
    "cluster_resources_full",
    "cluster_name_on_cloud",
)
"""What is asked of SkyPilot's queue about each job."""
SUCCEEDED = "SUCCEEDED"
CANCELLED = "CANCELLED"
FAILED_NO_RESOURCE = "FAILED_NO_RESOURCE"
_TERMINAL = {
    SUCCEEDED,
    CANCELLED,
    "FAILED",
    "FAILED_SETUP",
    "FAILED_PRECHECKS",
    FAILED_NO_RESOURCE,
    "FAILED_CONTROLLER",
}
_SPEAKING = {"FAILED", "FAILED_SETUP", "FAILED_CONTROLLER"}
_STARTING = {"PENDING", "SUBMITTED", "STARTING"}
_MOST_SHORT_LIVES = 5
_SHORT_LIFE_SECONDS = 120.0
_EXIT_CODE = re.compile(r"exited with exit code (\d+)")
_CAPACITY = re.compile(
    r"insufficient|capacity|quota|resources? ?unavailable|out of stock|stockout|failed to provision|no launchable"
    r"|limit ?exceeded|could not be satisfied|not enough",
    re.IGNORECASE,
)
_KIND = re.compile(r"^\d+x(?P<spot>\[spot\])?\((?P<parts>.*)\)$", re.IGNORECASE)


@dataclass(frozen=True)
class ManagedJob:
    """A managed job, as SkyPilot's queue tells of it."""

    id: int
    """Its number."""
    name: str
    """Its name; several jobs can have one."""
    status: str
    """SkyPilot's word for its state."""
    details: str = ""
    """What it waits for or does at the moment."""
    failure_reason: str = ""
    """Why it failed."""
    recoveries: int = 0
    """How often it was started again."""
    submitted_at: float | None = None
    """When it was asked for, in seconds since the epoch, as all times here."""
    started_at: float | None = None
    """When its command first ran."""
    recovered_at: float | None = None
    """When its command was last started."""
    ended_at: float | None = None
    """When it ended."""
    ran_seconds: float = 0.0
    """For how long its command has run."""
    machine: Machine = field(default_factory=Machine)
    """Where it runs or last ran."""
    user: str = ""
    """Who asked for it; empty when not asked for."""
    yaml: str = ""
    """Its task as SkyPilot keeps it, secrets left out; empty when not asked for."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended and keeps no machine."""
        return self.status in _TERMINAL

    @property
    def is_looping(self) -> bool:
        """Whether its command keeps ending soon after its start.

        SkyPilot starts a command again without end, on a fresh machine that knows nothing of the starts before.
        """
        lives = self.recoveries + 1
        return lives > _MOST_SHORT_LIVES and self.ran_seconds / lives < _SHORT_LIFE_SECONDS

    @property
    def has_last_words(self) -> bool:
        """Whether it failed in a way that its log explains."""
        return self.status in _SPEAKING

    @property
    def exit_code(self) -> int | None:
        """Exit code of its command, where SkyPilot tells it."""
        if self.status == SUCCEEDED:
            return 0
        found = _EXIT_CODE.search(self.failure_reason or self.details)
        return int(found[1]) if found else None


def read_job(record: Mapping[str, Any]) -> ManagedJob:
    """Return the job that a record of SkyPilot's queue describes."""
    status = record["status"]
    return ManagedJob(
        id=int(record["job_id"]),
        name=str(record.get("job_name") or ""),
        status=str(getattr(status, "value", status)),
        details=str(record.get("details") or ""),
        failure_reason=str(record.get("failure_reason") or ""),
        recoveries=int(record.get("recovery_count") or 0),
        submitted_at=_moment(record.get("submitted_at")),
        started_at=_moment(record.get("start_at")),
        recovered_at=_moment(record.get("last_recovered_at")),
        ended_at=_moment(record.get("end_at")),
        ran_seconds=float(record.get("job_duration") or 0.0),
        machine=_read_machine(record),
        user=str(record.get("user_name") or ""),
        yaml=str(record.get("user_yaml") or ""),
    )


def choose_jobs(jobs: Iterable[ManagedJob]) -> tuple[dict[str, ManagedJob], list[ManagedJob]]:
    """Return the job that counts for each name, and the surplus ones that live besides.

    Two launchers that raced leave two jobs of one name: the oldest that lives counts, else the newest that ended.
    """
    chosen: dict[str, ManagedJob] = {}
    surplus: list[ManagedJob] = []
    for job in sorted(jobs, key=lambda each: each.id):
        standing = chosen.get(job.name)
        if standing is None or standing.is_over:
            chosen[job.name] = job
        elif not job.is_over:
            surplus.append(job)
    return chosen, surplus


def describe_worker(name: WorkerName, job: ManagedJob, *, last_words: str = "") -> SiteWorker:
    """Return the worker that the job is.

    Args:
        name: Its name.
        job: The job.
        last_words: The last lines of its log, when it failed.
    """
    state = _state_of(job)
    return SiteWorker(
        name=name,
        state=state,
        exit_code=job.exit_code if state is WorkerState.GONE else None,
        reason=_reason(job, last_words),
        machine=job.machine,
        recoveries=job.recoveries,
        since=_since(job),
        lacks_capacity=_lacks_capacity(job),
        was_stopped=job.status == CANCELLED and not job.is_looping,
    )


def _state_of(job: ManagedJob) -> WorkerState:
    if job.is_over:
        return WorkerState.GONE
    if job.status in _STARTING:
        return WorkerState.STARTING
    # A job that is being cancelled still has its machine: it is not gone before SkyPilot says so.
    return WorkerState.RECOVERING if job.status == "RECOVERING" else WorkerState.RUNNING


def _reason(job: ManagedJob, last_words: str) -> str:
    said = job.failure_reason or job.details
    if job.is_over:
        told = f"SkyPilot's managed job {job.id} is {job.status}"
        said = f"{told}: {said}" if said else told
        if job.is_looping:
            said += f"; it was started {job.recoveries + 1} times and kept ending soon after"
    return f"{said}\nlast lines of its log:\n{last_words}" if last_words else said


def _since(job: ManagedJob) -> float | None:
    if job.is_over:
        return job.ended_at
    if job.status in _STARTING:
        return job.submitted_at
    began = job.recovered_at or job.started_at
    if job.status == "RECOVERING" and began is not None:
        # What it had run before an earlier recovery is counted too: then this is a little late.
        return began + job.ran_seconds
    return began


def _lacks_capacity(job: ManagedJob) -> bool:
    if job.status == FAILED_NO_RESOURCE:
        return True
    waits = job.status in _STARTING or job.status == "RECOVERING"
    return waits and says_no_capacity(job.details)


def says_no_capacity(said: str) -> bool:
    """Say whether SkyPilot's words tell of a want of machines or quota."""
    return _CAPACITY.search(said) is not None


def _moment(written: object) -> float | None:
    """Return a time; SkyPilot writes -1 for what has not happened."""
    return float(written) if isinstance(written, (int, float)) and written > 0 else None


def _read_machine(record: Mapping[str, Any]) -> Machine:
    place = [str(record.get(key) or "") for key in ("cloud", "region", "zone")]
    place = [each for each in place if each not in {"", "-"}]
    found = _KIND.match(str(record.get("cluster_resources_full") or ""))
    kind, market = ("", None) if found is None else _read_kind(found)
    is_cloud = bool(place) and place[0].lower() not in SHARED_INFRA
    return Machine(
        cluster=str(record.get("cluster_name_on_cloud") or ""),
        infra="/".join([place[0].lower(), *place[1:]]) if place else "",
        instance_type=kind,
        market=market if is_cloud else None,
        price_per_hour=None if is_cloud or not place else 0.0,
    )


def _read_kind(found: re.Match[str]) -> tuple[str, Market]:
    parts = [part.strip() for part in found["parts"].split(",")]
    kinds = [part for part in parts if part and "=" not in part and part != "..." and not part.startswith("[")]
    return (kinds[0] if kinds else ""), Market.SPOT if found["spot"] else Market.ON_DEMAND


def with_price(worker: SiteWorker, price_per_hour: float | None) -> SiteWorker:
    """Return the worker with what its machine costs."""
    return replace(worker, machine=replace(worker.machine, price_per_hour=price_per_hour))
