"""A campaign as somebody asks for it: plain values, so that an order can be stored, sent and repeated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Order:
    """What to run and where. Either `source`, or `command` and `each`."""

    bucket: str
    """URL of the runtime bucket."""
    campaign: str | None = None
    """Id of the campaign; the same id is always the same campaign. Made from the source's name when not given."""
    source: str | None = None
    """A folder of job files, or a campaign file."""
    command: str | None = None
    """A command with placeholders, one job for each row."""
    each: str | None = None
    """A table (CSV, TSV, JSONL), or a range such as `0..999`."""
    job_id: str | None = None
    """Template of the id of a row's job."""
    job: dict[str, Any] = field(default_factory=dict[str, Any])
    """Keys of every job, in the notation of job files; they yield to what a job itself says."""
    workers: int | None = None
    """Most workers at a time."""
    budget: float | None = None
    """US dollars that the campaign may cost, also when it has begun with another budget."""
    credentials: str | None = None
    """The Prefect block that opens the bucket, such as `aws-credentials/lab`."""
    site: str | None = None
    """Where workers run."""
    site_options: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the site needs to know."""
