"""The only place that spells the keys of a campaign's objects.

Keys are relative to the root of the runtime bucket. Numbers have eight digits, so that keys sort as numbers do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gliderport_prefect.errors import ProtocolError
from gliderport_prefect.protocol.ids import AttemptId, CampaignId, JobId, SessionId, WorkerName

if TYPE_CHECKING:
    from typing import Literal

CAMPAIGNS = "campaigns"
INDEX = "index"
"""Prefix of one small object per campaign, so that a listing of campaigns lists none of their objects."""
_DIGITS = 8


def index_key(campaign: CampaignId) -> str:
    """Return the key under which the bucket's index has the campaign; create-only."""
    return f"{INDEX}/{campaign}"


def number_segment(number: int) -> str:
    """Return the last segment of the key of a numbered object."""
    return f"{number:0{_DIGITS}d}"


def parse_number(key: str) -> int:
    """Return the number at the end of the key of a numbered object.

    Raises:
        ProtocolError: The key does not end in a number.
    """
    segment = key.rpartition("/")[2].partition(".")[0]
    if not segment.isdecimal():
        message = f"object {key!r} has no number where the protocol puts one; who else writes into this bucket?"
        raise ProtocolError(message)
    return int(segment)


@dataclass(frozen=True)
class CampaignKeys:
    """Every key below one campaign."""

    campaign: CampaignId

    @property
    def root(self) -> str:
        """Prefix of everything that belongs to the campaign."""
        return f"{CAMPAIGNS}/{self.campaign}"

    @property
    def identity(self) -> str:
        """Who the campaign is and by which policy it runs; create-only."""
        return f"{self.root}/campaign.json"

    @property
    def launchers(self) -> str:
        """Log of epochs: who drives."""
        return f"{self.root}/launchers"

    @property
    def ledger(self) -> str:
        """Log of what is settled."""
        return f"{self.root}/ledger"

    @property
    def requests(self) -> str:
        """Log of what people asked for: cancel, retry, close."""
        return f"{self.root}/requests"

    @property
    def snapshots(self) -> str:
        """Prefix of folded ledgers."""
        return f"{self.root}/snapshots"

    def snapshot(self, ledger_number: int) -> str:
        """Return the key of the fold of the ledger up to and with that record."""
        return f"{self.snapshots}/{number_segment(ledger_number)}"

    @property
    def specs(self) -> str:
        """Log of chunks of job specs in order of submission."""
        return f"{self.root}/specs"

    def bundle(self, sha256: str) -> str:
        """Return the key of the worker bundle with that content."""
        return f"{self.root}/bundle/{sha256}/worker.pyz"

    @property
    def blobs(self) -> str:
        """Prefix of uploaded inputs."""
        return f"{self.root}/blobs"

    def blob(self, sha256: str) -> str:
        """Return the key of the uploaded input with that content."""
        return f"{self.blobs}/{sha256}"

    @property
    def inboxes(self) -> str:
        """Prefix of all inboxes."""
        return f"{self.root}/inbox"

    def inbox(self, session: SessionId) -> str:
        """Return the log that the launcher writes to this session."""
        return f"{self.inboxes}/{session}"

    def inbox_session(self, key: str) -> SessionId:
        """Return whose inbox the object belongs to."""
        return SessionId(key[len(self.inboxes) + 1 :].partition("/")[0])

    @property
    def outbox(self) -> str:
        """Prefix of all outboxes: one LIST shows the news of all workers."""
        return f"{self.root}/outbox"

    def outbox_record(self, session: SessionId, number: int) -> str:
        """Return the key of the session's record of that number."""
        return f"{self.outbox}/{session}-{number_segment(number)}"

    def parse_outbox(self, key: str) -> tuple[SessionId, int]:
        """Return the session and the number of an outbox record.

        Raises:
            ProtocolError: The key is not one of an outbox record.
        """
        session, _, number = key[len(self.outbox) + 1 :].rpartition("-")
        if not session or "/" in session or not number.isdecimal():
            message = f"object {key!r} is no outbox record; who else writes into this bucket?"
            raise ProtocolError(message)
        return SessionId(session), int(number)

    @property
    def workers(self) -> str:
        """Prefix of all registrations."""
        return f"{self.root}/workers"

    def registrations(self, worker: WorkerName) -> str:
        """Return the log in which each process of the worker writes its session, so that it finds its predecessor."""
        return f"{self.workers}/{worker}"

    def log_part(  # noqa: PLR0917 - the parts of the key, in their order there
        self, job: JobId, attempt: AttemptId, stream: Literal["stdout", "stderr"], part: int
    ) -> str:
        """Return the key of a part (from 1) of what the attempt printed."""
        return f"{self.logs(job, attempt)}/{stream}.{number_segment(part)}"

    def logs(self, job: JobId, attempt: AttemptId) -> str:
        """Return the prefix of what the attempt printed."""
        return f"{self.root}/logs/{job}/{attempt}"

    def staged(self, job: JobId, attempt: AttemptId) -> str:
        """Return the prefix of the attempt's staged output files."""
        return f"{self.root}/attempts/{job}/{attempt}/files"

    def manifest(self, job: JobId, attempt: AttemptId) -> str:
        """Return the key of the list of the attempt's staged files; written after all of them."""
        return f"{self.root}/attempts/{job}/{attempt}/manifest.json"

    def kept(self, job: JobId, attempt: AttemptId) -> str:
        """Return the prefix of what is kept of a failed attempt."""
        return f"{self.root}/failed/{job}/{attempt}"

    def commit(self, job: JobId) -> str:
        """Return the key of the record that names the one attempt whose output counts; create-only."""
        return f"{self.root}/commits/{job}"

    def published(self, job: JobId) -> str:
        """Return the key of the mark that the committed output is whole at its destination; create-only."""
        return f"{self.root}/published/{job}"

    def outputs(self, job: JobId) -> str:
        """Return the prefix where output goes when the job names no destination."""
        return f"{self.root}/outputs/{job}"

    @property
    def checkpoints(self) -> str:
        """Prefix of the checkpoints of all jobs."""
        return f"{self.root}/checkpoints"

    def checkpoints_of(self, job: JobId) -> str:
        """Return the prefix of everything that was saved of the job's checkpoint folder."""
        return f"{self.checkpoints}/{job}"

    def checkpoint_job(self, key: str) -> JobId:
        """Return whose checkpoint the object belongs to."""
        return JobId(key[len(self.checkpoints) + 1 :].partition("/")[0])

    def saved(self, job: JobId) -> str:
        """Return the log of the job's complete checkpoints; it loses its beginning."""
        return f"{self.checkpoints_of(job)}/saved"

    def saved_files(self, job: JobId) -> str:
        """Return the prefix of the files of the job's checkpoints."""
        return f"{self.checkpoints_of(job)}/files"

    def saved_file(self, job: JobId, attempt: AttemptId, name: str) -> str:  # noqa: PLR0917 - the parts of the key
        """Return the key of one file that the attempt saved."""
        return f"{self.saved_files(job)}/{attempt}/{name}"

    def saved_by(self, job: JobId, key: str) -> AttemptId:
        """Return which attempt saved the file."""
        return AttemptId(key[len(self.saved_files(job)) + 1 :].partition("/")[0])

    @property
    def progress(self) -> str:
        """Log of the launcher's progress notes; only the newest is kept."""
        return f"{self.root}/board/progress"

    def board(self, name: str) -> str:
        """Return the key of a page or table that people read, such as `results.jsonl`."""
        return f"{self.root}/board/{name}"
