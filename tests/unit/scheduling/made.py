"""Sessions and reports for tests of decisions."""

from __future__ import annotations

from gliderport_prefect.protocol.ids import AttemptId, JobId, JobNumber, SessionId, WorkerName, attempt_id
from gliderport_prefect.protocol.outcomes import Outcome
from gliderport_prefect.protocol.records import AttemptReport, Hello, Usage
from gliderport_prefect.protocol.resources import Offer, Resources
from gliderport_prefect.scheduling.sessions import Held, Session

GIB = 2**30
ONE = Resources()


def hello(offer: Offer | None = None, *, name: str = "worker-0001") -> Hello:
    offered = offer or Offer(cpus=1, memory_bytes=GIB, disk_bytes=GIB)
    return Hello(WorkerName(name), offered, "host", 1, "", "0", "3.11", "test")


def session(
    name: str = "worker-0001", *, cpus: float = 1, holds: int = 0, needs: Resources = ONE, preemptible: bool = False
) -> Session:
    """Return a session that has that many jobs, numbered downwards from -1, none of them started."""
    offer = Offer(cpus=cpus, memory_bytes=GIB, disk_bytes=GIB, preemptible=preemptible)
    made = Session(SessionId(f"{name}.aa"), hello(offer, name=name), heard_at=0)
    for job in range(holds):
        made.hold(-1 - job, Held(attempt_id(1, 1), needs, inbox_number=1))
    return made


def report(outcome: Outcome, job: int = 0, *, attempt: str = "1.1", exit_code: int | None = 1) -> AttemptReport:
    return AttemptReport(
        JobNumber(job), JobId(f"job-{job}"), AttemptId(attempt), outcome, "", "", exit_code, usage=Usage(wall_seconds=1)
    )
