"""Every record that launcher and workers put into the bucket to tell each other something.

`README.md` says who writes which and when. Records in numbered logs carry a random token of their writer, so that a
put whose reply was lost is recognised as one's own. Clocks in records are for people; nothing compares them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from gliderport_prefect.protocol.ids import AttemptId, CampaignId, JobId, JobNumber, SessionId, WorkerName
from gliderport_prefect.protocol.jobspec import JobSpec
from gliderport_prefect.protocol.machines import CapacityPolicy, Machine, MarketPolicy, WorkerState
from gliderport_prefect.protocol.outcomes import JobState, Outcome
from gliderport_prefect.protocol.resources import Offer, Resources
from gliderport_prefect.protocol.version import PROTOCOL_VERSION


def timestamp(epoch_seconds: float) -> str:
    """Return the moment as people read it: ISO 8601, UTC, milliseconds."""
    return datetime.fromtimestamp(epoch_seconds, timezone.utc).isoformat(timespec="milliseconds")


# --- the campaign -----------------------------------------------------------------------------------------------

IDLE_PATIENCE = 2.0
"""A worker without jobs speaks this many times less often, and may be silent for this many times as long."""


@dataclass(frozen=True)
class WorkerPolicy:
    """Timers of the campaign's workers, in seconds."""

    heartbeat_seconds: float = 15.0
    """A worker that has jobs and had nothing to report for this long sends an empty record; one without jobs, after
    twice this long."""
    idle_seconds: float = 300.0
    """A worker without a job for this long leaves."""
    max_life_seconds: float | None = None
    """A worker leaves after this long; none when not given."""
    grace_seconds: float = 30.0
    """In this time before the end of its life a worker starts nothing new."""
    store_patience_seconds: float = 1800.0
    """A worker that cannot reach the bucket for this long gives up."""


@dataclass(frozen=True)
class LauncherPolicy:
    """What the launcher does about workers and failures."""

    dead_seconds: float = 45.0
    """A session that has jobs and was silent for this long, while the launcher listened, is lost; one without jobs,
    after twice this long."""
    loss_limit: int = 5
    """A job that was running on this many lost workers is quarantined."""
    black_hole_limit: int = 10
    """A worker on which this many attempts in a row failed, of jobs that differ, and none succeeded is drained."""
    start_failure_limit: int = 3
    """After this many workers in a row that died before they could work, no more are started; once none is left, the
    site is given up."""
    market: MarketPolicy = MarketPolicy.TEMPLATE
    """On what kind of machine workers run."""
    fallback_preemptions: int = 3
    """A job that was preempted or lost with its worker this many times runs on kept machines only, if `market` is
    FALLBACK."""
    fallback_after_seconds: float = 1800.0
    """If there were no machines of the cheap kind for this long, kept ones are taken, if `market` is FALLBACK; after
    the same time the cheap kind is tried again."""
    no_capacity: CapacityPolicy = CapacityPolicy.WAIT
    """What to do when the site has no machines."""
    max_workers: int = 1
    """Most workers at a time."""
    budget: float | None = None
    """US dollars; when the workers have cost so much, nothing new is started. None when there is no limit."""

    @property
    def keep_after(self) -> int | None:
        """Evictions after which a job runs on kept machines only; none when it never has to."""
        return self.fallback_preemptions if self.market is MarketPolicy.FALLBACK else None


@dataclass(frozen=True)
class Campaign:
    """Identity and policy of a campaign; the first object written."""

    campaign: CampaignId
    """Its id."""
    token: str
    """Random, of the writer."""
    created_at: str
    """When."""
    site: str = "local"
    """Where its workers run."""
    site_options: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the site needs to know; never a secret."""
    sky_template: dict[str, Any] = field(default_factory=dict[str, Any])
    """The SkyPilot task, without `run`, that makes a worker's machine."""
    worker: WorkerPolicy = field(default_factory=WorkerPolicy)
    """Timers of the workers."""
    launcher: LauncherPolicy = field(default_factory=LauncherPolicy)
    """Limits that the launcher keeps."""
    origin: str = ""
    """Where the jobs came from, for people."""
    secrets: tuple[str, ...] = ()
    """Names of the variables that its workers must have for the jobs' `secrets`; never a value."""
    credentials: str = ""
    """The Prefect block that opens the bucket, such as `aws-credentials/lab`; the environment does when empty."""
    protocol: int = PROTOCOL_VERSION
    """Version of the protocol that its objects follow."""


@dataclass(frozen=True)
class LauncherClaim:
    """The right to drive the campaign under the epoch that is the record's number."""

    token: str
    """Random, of the writer."""
    host: str
    """Where the launcher runs."""
    pid: int
    """Its process there."""
    claimed_at: str
    """When."""
    version: str
    """Version of the launcher's package."""


# --- job specs --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """Jobs that follow each other in a chunk and are alike to the scheduler."""

    count: int
    """How many."""
    priority: int
    """Their priority."""
    needs: Resources
    """What each needs."""


@dataclass(frozen=True)
class SpecChunkHeader:
    """First line of a chunk of specs; the specs follow, one per line."""

    token: str
    """Random, of the writer."""
    first: JobNumber
    """Number of the first job in it."""
    count: int
    """How many specs follow."""
    runs: tuple[Run, ...]
    """What the scheduler must know of them, so that it reads no spec before its turn."""


# --- launcher to worker -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AttemptRef:
    """Names an attempt."""

    job: JobNumber
    """Its job."""
    attempt: AttemptId
    """Which try."""


@dataclass(frozen=True)
class Assignment:
    """A job for a worker."""

    job: JobNumber
    """Its number."""
    attempt: AttemptId
    """Which try this is to be."""
    spec: JobSpec
    """What to do."""
    memory_bytes: int | None = None
    """Memory in place of the spec's, after an attempt ran out of it."""


@dataclass(frozen=True)
class InboxRecord:
    """What a launcher tells a session. A worker that has seen an epoch ignores records of lower ones."""

    epoch: int
    """Epoch of the launcher."""
    token: str
    """Random, of the writer."""
    assign: tuple[Assignment, ...] = ()
    """Jobs to queue."""
    recall: tuple[AttemptRef, ...] = ()
    """Attempts to hand back unless they have started."""
    cancel: tuple[AttemptRef, ...] = ()
    """Attempts to end."""
    drain: bool = False
    """Start nothing more, hand back what has not started, leave when the running jobs have ended."""
    dead: bool = False
    """The session is lost to the launcher: end everything at once, report nothing, leave."""


# --- worker to launcher -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Registration:
    """One process of a worker; its number in the worker's log says which came after which."""

    session: SessionId
    """The session of that process."""
    token: str
    """Random, of the writer."""
    registered_at: str
    """When."""


@dataclass(frozen=True)
class Hello:
    """First words of a session."""

    worker: WorkerName
    """Whose session it is."""
    offer: Offer
    """What it has for jobs."""
    host: str
    """Name of the machine."""
    pid: int
    """The process there."""
    started_at: str
    """When it started."""
    version: str
    """Version of the worker's package."""
    python: str
    """Version of its interpreter."""
    platform: str
    """Operating system and architecture, such as `Linux-6.1-x86_64`."""
    replaces: SessionId | None = None
    """The session of the same worker before this one: dead from now on."""
    protocol: int = PROTOCOL_VERSION
    """Version of the protocol that it speaks."""


@dataclass(frozen=True)
class StreamLog:
    """Where one output stream of an attempt is."""

    size_bytes: int = 0
    """How much was printed."""
    text: str | None = None
    """All of it, when it is short UTF-8."""
    base64: str | None = None
    """All of it, when it is short and no UTF-8."""
    parts: int = 0
    """Number of parts in the bucket when it is long."""
    tail: str | None = None
    """The last lines when it is long, for tables; undecodable bytes replaced."""


@dataclass(frozen=True)
class Usage:
    """What an attempt used."""

    wall_seconds: float = 0.0
    """From the start of its command to its end."""
    cpu_seconds: float = 0.0
    """User and system time of all its processes."""
    peak_memory_bytes: int | None = None
    """Highest memory of its processes; none when it was too short-lived to be told from the worker's own."""
    stage_in_seconds: float = 0.0
    """Fetching of inputs."""
    stage_out_seconds: float = 0.0
    """Staging and publication of outputs."""
    bytes_in: int = 0
    """Inputs fetched for it, without those that the worker had already."""
    bytes_out: int = 0
    """Outputs published."""
    checkpoint_bytes_in: int = 0
    """Files of a checkpoint restored before its command started."""
    checkpoint_bytes_out: int = 0
    """Files of checkpoints saved."""


@dataclass(frozen=True)
class Published:
    """Where the files of one `outputs` entry appeared."""

    destination: str
    """Folder or URI."""
    files: int
    """How many."""
    size_bytes: int
    """How large together."""


@dataclass(frozen=True)
class AttemptReport:
    """How an attempt ended."""

    job: JobNumber
    """Its job."""
    id: JobId
    """The job's id."""
    attempt: AttemptId
    """Which try."""
    outcome: Outcome
    """How it ended."""
    started_at: str
    """When its inputs began to be fetched, by the worker's clock."""
    finished_at: str
    """When it was over, by the worker's clock."""
    exit_code: int | None = None
    """Exit code of the command; none when it did not run or a signal ended it."""
    signal: int | None = None
    """Signal that ended it."""
    reason: str = ""
    """What happened, in a sentence, when it did not succeed."""
    usage: Usage = field(default_factory=Usage)
    """What it used."""
    stdout: StreamLog = field(default_factory=StreamLog)
    """What it printed."""
    stderr: StreamLog = field(default_factory=StreamLog)
    """What it printed as errors."""
    outputs: tuple[Published, ...] = ()
    """Where its outputs are."""
    result: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the job wrote into the file that `$GLIDERPORT_RESULT` names: a JSON object."""


@dataclass(frozen=True)
class OutboxRecord:
    """What a session tells the launcher. Every record is a sign of life."""

    session: SessionId
    """Who speaks."""
    token: str
    """Random, of the writer."""
    hello: Hello | None = None
    """In its first record only."""
    started: tuple[AttemptRef, ...] = ()
    """Attempts begun since the last record and not yet ended."""
    finished: tuple[AttemptReport, ...] = ()
    """Attempts ended since the last record."""
    returned: tuple[AttemptRef, ...] = ()
    """Attempts handed back, not started."""
    read: int = 0
    """Number of the newest inbox record that it has read."""
    queued: int = 0
    """Assignments that have not started."""
    running: int = 0
    """Attempts that run."""
    draining: str | None = None
    """Why it takes no more jobs."""
    goodbye: str | None = None
    """Why it leaves; its last record."""


# --- outputs ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StagedFile:
    """One staged output file."""

    path: str
    """Path below the destination."""
    destination: str
    """Folder or URI under which it is to appear."""
    size_bytes: int
    """Its size."""
    key: str
    """Where it is staged in the runtime bucket."""


@dataclass(frozen=True)
class Manifest:
    """The staged output of an attempt, written when all of it is there."""

    token: str
    """Random, of the writer."""
    attempt: AttemptId
    """Which try."""
    files: tuple[StagedFile, ...]
    """All of them."""


@dataclass(frozen=True)
class Commit:
    """Which attempt's output counts."""

    token: str
    """Random, of the writer."""
    attempt: AttemptId
    """The try that won."""
    session: SessionId
    """Who ran it."""


@dataclass(frozen=True)
class PublishedMark:
    """The committed output is whole at its destination."""

    token: str
    """Random, of the writer."""
    attempt: AttemptId
    """The try that won."""
    outputs: tuple[Published, ...]
    """Where its files are."""


# --- checkpoints ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SavedFile:
    """One file of a checkpoint."""

    path: str
    """Path below the checkpoint folder, with `/` between its parts."""
    size_bytes: int
    """Its size."""
    sha256: str
    """Its content."""
    key: str
    """Where that content is in the runtime bucket; an earlier checkpoint of the same attempt may have put it there."""
    mode: int = 0o644
    """Its permissions."""
    mtime_ns: int = 0
    """When it was last written, in nanoseconds since 1970 by the worker's clock."""


@dataclass(frozen=True)
class SavedLink:
    """One symbolic link of a checkpoint; it stays within the folder."""

    path: str
    """Path below the checkpoint folder."""
    target: str
    """What it says: a path relative to where it is."""


@dataclass(frozen=True)
class SavedCheckpoint:
    """All that was in a job's checkpoint folder at one moment, written when all of its files are there."""

    token: str
    """Random, of the writer."""
    attempt: AttemptId
    """The try that it is the state of."""
    session: SessionId
    """Who ran it."""
    saved_at: str
    """When."""
    files: tuple[SavedFile, ...] = ()
    """Every file."""
    links: tuple[SavedLink, ...] = ()
    """Every symbolic link that stays within the folder."""
    folders: tuple[str, ...] = ()
    """Paths of the folders in it that are empty."""


# --- the ledger and what is made of it --------------------------------------------------------------------------


@dataclass(frozen=True)
class Settled:
    """An attempt that counts, and what became of its job."""

    session: SessionId
    """Who ran it."""
    then: JobState
    """State of the job afterwards."""
    report: AttemptReport
    """How the attempt ended."""
    memory_bytes: int | None = None
    """Memory that the next attempt is to have."""
    previous: int = 0
    """Number of the ledger record that holds the job's attempt before this one; 0 when this is its first."""
    share: float = 0.0
    """Part of the worker that the attempt had, from 0 to 1: the largest of its parts of cpus, memory and gpus."""


@dataclass(frozen=True)
class Meeting:
    """A session that the launcher has met; it writes to no inbox before this is in the ledger."""

    session: SessionId
    """Which."""
    hello: Hello
    """What it said of itself."""


@dataclass(frozen=True)
class SessionAttempt:
    """An attempt and who has it."""

    session: SessionId
    """Who."""
    job: JobNumber
    """The job."""
    attempt: AttemptId
    """Which try."""


@dataclass(frozen=True)
class Death:
    """A session that is over."""

    session: SessionId
    """Which."""
    reason: str
    """Why: it said goodbye, was replaced, fell silent, or its site says that it is gone."""


@dataclass(frozen=True)
class Sighting:
    """What the site said of a worker when that had changed; what it costs follows from these."""

    worker: WorkerName
    """Which."""
    state: WorkerState
    """What has become of it."""
    seen_at: str
    """Since when, as the site says, else when the launcher noticed."""
    machine: Machine = field(default_factory=Machine)
    """Where it runs."""
    recoveries: int = 0
    """How often the site has brought it up again."""
    reason: str = ""
    """Why it is gone or does not start."""


@dataclass(frozen=True)
class Span:
    """Jobs from one number to another, both included."""

    first: JobNumber
    """The first."""
    last: JobNumber
    """The last."""


@dataclass(frozen=True)
class LedgerRecord:
    """What is settled; never undone."""

    epoch: int
    """Epoch of the launcher."""
    token: str
    """Random, of the writer."""
    fence: bool = False
    """First record of its epoch: launchers of lower epochs are over."""
    met: tuple[Meeting, ...] = ()
    """Sessions that said hello."""
    started: tuple[SessionAttempt, ...] = ()
    """Attempts that are known to run."""
    returned: tuple[SessionAttempt, ...] = ()
    """Attempts that were handed back without having started."""
    settled: tuple[Settled, ...] = ()
    """Attempts that count."""
    dead: tuple[Death, ...] = ()
    """Sessions that are over."""
    read: dict[str, int] = field(default_factory=dict[str, int])
    """Session to the number of its newest outbox record whose content is settled."""
    floor: dict[str, int] = field(default_factory=dict[str, int])
    """Session to the number of its oldest inbox record that is kept."""
    requests_read: int = 0
    """Number of the newest request that has been acted on; 0 says nothing new."""
    requeued: tuple[Span, ...] = ()
    """Ended jobs that are queued again on request, with fresh retries."""
    cancelled: tuple[Span, ...] = ()
    """Jobs that are cancelled, unless they have ended."""
    finished: bool = False
    """The campaign is over; a later submission or retry reopens it."""
    seen: tuple[Sighting, ...] = ()
    """What has changed of the workers' machines."""
    budget: float | None = None
    """US dollars that the campaign may cost from now on; none leaves it as it was."""
    torn_down: bool = False
    """Last record of its epoch: its workers were ended, and nobody drives the campaign until the next fence."""


class RequestKind(str, Enum):
    """What people ask a campaign for."""

    CANCEL = "CANCEL"
    """End these jobs."""
    RETRY = "RETRY"
    """Queue these ended jobs again."""
    SUBMITTED = "SUBMITTED"
    """New specs are there."""
    CLOSE = "CLOSE"
    """No more jobs will come: end when all are done."""
    BUDGET = "BUDGET"
    """The campaign may cost this much from now on."""


@dataclass(frozen=True)
class Request:
    """What somebody asked for."""

    kind: RequestKind
    """What."""
    token: str
    """Random, of the writer."""
    requested_at: str
    """When."""
    requested_by: str
    """Who, as `user@host`."""
    jobs: tuple[Span, ...] = ()
    """Which jobs; all that it can apply to when empty."""
    budget: float | None = None
    """US dollars, of a request about the budget."""


@dataclass(frozen=True)
class ProgressNote:
    """Where the campaign stands, for readers that do not want to fold the ledger."""

    epoch: int
    """Epoch of the launcher that says so."""
    token: str
    """Random, of the writer."""
    noted_at: str
    """When."""
    counts: dict[str, int]
    """Jobs by state."""
    workers: dict[str, int]
    """Workers by state: starting, idle, busy, draining."""
    waiting_for: str = ""
    """Why nothing moves, if nothing does."""
