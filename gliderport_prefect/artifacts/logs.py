"""Our log lines in the log of the flow run, without a setting that somebody must make.

`PREFECT_LOGGING_EXTRA_LOGGERS` would do the same, but it has to be set where the Prefect worker runs, and it loses the
lines of threads, which have no run context.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prefect.context import TaskRunContext
from prefect.exceptions import FailedRun
from prefect.logging.handlers import APILogHandler

from gliderport_prefect.errors import GliderportError

if TYPE_CHECKING:
    from collections.abc import Generator

_OURS = "gliderport_prefect"
_RUNS, _TASK_RUNS = "prefect.flow_runs", "prefect.task_runs"


@contextmanager
def show_logs(flow_run_id: str) -> Generator[None]:
    """Send our log lines to the flow run while the context is open, and our errors without their traceback."""
    ours, tasks = logging.getLogger(_OURS), logging.getLogger(_TASK_RUNS)
    handler, level = _make_handler(flow_run_id), ours.level
    # Somebody who names us in PREFECT_LOGGING_EXTRA_LOGGERS sees every line once, too.
    known = any(isinstance(each, APILogHandler) for each in ours.handlers)
    if not known:
        ours.addHandler(handler)
    ours.setLevel(level or logging.getLogger(_RUNS).getEffectiveLevel())
    tasks.addFilter(_tell_plainly)
    # Stays: Prefect writes the line that it leaves out after the flow has returned.
    logging.getLogger(_RUNS).addFilter(_leave_out_failed_run)
    try:
        yield
    finally:
        tasks.removeFilter(_tell_plainly)
        ours.setLevel(level)
        ours.removeHandler(handler)


def _make_handler(flow_run_id: str) -> APILogHandler:
    def name_run(record: logging.LogRecord) -> bool:
        context = TaskRunContext.get()
        record.__dict__.update(flow_run_id=flow_run_id, task_run_id=context and str(context.task_run.id))
        return True

    handler = APILogHandler()
    handler.addFilter(name_run)
    return handler


def _tell_plainly(record: logging.LogRecord) -> bool:
    """Put the message of an error of ours, which explains it in full, in place of Prefect's line with a traceback."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, GliderportError):
        record.msg, record.args, record.exc_info = "%s", (str(error),), None
    return True


def _leave_out_failed_run(record: logging.LogRecord) -> bool:
    """Leave out the traceback of Prefect's own code that follows a flow's return of a failed state."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, FailedRun)
