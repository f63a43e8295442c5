"""A job spec: the immutable description of one user command, as it is stored and sent.

People write specs in the richer notation that `notation.py` reads; sizes are bytes and times are seconds here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gliderport_prefect.protocol.ids import JobId
from gliderport_prefect.protocol.resources import Resources


@dataclass(frozen=True)
class Input:
    """Something that is in the working folder before the command starts."""

    source: str
    """A local file, folder or glob; an `s3://`, `gs://`, `az://`, `file://` or `https://` URI (with `/` at its end:
    everything below it); or, once uploaded, `blob:<sha256>` (a file) or `tree:<sha256>` (a folder)."""
    target: str | None = None
    """Path in the working folder; the last part of the source when not given."""
    size_bytes: int | None = None
    """Size of an uploaded file or folder."""
    executable: bool = False
    """Whether the uploaded file may be executed."""


@dataclass(frozen=True)
class TreeEntry:
    """One file of an uploaded folder; a tree blob is a JSON list of these."""

    path: str
    """Path below the folder, with `/` between its parts."""
    sha256: str
    """Content, stored as the blob of that name."""
    size_bytes: int
    """Size of the file."""
    executable: bool = False
    """Whether the file may be executed."""


@dataclass(frozen=True)
class Output:
    """Files that the job leaves and where they go."""

    destination: str | None = None
    """Folder or URI under which the files appear; the campaign's own `outputs/<job>` when not given."""
    include: tuple[str, ...] = ("**",)
    """Glob patterns, relative to the working folder; each but `**` must match at least one file."""
    exclude: tuple[str, ...] = ()
    """Glob patterns of what stays behind; unchanged inputs always do when `include` is `**`."""
    keep_on_failure: tuple[str, ...] = ()
    """Glob patterns of what is kept, in the campaign's `failed/` folder, when an attempt fails."""


@dataclass(frozen=True)
class Checkpoint:
    """A folder that follows the job to its next attempt."""

    folder: str
    """Path in the working folder."""
    interval_seconds: float = 300.0
    """Time between two saves."""


@dataclass(frozen=True)
class JobSpec:
    """One job. Exactly one of `run` and `python` is given."""

    id: JobId
    """Name of the job, unique in its campaign."""
    run: str | None = None
    """Bash script, run with `set -eo pipefail`."""
    python: str | None = None
    """Python script, run with the machine's `python3`."""
    image: str | None = None
    """Container image in which the command runs."""
    inputs: tuple[Input, ...] = ()
    """What is put into the working folder first."""
    outputs: tuple[Output, ...] = ()
    """What is taken from the working folder afterwards."""
    delete_input: bool = False
    """Whether uploaded inputs of the job are deleted from the bucket once it has succeeded."""
    env: dict[str, str] = field(default_factory=dict[str, str])
    """Environment variables."""
    secrets: tuple[str, ...] = ()
    """Names of environment variables whose values come from the worker's environment and are never stored."""
    resources: Resources = field(default_factory=Resources)
    """What the job needs."""
    timeout_seconds: float | None = None
    """Longest run of one attempt; none when not given."""
    retries: int = 2
    """How many times a failed attempt is followed by another; lost workers do not count."""
    retry_on: tuple[int, ...] = ()
    """Exit codes worth another attempt; every one when empty."""
    checkpoint: Checkpoint | None = None
    """What is saved while the job runs."""
    priority: int = 0
    """Higher goes first."""
    after: tuple[str, ...] = ()
    """Ids of jobs that must have succeeded."""
    ports: tuple[int, ...] = ()
    """Ports on which the job listens."""
    labels: dict[str, str] = field(default_factory=dict[str, str])
    """What people filter by."""
    grace_seconds: float = 10.0
    """Time between TERM and KILL when the attempt is ended."""
    own_home: bool = False
    """Whether `HOME` is the folder above the working folder, which then is named after the job, as the original
    gliderport's jobs expect."""
