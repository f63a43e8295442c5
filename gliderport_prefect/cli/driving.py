"""Drive a campaign from a terminal: progress on standard error, Ctrl-C, and the last word on standard output."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

import click

from gliderport_prefect.board.money import say_cost
from gliderport_prefect.board.progress import Standing
from gliderport_prefect.board.view import look
from gliderport_prefect.board.wording import say_counts, say_place
from gliderport_prefect.cli.exits import Exit, exit_of_jobs
from gliderport_prefect.cli.failures import write_failures
from gliderport_prefect.cli.log_lines import show_log
from gliderport_prefect.cli.opening import say_command
from gliderport_prefect.cli.showing import open_progress
from gliderport_prefect.cli.tables import write_json
from gliderport_prefect.lifecycle.collect import Collected, collect
from gliderport_prefect.lifecycle.plan import Plan, open_runtime
from gliderport_prefect.lifecycle.run import Stages, drive_campaign
from gliderport_prefect.lifecycle.teardown import teardown
from gliderport_prefect.protocol.outcomes import JobState

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path
    from types import FrameType

    from gliderport_prefect.board.progress import ProgressView
    from gliderport_prefect.lifecycle.driving import Progress
    from gliderport_prefect.lifecycle.order import Order

_FAILURES_SHOWN = 3


class Terminated(KeyboardInterrupt):
    """Somebody asked the process to end, by SIGTERM."""


@dataclass
class Drive:
    """A campaign that this process drives, and what a person is told of it."""

    as_json: bool = False
    """Whether the last word is a JSON document."""
    results: Path | None = None
    """Folder of this machine that gets the results tables, in place of saying where the bucket has them."""
    plan: Plan | None = None
    """The campaign, once it is known."""
    _standing: Standing | None = None
    _view: ProgressView | None = field(default=None, repr=False)

    def run(self, drive: Callable[[Drive], Collected]) -> Exit:
        """Let the campaign be driven, tell how it went, and return what to exit with."""
        try:
            with _sigterm_interrupts(), show_log(self._say):
                collected = drive(self)
        except KeyboardInterrupt as interrupt:
            self._close_view()
            self._say_interrupted()
            return Exit.TERMINATED if isinstance(interrupt, Terminated) else Exit.INTERRUPTED
        finally:
            self._close_view()
        return self._tell(collected)

    def resume(self, plan: Plan) -> Exit:
        """Drive a campaign that is in the bucket to its end."""
        self.plan = plan
        return self.run(lambda _: drive_campaign(plan, watch=self.watch, stages=self.stages()))

    def stages(self, prepare: Callable[[Order], Plan] | None = None) -> Stages:
        """Return the stages, each telling what a person should know of it."""
        told = Stages(collect=self._collect, teardown=self._teardown)
        return told if prepare is None else Stages(prepare=prepare, collect=self._collect, teardown=self._teardown)

    def watch(self, progress: Progress) -> None:
        """Take in where the campaign stands."""
        self._standing = Standing(progress.jobs, progress.workers, progress.note, progress.cost)
        if self._view is None:
            self._view = open_progress(sys.stderr, "" if self.plan is None else self.plan.campaign)
            self._view.__enter__()
        self._view.show(self._standing)

    def _say(self, line: str) -> None:
        if self._view is None:
            click.echo(line, err=True)
        else:
            self._view.say(line)

    def _collect(self, plan: Plan) -> Collected:
        self._close_view()
        return collect(plan, self.results)

    def _teardown(self, plan: Plan) -> int:
        self._close_view()
        if self._standing is None or self._standing.ended < self._standing.total:
            click.echo(f"{plan.campaign}: stopping its workers …", err=True)
        return teardown(plan)

    def _close_view(self) -> None:
        if self._view is not None:
            self._view.__exit__(None, None, None)
            self._view = None

    def _say_interrupted(self) -> None:
        if self.plan is None:
            click.echo("interrupted before anything was started", err=True)
            return
        standing = self._standing
        if standing is None:
            click.echo(f"campaign {self.plan.campaign} is interrupted before a job ran; call the same again", err=True)
            return
        done = f"{standing.ended:,} of {standing.total:,} jobs ended"
        go_on = say_command("resume", self.plan.campaign, bucket=self.plan.bucket)
        click.echo(f"campaign {self.plan.campaign} is interrupted: {done}; go on with `{go_on}`", err=True)

    def _tell(self, collected: Collected) -> Exit:
        counts = {JobState(state): count for state, count in collected.counts.items()}
        code = exit_of_jobs(counts)
        if self.as_json:
            write_json(
                {
                    "campaign": collected.campaign,
                    "jobs": collected.counts,
                    "total": sum(counts.values()),
                    "results": collected.results,
                    "exit_code": int(code),
                }
            )
            return code
        click.echo(f"campaign {collected.campaign}: {say_counts(counts)}")
        if self._standing is not None and not self._standing.cost.is_free:
            click.echo(f"cost so far: {say_cost(self._standing.cost)}")
        for place in collected.results:
            click.echo(f"results: {say_place(place)}")
        if code is Exit.JOBS_FAILED and self.plan is not None:
            _tell_failures(self.plan)
        return code


def _tell_failures(plan: Plan) -> None:
    runtime = open_runtime(plan)
    write_failures(runtime, look(runtime), most=_FAILURES_SHOWN)
    read = say_command("logs", f"{plan.campaign} JOB", bucket=plan.bucket)
    again = say_command("retry", plan.campaign, bucket=plan.bucket)
    click.echo(f"\nall that a job printed: {read}\nonce mended: {again}")


@contextmanager
def _sigterm_interrupts() -> Generator[None]:
    """Let SIGTERM end the process as politely as Ctrl-C does."""

    def interrupt(signal_number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - Python's signature
        raise Terminated

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
