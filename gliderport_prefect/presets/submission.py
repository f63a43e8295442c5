"""What every source of jobs becomes: settings and a stream of specs that can be walked more than once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from gliderport_prefect.errors import UserError
from gliderport_prefect.presets.settings import CampaignSettings
from gliderport_prefect.protocol.jobspec import JobSpec


class Lines(Protocol):
    """Knows where the parts of a file are."""

    def line_of(self, path: str) -> int | None:
        """Return the line of the value with that key path, or None if it is not there."""
        ...

    def nearest_line(self, path: str) -> int:
        """Return the line of the value with that key path, or of the nearest around it that is there."""
        ...


class Place(NamedTuple):
    """Where a job is described."""

    file: str
    """The file, or what the table is called."""
    line: int | None = None
    """The line, when the whole job stands in one."""
    lines: Lines | None = None
    """Where the job's parts are, when they stand in lines of their own."""
    paths: tuple[str, ...] = ("",)
    """Key paths of the mappings that make up the job, the job's own first."""
    written_as: tuple[tuple[str, str], ...] = ()
    """Beginnings of our key paths, and what the file calls them."""

    def locate(self, error: UserError) -> UserError:
        """Return the error with file and line of the part that it names, unless it has a file already."""
        if error.file is not None:
            return error
        key = error.key
        for ours, theirs in self.written_as:
            key = theirs + key.removeprefix(ours) if key and key.startswith(ours) else key
        line = self.line if self.lines is None else self._find_line(self.lines, key or "")
        return UserError(error.message, file=self.file, line=line, key=key, hint=error.hint)

    def __str__(self) -> str:
        """Name file and line as editors do."""
        line = self.line if self.lines is None else self._find_line(self.lines, "")
        return self.file if line is None else f"{self.file}:{line}"

    def _find_line(self, lines: Lines, key: str) -> int:
        for path in self.paths:
            line = lines.line_of(join_keys(path, key))
            if line is not None:
                return line
        return lines.nearest_line(join_keys(self.paths[0], key))


class LocatedJob(NamedTuple):
    """A job and where it is described."""

    spec: JobSpec
    """The job."""
    place: Place
    """Where."""


Scan = Callable[[], Iterator[LocatedJob | UserError]]
"""Begins a walk over a source; a job that cannot be read is handed out as the error that says why."""


@dataclass(frozen=True)
class Submission:
    """A campaign as somebody asks for it."""

    scan: Scan
    """Begins a walk over the jobs."""
    origin: str
    """Where the jobs come from, for people."""
    settings: CampaignSettings = field(default_factory=CampaignSettings)
    """What holds for the whole campaign."""
    sky_template: dict[str, Any] = field(default_factory=dict[str, Any])
    """The SkyPilot task, without `run`, that makes a worker's machine; empty when none is given."""

    def jobs(self) -> Iterator[JobSpec]:
        """Yield the specs one by one.

        Raises:
            UserError: A job cannot be read.
        """
        for found in self.scan():
            if isinstance(found, UserError):
                raise found
            yield found.spec


def join_keys(path: str, key: str) -> str:
    """Return the key path of a part of what has that path."""
    return f"{path}.{key}" if path and key else path or key
