"""What SkyPilot knows a worker by: the name of its managed job, labels for its machine, variables that say whose it is.

The name is the key: it is the same whoever derives it, so that a second launcher finds what the first one started.
Labels are for people who look at a cloud's console; they are gone with the machine. The variables stay with the job.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from gliderport_prefect.protocol.ids import WorkerName

BUCKET = "GLIDERPORT_BUCKET"
"""Variable with the URL of the runtime bucket."""
CAMPAIGN = "GLIDERPORT_CAMPAIGN"
"""Variable with the id of the campaign."""
WORKER = "GLIDERPORT_WORKER"
"""Variable with the name of the worker."""
PREEMPTIBLE = "GLIDERPORT_PREEMPTIBLE"
"""Variable that is set when the worker's machine may be taken back."""

_PREFIX = "gliderport"
_DIGEST_DIGITS = 10
_LONGEST_SLUG = 24
_LONGEST_WORKER = 20
_PLAIN = re.compile(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*")
_LONGEST_LABEL = 63
_UNSAFE = re.compile(r"[^a-z0-9]+")
_JOB_NAME = re.compile(rf"{_PREFIX}-[a-z0-9-]+-[0-9a-f]{{{_DIGEST_DIGITS}}}-[A-Za-z0-9-]+")


@dataclass(frozen=True)
class Owner:
    """Whose workers they are: a campaign in a bucket."""

    campaign: str
    """Id of the campaign."""
    bucket: str
    """URL of its runtime bucket."""

    @property
    def name_prefix(self) -> str:
        """How the names of all its managed jobs begin, and those of no other campaign."""
        return f"{_PREFIX}-{_slug(self.campaign, _LONGEST_SLUG)}-{_digest(self.bucket, self.campaign)}-"

    def job_name(self, worker: WorkerName) -> str:
        """Return the name of the worker's managed job; SkyPilot allows letters, digits and dashes everywhere."""
        is_plain = len(worker) <= _LONGEST_WORKER and _PLAIN.fullmatch(worker) is not None
        return self.name_prefix + (worker if is_plain else f"{_slug(worker, 12)}-{_digest(worker)[:6]}")

    def labels(self, worker: WorkerName) -> dict[str, str]:
        """Return labels for the worker's machine, in the characters and lengths that every cloud allows."""
        return {
            f"{_PREFIX}-campaign": _label(self.campaign),
            f"{_PREFIX}-bucket": _label(self.bucket),
            f"{_PREFIX}-worker": _label(worker),
        }

    def variables(self, worker: WorkerName) -> dict[str, str]:
        """Return the variables by which the worker, and who looks at the managed job, know whose it is."""
        return {CAMPAIGN: self.campaign, BUCKET: self.bucket, WORKER: worker}


def is_job_name(name: str) -> bool:
    """Say whether a managed job of this name may be one of Gliderport's."""
    return _JOB_NAME.fullmatch(name) is not None


def name_match() -> str:
    """Return what the names of all of Gliderport's managed jobs contain."""
    return f"{_PREFIX}-"


def _label(text: str) -> str:
    """Return the text itself where it is safe, else what is left of it and a hash."""
    if re.fullmatch(rf"[a-z0-9]([a-z0-9-]{{0,{_LONGEST_LABEL - 2}}}[a-z0-9])?", text):
        return text
    return f"{_slug(text, _LONGEST_LABEL - _DIGEST_DIGITS - 1)}-{_digest(text)}"


def _slug(text: str, longest: int) -> str:
    return _UNSAFE.sub("-", text.lower()).strip("-")[:longest].strip("-") or "x"


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:_DIGEST_DIGITS]
