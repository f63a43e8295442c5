"""Cancel and retry ask whoever drives a campaign; when nobody does, they act themselves."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gliderport_prefect.board.view import look
from gliderport_prefect.campaign.replay import read_log
from gliderport_prefect.cli.exits import Exit
from gliderport_prefect.protocol.outcomes import JobState
from gliderport_prefect.protocol.records import Request, RequestKind, Span, timestamp
from tests.simulated import succeed
from tests.unit.board.stage import Stage, fails, many
from tests.unit.cli.conftest import Command, Said
from tests.waiting import wait_until


def abandon(stage: Stage) -> None:
    """Let the campaign's last launcher be a process of this machine that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    stage.claim(ended.pid)


def requests(stage: Stage) -> list[Request]:
    """Return what was asked for."""
    return [request for _, request in read_log(stage.runtime, Request, log=stage.runtime.keys.requests, start=1)]


def count(stage: Stage, state: JobState) -> int:
    """Return how many jobs are in the state."""
    return look(stage.runtime).jobs.counts()[state]


@pytest.fixture
def waiting(tmp_path: Path) -> Stage:
    """Make a campaign of four jobs that nobody drives."""
    stage = Stage(tmp_path / "bucket", [*many(3, labels={"kind": "a"}), {"id": "other", "run": "true"}])
    abandon(stage)
    return stage


def test_a_campaign_that_nobody_drives_is_cancelled_to_its_end(gliderport: Command, waiting: Stage) -> None:
    said = gliderport("cancel", "demo", "--bucket", waiting.folder)
    assert said.code == 0, said.stderr
    assert "4 cancelled" in said.stdout
    assert look(waiting.runtime).finished
    assert requests(waiting)[0].jobs == ()


def test_some_jobs_are_cancelled_without_running_the_others(gliderport: Command, waiting: Stage) -> None:
    said = gliderport("cancel", "demo", "job-[01]", "--bucket", waiting.folder)
    assert said.code == 0, said.stderr
    assert "2 others are left" in said.stdout
    assert f"gliderport resume demo --bucket {waiting.runtime.store.url}" in said.stdout
    assert (count(waiting, JobState.CANCELLED), count(waiting, JobState.QUEUED)) == (2, 2)


def test_jobs_to_cancel_are_chosen_by_label(gliderport: Command, waiting: Stage) -> None:
    gliderport("cancel", "demo", "--label", "kind=a", "--no-drive", "--bucket", waiting.folder)
    (request,) = requests(waiting)
    assert (request.kind, request.jobs) == (RequestKind.CANCEL, (Span(0, 2),))  # pyright: ignore[reportArgumentType]


def test_a_request_can_be_left_to_whoever_comes_next(gliderport: Command, waiting: Stage) -> None:
    said = gliderport("cancel", "demo", "--no-drive", "--bucket", waiting.folder)
    assert said.code == 0
    assert "`gliderport resume demo" in said.stdout
    assert count(waiting, JobState.QUEUED) == 4
    assert (
        "requests:  1 that no launcher has acted on" in gliderport("status", "demo", "--bucket", waiting.folder).stdout
    )


def test_nothing_is_asked_for_when_all_jobs_have_ended(gliderport: Command, waiting: Stage) -> None:
    waiting.add_worker()
    waiting.play()
    said = gliderport("cancel", "demo", "--bucket", waiting.folder)
    assert (said.code, "nothing to cancel" in said.stdout) == (0, True)
    assert requests(waiting) == []


@pytest.fixture
def failed(tmp_path: Path) -> Stage:
    """Make a campaign of which two jobs failed, one succeeded and one was cancelled."""
    jobs = [{"id": name, "run": "x", "retries": 0} for name in ("good", "bad-1", "bad-2")]
    stage = Stage(tmp_path / "bucket", jobs)
    stage.add_worker(lambda each: fails(each) if each.spec.id.startswith("bad") else succeed(each))
    stage.play()
    abandon(stage)
    return stage


def test_only_what_failed_is_asked_for_again(gliderport: Command, failed: Stage) -> None:
    said = gliderport("retry", "demo", "--no-drive", "--bucket", failed.folder)
    assert said.code == 0, said.stderr
    assert "2 jobs are to run again" in said.stderr
    (request,) = requests(failed)
    assert (request.kind, request.jobs) == (RequestKind.RETRY, (Span(1, 2),))  # pyright: ignore[reportArgumentType]


def test_a_named_job_alone_is_asked_for_again(gliderport: Command, failed: Stage) -> None:
    gliderport("retry", "demo", "bad-2", "--no-drive", "--bucket", failed.folder)
    assert requests(failed)[0].jobs == (Span(2, 2),)  # pyright: ignore[reportArgumentType]


def test_a_job_that_succeeded_is_not_run_again(gliderport: Command, failed: Stage) -> None:
    said = gliderport("retry", "demo", "good", "--bucket", failed.folder)
    assert (said.code, "job 'good' is SUCCEEDED" in said.stderr) == (Exit.MISTAKE, True)


def test_there_may_be_nothing_to_retry(gliderport: Command, waiting: Stage) -> None:
    said = gliderport("retry", "demo", "--bucket", waiting.folder)
    assert (said.code, "nothing to retry" in said.stdout) == (0, True)


def test_a_launcher_that_drives_answers_the_request(gliderport: Command, tmp_path: Path) -> None:
    stage = Stage(tmp_path / "bucket", many(3))
    launcher = stage.drive()
    answers: list[Said] = []
    asking = threading.Thread(target=lambda: answers.append(gliderport("cancel", "demo", "--bucket", stage.folder)))
    asking.start()
    wait_until(launcher.follow_requests, "the request has come")
    asking.join()
    assert answers[0].code == 0
    assert "cancelled 3 jobs" in answers[0].stdout
    assert count(stage, JobState.CANCELLED) == 3


def test_a_second_launcher_on_this_machine_is_refused(gliderport: Command, waiting: Stage) -> None:
    waiting.claim(os.getppid())
    for arguments in (["resume", "demo"], ["teardown", "demo"]):
        said = gliderport(*arguments, "--bucket", waiting.folder)
        assert said.code == Exit.MISTAKE
        assert f"driven by process {os.getppid()} of this machine" in said.stderr


def test_a_process_that_got_the_number_of_a_dead_launcher_is_not_it(gliderport: Command, waiting: Stage) -> None:
    waiting.claim(os.getppid(), claimed_at=timestamp(0))
    assert gliderport("teardown", "demo", "--bucket", waiting.folder).code == 0


def test_status_says_when_the_launcher_is_gone(gliderport: Command, waiting: Stage) -> None:
    said = gliderport("status", "demo", "--bucket", waiting.folder).stdout
    assert "is gone; `gliderport resume demo` goes on" in said


def test_a_launcher_of_another_machine_is_not_judged(gliderport: Command, waiting: Stage) -> None:
    waiting.claim(1, host="elsewhere")
    said = gliderport("status", "demo", "--bucket", waiting.folder).stdout
    assert "process 1 on elsewhere" in said
    assert "gone" not in said
