"""A mistake ends in one message that says what to do, the documented exit code, and no traceback."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from gliderport_prefect.cli import campaigns
from gliderport_prefect.cli.exits import Exit
from tests.unit.board.stage import Stage, many
from tests.unit.cli.conftest import Command


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    """Make a bucket with a campaign that nobody drives."""
    return Stage(tmp_path / "bucket", many(2)).folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["jbos"], "there is no command 'jbos'; did you mean `jobs`?"),
        (["status", "nosuch"], "there is no campaign 'nosuch'"),
        (["status", "no/such"], "campaign id 'no/such' is not allowed"),
        (["jobs", "demo", "jb-1"], "no job 'jb-1'\n  did you mean 'job-1'?"),
        (["jobs", "demo", "--state", "FIALED"], "did you mean `FAILED`?"),
        (["jobs", "demo", "--label", "x"], "'x' is not KEY=VALUE"),
        (["jobs", "demo", "--sate", "x"], "--state"),
        (["logs", "demo", "jobb-0"], "did you mean 'job-0'?"),
        (["logs"], "Missing argument"),
        (["logs", "a", "b", "c"], "expected [CAMPAIGN] JOB, got 3 names"),
        (["logs", "demo", "job-0", "--attempt", "0"], "--attempt"),
        (["logs", "demo", "job-0", "--attempt", "3"], "no attempt 3"),
        (["logs", "demo", "job-0", "-f", "--attempt", "1"], "--follow"),
        (["cancel"], "Missing argument"),
        (["cancel", "demo", "nojob"], "no job 'nojob'"),
        (["retry", "demo", "--state", "SUCCEEDED"], "not those in state SUCCEEDED"),
        (["retry", "demo", "job-0"], "job 'job-0' is QUEUED: only failed jobs are run again"),
        (["run"], "Missing argument"),
        (["run", "nosuch"], "there is no such folder or campaign file"),
        (["run", "--each", "nosuch.csv", "echo {x}"], "nosuch.csv"),
        (["run", "--each", "0..9", "echo {nn}"], "nn"),
        (["run", "--each", "0..x", "echo {n}"], "0..x"),
        (["run", "--each", "0..9", "--memory", "4GiX", "echo {n}"], "resources.memory"),
        (["run", "--each", "0..9", "--cpus", "x", "echo {n}"], "--cpus"),
        (["run", "--each", "0..9", "--env", "x", "echo {n}"], "'x' is not KEY=VALUE"),
        (["run", "--each", "0..9", "--worker-memory", "much", "echo {n}"], "--worker-memory"),
        (["run", "--each", "0..9", "--id", "same", "echo {n}"], "same"),
        (["run", "--each", "0..9", "--input", "missing.txt", "echo {n}"], "missing.txt"),
        (["run", "--each", "0..9", "--cpus", "4000", "echo {n}"], "4000"),
        (["validate", "--each", "0..9", "--retries", "-1", "echo {n}"], "--retries"),
    ],
)
def test_a_mistake_is_explained(gliderport: Command, bucket: Path, arguments: list[str], message: str) -> None:
    takes_bucket = arguments[0] != "jbos"
    said = gliderport(*arguments, *(["--bucket", bucket] if takes_bucket else []))
    assert message in said.stderr
    assert said.code == Exit.MISTAKE
    assert "Traceback" not in said.stderr
    assert said.stdout == ""


def test_a_mistake_in_a_run_leaves_no_campaign_behind(gliderport: Command, tmp_path: Path) -> None:
    gliderport("run", "--each", "0..9", "--input", "missing.txt", "echo {n}", "--bucket", tmp_path / "new")
    assert not list((tmp_path / "new").rglob("campaign.json"))


def test_a_bad_row_of_a_table_is_named_by_file_and_line(gliderport: Command, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3\n")
    said = gliderport("run", "--each", "t.csv", "echo {a} {b}")
    assert said.code == Exit.MISTAKE
    assert "t.csv:3" in said.stderr


def test_a_folder_that_is_not_there_is_trouble_with_the_bucket(gliderport: Command, tmp_path: Path) -> None:
    said = gliderport("status", "--bucket", tmp_path / "nosuch")
    assert (said.code, "there is no folder" in said.stderr) == (Exit.BUCKET, True)


def test_a_file_is_no_bucket(gliderport: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert gliderport("status", "--bucket", tmp_path / "file").code == Exit.BUCKET


def test_an_unknown_scheme_is_a_mistake(gliderport: Command) -> None:
    said = gliderport("status", "--bucket", "ftp://host/x")
    assert (said.code, "ftp:// is no kind of store" in said.stderr) == (Exit.MISTAKE, True)


def test_before_the_first_campaign_readers_say_how_to_begin(gliderport: Command) -> None:
    said = gliderport("status")
    assert said.code == Exit.MISTAKE
    assert "`gliderport run`" in said.stderr
    assert gliderport("list").code == 0


def test_an_empty_bucket_says_so(gliderport: Command, tmp_path: Path) -> None:
    said = gliderport("status", "--bucket", tmp_path)
    assert (said.code, "there is no campaign in" in said.stderr) == (Exit.MISTAKE, True)


def test_a_record_that_is_garbage_is_named(gliderport: Command, bucket: Path) -> None:
    (bucket / "campaigns" / "demo" / "specs" / "00000001").write_bytes(b"\xff\x00garbage")
    said = gliderport("status", "demo", "--bucket", bucket)
    assert said.code == Exit.BUCKET
    assert "campaigns/demo/specs/00000001" in said.stderr


def test_a_campaign_of_a_newer_program_is_refused(gliderport: Command, bucket: Path) -> None:
    (bucket / "campaigns" / "demo" / "campaign.json").write_text(
        '{"campaign":"demo","token":"x","created_at":"2030","protocol":99}'
    )
    said = gliderport("status", "demo", "--bucket", bucket)
    assert (said.code, "version 99" in said.stderr) == (Exit.BUCKET, True)


def test_an_internal_error_leaves_its_traceback_in_a_file(
    gliderport: Command, monkeypatch: pytest.MonkeyPatch, bucket: Path
) -> None:
    def break_down(*_: object) -> None:
        raise ZeroDivisionError("something of ours")

    monkeypatch.setattr(campaigns, "list_campaigns", break_down)
    said = gliderport("list", "--bucket", bucket)
    assert said.code == Exit.INTERNAL
    assert "internal error: ZeroDivisionError: something of ours" in said.stderr
    assert "Traceback" not in said.stderr
    path = Path(said.stderr.split()[-1])
    assert "break_down" in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    path.unlink()


def test_debug_shows_the_traceback(gliderport: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GLIDERPORT_DEBUG", "1")
    assert "Traceback" in gliderport("status", "--bucket", tmp_path).stderr


def test_a_full_disk_is_a_message(gliderport: Command, monkeypatch: pytest.MonkeyPatch, bucket: Path) -> None:
    def fill(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/x")  # noqa: S108 - a name in a message

    monkeypatch.setattr(campaigns, "list_campaigns", fill)
    said = gliderport("list", "--bucket", bucket)
    assert (said.code, "No space left on device" in said.stderr) == (Exit.STUCK, True)
