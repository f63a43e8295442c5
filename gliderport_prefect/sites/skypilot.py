"""SkyPilot's API, as far as it is needed: the only module that imports `sky`, and not before it is used.

Where the API server is and who we are comes from SkyPilot's own settings and environment, for a local server and a
remote one alike; nothing is read from files of a server. Tasks are plain mappings, as in SkyPilot's YAML.
"""

from __future__ import annotations

import copy
import io
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gliderport_prefect.errors import GliderportError, UserError
from gliderport_prefect.sites.sky_errors import says_no_jobs, translate_error
from gliderport_prefect.sites.sky_jobs import FIELDS, ManagedJob, read_job
from gliderport_prefect.sites.sky_prices import strip_escapes

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

_log = logging.getLogger(__name__)


class SkyPilot:
    """SkyPilot's API server, as its settings name it. Every call takes seconds, and any thread may make it."""

    def check(self, task: Mapping[str, Any]) -> None:
        """Have SkyPilot look at a task: its keys, values, files, and whether it may be asked for.

        Raises:
            UserError: SkyPilot refuses it.
            SiteError: SkyPilot cannot be asked.
        """
        with _translated("SkyPilot refuses the sky template"):
            sky = _import_sky()
            from sky.client import sdk

            sdk.validate(_make_dag(sky, task))

    def optimize(self, task: Mapping[str, Any]) -> str:
        """Return the optimizer's table for a task.

        Raises:
            UserError: There is no such machine, or no cloud that has it is enabled.
            SiteError: SkyPilot cannot be asked.
        """
        with _translated("SkyPilot finds no machine for the sky template"):
            sky = _import_sky()
            table = io.StringIO()
            sky.stream_and_get(sky.optimize(_make_dag(sky, task)), output_stream=table)
        return table.getvalue()

    def request_launch(self, task: Mapping[str, Any]) -> str:
        """Ask for a managed job under the task's name, and return the number of the request.

        Raises:
            UserError: SkyPilot refuses the task.
            SiteError: SkyPilot cannot be asked.
        """
        with _translated(f"SkyPilot does not start {task['name']}"):
            sky = _import_sky()
            return str(sky.jobs.launch(sky.Task.from_yaml_config(copy.deepcopy(dict(task))), name=task["name"]))

    def await_launch(self, request: str, name: str) -> None:
        """Wait until the request has been dealt with, while SkyPilot's own lines go to our log.

        Raises:
            UserError: SkyPilot refuses the task.
            SiteError: SkyPilot cannot be asked.
        """
        with _translated(f"SkyPilot does not start {name}"):
            _import_sky().stream_and_get(request, output_stream=LogStream(name))

    def list_jobs(self, name_part: str, *, with_yaml: bool = False, is_own: bool = False) -> list[ManagedJob]:
        """Return the managed jobs whose names contain this.

        Args:
            name_part: Part of their names.
            with_yaml: Whether to tell their tasks, too.
            is_own: Whether to leave out those of other users.

        Raises:
            SiteError: SkyPilot cannot be asked.
        """
        with _translated("SkyPilot does not tell its managed jobs"):
            sky = _import_sky()
            fields = [*FIELDS, "user_yaml", "user_name"] if with_yaml else FIELDS
            request = sky.jobs.queue_v2(refresh=False, all_users=not is_own, name_match=name_part, fields=fields)
            try:
                records = sky.get(request)[0]
            except sky.exceptions.ClusterNotUpError as error:
                if says_no_jobs(error):
                    return []
                raise
        return [read_job(record.model_dump()) for record in records]

    def cancel(self, jobs: Sequence[int]) -> None:
        """Ask SkyPilot to end these managed jobs; ended ones are left alone.

        Raises:
            SiteError: SkyPilot cannot be asked.
        """
        if not jobs:
            return
        with _translated("SkyPilot does not cancel managed jobs"):
            sky = _import_sky()
            # Never with `all_users`: for SkyPilot that means every job of everybody, whatever numbers are given.
            sky.get(sky.jobs.cancel(job_ids=list(jobs)))

    def last_lines(self, job: int, lines: int) -> str:
        """Return the end of a managed job's log.

        Raises:
            SiteError: SkyPilot cannot be asked.
        """
        with _translated(f"SkyPilot does not show the log of managed job {job}"):
            found = io.StringIO()
            _import_sky().jobs.tail_logs(job_id=job, follow=False, tail=lines, output_stream=found)
        return strip_escapes(found.getvalue()).strip()


class LogStream(io.StringIO):
    """A stream whose lines become records of our log, one by one as they come."""

    def __init__(self, name: str) -> None:
        """Name what the lines are about."""
        super().__init__()
        self._name = name
        self._begun = ""

    def write(self, s: str, /) -> int:
        """Log every line that is complete."""
        *whole, self._begun = (self._begun + s).split("\n")
        for line in whole:
            # A line that is drawn over and over in a terminal counts as it was left.
            said = strip_escapes(line).rstrip("\r").rpartition("\r")[2].strip()
            if said:
                _log.info("%s: %s", self._name, said)
        return len(s)


def _import_sky() -> Any:  # noqa: ANN401 - sky has hardly any types
    try:
        with _root_logger_kept():
            import sky
    except ImportError as error:
        raise UserError(
            f"SkyPilot is not installed here: {error}", key="site", hint="pip install 'skypilot>=0.14,<0.15'"
        ) from error
    return sky


@contextmanager
def _root_logger_kept() -> Generator[None]:
    """Undo what the first import of sky does to the root logger: every record of everybody would go to stderr."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def _make_dag(sky: Any, task: Mapping[str, Any]) -> Any:  # noqa: ANN401
    # SkyPilot changes the mapping that it is given.
    made = sky.Task.from_yaml_config(copy.deepcopy(dict(task)))
    dag = sky.Dag()
    dag.add(made)
    dag.name = made.name
    return dag


@contextmanager
def _translated(doing: str) -> Generator[None]:
    try:
        yield
    except GliderportError:
        raise
    # Whatever SkyPilot or what it stands on raises; it ends the process in places where it should raise.
    except (Exception, SystemExit) as error:
        raise translate_error(error, doing) from error
