"""The command as people use it: a process of its own, real workers, signals and pipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from gliderport_prefect.cli.exits import Exit
from tests.s3server import S3Root
from tests.unit.board.stage import Stage, many
from tests.waiting import wait_until

_COMMAND = (sys.executable, "-c", "from gliderport_prefect.cli import main; main()")


@dataclass
class Shell:
    """A user with an own home, who types commands."""

    home: Path
    environment: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list[subprocess.Popen[str]])

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [*_COMMAND, *map(str, arguments)],
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Start a command and return at once."""
        process = subprocess.Popen(
            [*_COMMAND, *map(str, arguments)],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def counts(self, campaign: str) -> dict[str, int]:
        """Return how many jobs are in each state; empty before there is such a campaign."""
        said = self.run("status", campaign, "--json")
        return json.loads(said.stdout)["jobs"] if said.returncode == 0 else {}

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes that run for campaigns of this home."""
        return [each for each in psutil.process_iter() if self._is_own_worker(each)]

    def _is_own_worker(self, process: psutil.Process) -> bool:
        try:
            words = process.cmdline()
        except psutil.Error:
            return False
        return "--campaign" in words and str(self.home) in " ".join(words)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """Give a user; whatever was started for the test is gone after it."""
    places = {"XDG_DATA_HOME": "data", "XDG_STATE_HOME": "state"}
    environment = {**os.environ, **{name: str(tmp_path / place) for name, place in places.items()}}
    user = Shell(tmp_path, environment)
    yield user
    for process in user.started:
        process.kill()
        process.communicate()
    for worker in user.workers():
        worker.kill()


def test_a_campaign_runs_fails_is_mended_and_retried(shell: Shell) -> None:
    command = f"echo out {{n}}; test {{n}} != 2 || test -e {shell.home / 'mended'}"
    options = ("--name", "demo", "--retries", "0", "--worker-cpus", "2", "--id", "j-{n}", "--label", "number={n}")
    first = shell.run("run", "--each", "0..3", *options, command)
    assert first.returncode == Exit.JOBS_FAILED, first.stderr
    assert "3 succeeded, 1 failed" in first.stdout
    assert "demo: 4 of 4 ended (100%)" in first.stderr
    assert "gliderport retry demo" in first.stdout

    (shell.home / "mended").touch()
    second = shell.run("retry", "demo")
    assert second.returncode == 0, second.stderr
    rows = json.loads(shell.run("jobs", "demo", "--json").stdout)["jobs"]
    assert [(row["id"], row["state"], row["attempts"]) for row in rows] == [
        ("j-0", "SUCCEEDED", 1),
        ("j-1", "SUCCEEDED", 1),
        ("j-2", "SUCCEEDED", 2),
        ("j-3", "SUCCEEDED", 1),
    ]
    assert shell.run("logs", "demo", "j-3").stdout == "out 3\n"
    again = shell.run("run", "--each", "0..3", *options, "--json", command)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["jobs"]["SUCCEEDED"] == 4
    assert shell.workers() == []


@pytest.mark.parametrize(
    ("signal_number", "code"), [(signal.SIGINT, Exit.INTERRUPTED), (signal.SIGTERM, Exit.TERMINATED)]
)
def test_an_interrupted_campaign_leaves_no_worker_and_goes_on(
    shell: Shell, signal_number: signal.Signals, code: Exit
) -> None:
    gate = shell.home / "gate"
    command = f"until test -e {gate}; do sleep 0.05; done"
    run = shell.start("run", "--each", "0..1", "--name", "demo", "--workers", "1", "--worker-cpus", "2", command)
    wait_until(lambda: shell.counts("demo").get("RUNNING") == 2, "both jobs run")
    refused = shell.run("resume", "demo")
    assert (refused.returncode, f"process {run.pid}" in refused.stderr) == (Exit.MISTAKE, True)

    run.send_signal(signal_number)
    _, stderr = run.communicate(timeout=60)
    assert run.returncode == code, stderr
    assert "campaign demo is interrupted: 0 of 2 jobs ended; go on with `gliderport resume demo`" in stderr
    assert "Traceback" not in stderr
    assert shell.workers() == []

    gate.touch()
    resumed = shell.run("resume", "demo")
    assert resumed.returncode == 0, resumed.stderr
    assert "2 succeeded" in resumed.stdout


def test_a_running_job_is_followed_and_cancelled_from_another_terminal(shell: Shell) -> None:
    run = shell.start("run", "--each", "0..0", "--name", "demo", "--id", "long", "seq 3000; sleep 300")
    wait_until(lambda: shell.counts("demo").get("RUNNING") == 1, "the job runs")
    follow = shell.start("logs", "-f", "demo", "long")
    cancel = shell.run("cancel", "demo")
    assert cancel.returncode == 0, cancel.stderr
    stdout, stderr = follow.communicate(timeout=60)
    assert (follow.returncode, stderr) == (0, "")
    assert stdout == "".join(f"{number}\n" for number in range(1, 3001))
    stdout, stderr = run.communicate(timeout=60)
    assert run.returncode == Exit.CANCELLED, stderr
    assert "1 cancelled" in stdout


def test_a_reader_that_goes_away_is_no_error(shell: Shell) -> None:
    stage = Stage(shell.home / "bucket", many(20_000))
    jobs = shell.start("jobs", "--bucket", stage.folder)
    assert jobs.stdout is not None
    assert jobs.stdout.readline().startswith("JOB")
    jobs.stdout.close()
    assert jobs.stderr is not None
    assert jobs.stderr.read() == ""
    assert jobs.wait() == Exit.BROKEN_PIPE


def test_a_bucket_that_does_not_answer_is_named(shell: Shell) -> None:
    shell.environment |= {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION": "us-east-1",
    }
    said = shell.run("status", "demo", "--bucket", "s3://nowhere/x")
    assert said.returncode == Exit.BUCKET
    assert "s3://nowhere/x" in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.s3
def test_wrong_credentials_are_told_from_a_bucket_that_is_not_there(shell: Shell, s3_root: S3Root) -> None:
    options = s3_root.options
    shell.environment |= {
        "AWS_ENDPOINT_URL": s3_root.endpoint,
        "AWS_ACCESS_KEY_ID": options["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": options["secret_access_key"],
        "AWS_REGION": "us-east-1",
    }
    missing = shell.run("status", "demo", "--bucket", s3_root.url)
    assert (missing.returncode, "there is no campaign 'demo'" in missing.stderr) == (Exit.MISTAKE, True)
    shell.environment["AWS_SECRET_ACCESS_KEY"] = "not-the-secret"
    refused = shell.run("status", "demo", "--bucket", s3_root.url)
    assert refused.returncode == Exit.BUCKET
    assert s3_root.url in refused.stderr
    assert "not-the-secret" not in refused.stderr
    shell.environment["AWS_SECRET_ACCESS_KEY"] = options["secret_access_key"]
    nowhere = shell.run("run", "--each", "0..1", "true", "--bucket", "s3://no-such-bucket/x")
    assert nowhere.returncode == Exit.BUCKET
    assert "no-such-bucket" in nowhere.stderr
