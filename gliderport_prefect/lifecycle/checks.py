"""What can be known to be wrong with a job before anything is uploaded or started."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from operator import attrgetter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from gliderport_prefect.board.wording import say_resources
from gliderport_prefect.errors import UserError, UserErrors
from gliderport_prefect.lifecycle.inputs import LocalInput, find_local
from gliderport_prefect.presets.paths import is_local
from gliderport_prefect.protocol.ids import JobId
from gliderport_prefect.protocol.jobspec import Checkpoint, Input, JobSpec
from gliderport_prefect.protocol.resources import Offer, Resources

if TYPE_CHECKING:
    from gliderport_prefect.presets.submission import LocatedJob, Submission

MOST_SHOWN = 20
"""Most problems that are reported at once."""
_FIRST_JOBS = 5
_REMEMBERED_INPUTS = 10_000
_NOT_YET = ("image", "after", "ports")
_SPECIAL = attrgetter("inputs", "secrets", "checkpoint", *_NOT_YET)
_SHORTEST_INTERVAL_SECONDS = 1.0
_GIB = 2**30


@dataclass(frozen=True)
class Circumstances:
    """Where the jobs are to run."""

    environ: Mapping[str, str]
    """Environment from which secrets come."""
    offer: Offer | None = None
    """What a worker has; any when not known."""


@dataclass
class Summary:
    """What a submission holds."""

    jobs: int = 0
    """How many jobs."""
    first: list[JobSpec] = field(default_factory=list[JobSpec])
    """The first of them."""
    needs: dict[Resources, int] = field(default_factory=dict[Resources, int])
    """How many jobs need which resources."""
    timeouts: dict[Resources, float] = field(default_factory=dict[Resources, float])
    """The `timeout` of all jobs of a need together, in seconds."""
    jobs_without_timeout: int = 0
    """How many jobs have no `timeout`."""
    secrets: set[str] = field(default_factory=set[str])
    """Names of the variables that the jobs' `secrets` are."""
    local_inputs: int = 0
    """How many files and folders of this machine they name, one that several jobs name counted each time."""


def check_submission(submission: Submission, circumstances: Circumstances) -> Summary:
    """Look at every job and return what they are.

    Raises:
        UserError: Something is wrong with one job.
        UserErrors: Something is wrong with several jobs.
    """
    summary = Summary()
    problems = _Problems()
    check = _Checker(circumstances, summary)
    ids: set[JobId] = set()
    for found in submission.scan():
        if isinstance(found, UserError):
            problems.add(found)
            continue
        if found.spec.id in ids:
            problems.add_duplicate(found)
        ids.add(found.spec.id)
        for problem in check.problems(found.spec):
            problems.add(found.place.locate(problem))
    problems.raise_any(submission)
    if not summary.jobs:
        raise UserError(f"there is no job in {submission.origin}")
    return summary


@dataclass
class _Problems:
    """The first problems, and the number of all."""

    first: list[UserError] = field(default_factory=list[UserError])
    count: int = 0
    duplicates: dict[JobId, UserError] = field(default_factory=dict[JobId, UserError])

    def add(self, problem: UserError) -> None:
        self.count += 1
        if len(self.first) < MOST_SHOWN:
            self.first.append(problem)

    def add_duplicate(self, job: LocatedJob) -> None:
        problem = job.place.locate(UserError(f"a job with the id {job.spec.id!r} is there already", key="id"))
        if len(self.first) < MOST_SHOWN:
            self.duplicates.setdefault(job.spec.id, problem)
        self.add(problem)

    def raise_any(self, submission: Submission) -> None:
        """Raise what was found; where the first of two jobs with one id is, a second walk says."""
        if not self.count:
            return
        for found in submission.scan() if self.duplicates else ():
            if not isinstance(found, UserError) and found.spec.id in self.duplicates:
                self.duplicates.pop(found.spec.id).hint = f"the other one: {found.place}"
        if self.count == 1:
            raise self.first[0]
        raise UserErrors(self.first, self.count - len(self.first))


class _Checker:
    """Finds what is wrong with one job after the other; most of a million jobs differ in their command alone."""

    def __init__(self, circumstances: Circumstances, summary: Summary) -> None:
        self._circumstances = circumstances
        self._summary = summary
        self._find: Callable[[Input], tuple[LocalInput, ...]] = lru_cache(maxsize=_REMEMBERED_INPUTS)(find_local)
        self._needs: Resources | None = None
        self._fits = True

    def problems(self, spec: JobSpec) -> list[UserError]:
        """Return what is wrong with the job, and count it in."""
        summary = self._summary
        summary.jobs += 1
        if summary.jobs <= _FIRST_JOBS:
            summary.first.append(spec)
        if spec.resources is not self._needs:
            self._needs, self._fits = spec.resources, self._can_run(spec.resources)
        summary.needs[spec.resources] = summary.needs.get(spec.resources, 0) + 1
        if spec.timeout_seconds is None:
            summary.jobs_without_timeout += 1
        else:
            summary.timeouts[spec.resources] = summary.timeouts.get(spec.resources, 0.0) + spec.timeout_seconds
        is_plain = self._fits and not any(_SPECIAL(spec))
        return [] if is_plain else list(self._look_closely(spec))

    def _can_run(self, needs: Resources) -> bool:
        return self._circumstances.offer is None or self._circumstances.offer.fits(needs)

    def _look_closely(self, spec: JobSpec) -> Iterator[UserError]:
        for name in _NOT_YET:
            if getattr(spec, name):
                yield UserError(f"`{name}` is not supported yet by this version", key=name, hint="remove it")
        yield from self._secrets(spec)
        if not self._fits and self._circumstances.offer is not None:
            yield UserError(
                f"no worker can run the job: it needs {say_resources(spec.resources)}",
                key="resources",
                hint=f"a worker has {say_resources(self._circumstances.offer)}",
            )
        yield from self._inputs(spec)
        if spec.checkpoint is not None:
            yield from self._checkpoint(spec, spec.checkpoint)

    def _checkpoint(self, spec: JobSpec, checkpoint: Checkpoint) -> Iterator[UserError]:
        if checkpoint.interval_seconds < _SHORTEST_INTERVAL_SECONDS:
            yield UserError(
                f"{checkpoint.interval_seconds:g} s is too short an interval between two saves",
                key="checkpoint.interval",
                hint=f"the shortest is {_SHORTEST_INTERVAL_SECONDS:g} s",
            )
        folder = PurePosixPath(checkpoint.folder)
        for at, given in enumerate(spec.inputs):
            targets = {PurePosixPath(name) for name in self._file_targets(given)}
            if targets & {folder, *folder.parents}:
                message = (
                    f"the checkpoint folder {checkpoint.folder!r} is or goes through inputs[{at}], which is a file"
                )
                yield UserError(message, key="checkpoint.folder", hint="name another folder")

    def _file_targets(self, given: Input) -> Iterator[str]:
        """Yield where the input puts files by itself; what is in folders is not looked at."""
        if not is_local(given.source):
            if not given.source.endswith("/"):
                yield given.target or given.source.rpartition("/")[2]
            return
        with suppress(UserError):
            yield from (each.target for each in self._find(given) if not each.is_folder)

    def _secrets(self, spec: JobSpec) -> Iterator[UserError]:
        self._summary.secrets.update(spec.secrets)
        for at, name in enumerate(spec.secrets):
            if name not in self._circumstances.environ:
                yield UserError(
                    f"the secret {name!r} is not in the environment",
                    key=f"secrets[{at}]",
                    hint=f"set it where you start the campaign: export {name}=…",
                )

    def _inputs(self, spec: JobSpec) -> Iterator[UserError]:
        targets: dict[str, int] = {}
        for at, given in enumerate(spec.inputs):
            try:
                names = [each.target for each in self._locals(given)]
            except UserError as error:
                yield UserError(error.message, key=f"inputs[{at}]", hint=error.hint)
                continue
            for name in names:
                if name in targets:
                    message = f"the target {name!r} is the one of inputs[{targets[name]}] too"
                    yield UserError(message, key=f"inputs[{at}]", hint="give one of them a `target`")
                targets[name] = at

    def _locals(self, given: Input) -> tuple[LocalInput, ...]:
        if not is_local(given.source):
            return ()
        found = self._find(given)
        self._summary.local_inputs += len(found)
        return found
