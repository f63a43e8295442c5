"""What the reading commands show, as text and as JSON, from the bucket alone."""

from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path

import pytest

from gliderport_prefect.board.rows import COLUMNS
from gliderport_prefect.cli.entry import run_command
from gliderport_prefect.protocol.outcomes import Outcome
from gliderport_prefect.protocol.records import StreamLog
from tests.simulated import report_of
from tests.unit.board.stage import Stage, fails, many, publishes
from tests.unit.cli.conftest import Command


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    """Make a bucket with a finished campaign: three good jobs and one that failed."""
    jobs = [*many(3, labels={"kind": "good"}), {"id": "bad", "run": "false", "retries": 1}]
    stage = Stage(tmp_path / "bucket", jobs)
    stage.add_worker(lambda each: fails(each, stderr="\x1b[31mlost\n") if each.spec.id == "bad" else publishes(each))
    stage.play()
    return stage.folder


def test_status_shows_counts_and_what_failed_with_its_last_words(gliderport: Command, bucket: Path) -> None:
    said = gliderport("status", "demo", "--bucket", bucket)
    assert said.code == 0
    assert "4: 3 succeeded, 1 failed" in said.stdout
    assert "bad: FAILED after 2 attempts on worker-0001: exit code 1\n    \\x1b[31mlost\n" in said.stdout


def test_status_as_json_has_counts_launcher_and_failures(gliderport: Command, bucket: Path) -> None:
    document = json.loads(gliderport("status", "demo", "--bucket", bucket, "--json").stdout)
    assert document["jobs"]["SUCCEEDED"] == 3
    assert document["total"] == 4
    assert document["failures"][0]["id"] == "bad"
    assert document["launcher"]["pid"] > 0
    assert {"campaign", "created_at", "origin", "site", "finished", "workers", "requests_waiting"} <= set(document)


def test_status_watched_in_a_pipe_ends_with_the_campaign(gliderport: Command, bucket: Path) -> None:
    said = gliderport("status", "-w", "demo", "--bucket", bucket)
    assert "demo: 4 of 4 ended (100%)" in said.stderr
    assert "3 succeeded, 1 failed" in said.stdout


def test_jobs_are_a_table_that_keeps_its_columns(gliderport: Command, bucket: Path) -> None:
    lines = gliderport("jobs", "demo", "--bucket", bucket).stdout.splitlines()
    assert lines[0].split()[:3] == ["JOB", "STATE", "TRIES"]
    assert [line.split()[:3] for line in lines[1:]] == [
        ["job-0", "SUCCEEDED", "1"],
        ["job-1", "SUCCEEDED", "1"],
        ["job-2", "SUCCEEDED", "1"],
        ["bad", "FAILED", "2"],
    ]
    assert len({line.index(word) for line in lines for word in ("STATE", "SUCCEEDED", "FAILED") if word in line}) <= 2


def test_jobs_are_filtered_by_state_label_and_pattern(gliderport: Command, bucket: Path) -> None:
    def listed(*options: str) -> list[str]:
        document = json.loads(gliderport("jobs", "demo", *options, "--bucket", bucket, "--json").stdout)
        return [row["id"] for row in document["jobs"]]

    assert listed("--state", "failed") == ["bad"]
    assert listed("--label", "kind=good") == ["job-0", "job-1", "job-2"]
    assert listed("job-[01]", "bad") == ["job-0", "job-1", "bad"]
    assert listed("--label", "kind=none") == []


def test_rows_of_jobs_in_json_are_those_of_the_results_table(gliderport: Command, bucket: Path) -> None:
    document = json.loads(gliderport("jobs", "demo", "--bucket", bucket, "--json").stdout)
    assert list(document["jobs"][0]) == list(COLUMNS)


def test_workers_are_listed(gliderport: Command, bucket: Path) -> None:
    assert "worker-0001  idle" in gliderport("workers", "demo", "--bucket", bucket).stdout
    (row,) = json.loads(gliderport("workers", "demo", "--bucket", bucket, "--json").stdout)["workers"]
    assert (row["worker"], row["state"], row["cpus"]) == ("worker-0001", "idle", 1)


def test_campaigns_of_a_bucket_are_listed_the_newest_first(gliderport: Command, bucket: Path) -> None:
    Stage(bucket, many(1), campaign="newer", at=9)
    found = json.loads(gliderport("list", "--bucket", bucket, "--json").stdout)["campaigns"]
    assert [each["campaign"] for each in found] == ["newer", "demo"]


def test_the_newest_campaign_is_meant_when_none_is_named_and_said_so(gliderport: Command, bucket: Path) -> None:
    Stage(bucket, many(7), campaign="newer", at=9)
    said = gliderport("status", "--bucket", bucket)
    assert "campaign:  newer" in said.stdout
    assert "newer (the newest of 2)" in said.stderr


def test_the_bucket_comes_from_the_environment(
    gliderport: Command, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLIDERPORT_BUCKET", str(bucket))
    assert "3 succeeded" in gliderport("status", "demo").stdout


def test_without_a_bucket_a_folder_of_the_user_is_used(gliderport: Command, home: Path) -> None:
    Stage(home / "data" / "gliderport", many(2))
    assert "2: 2 queued" in gliderport("status").stdout


def test_collect_writes_the_tables_where_it_is_told(gliderport: Command, bucket: Path, tmp_path: Path) -> None:
    said = gliderport("collect", "demo", "--bucket", bucket, "--results", tmp_path / "out")
    assert said.code == 0
    assert f"results: {tmp_path}/out/results.jsonl" in said.stdout
    assert len((tmp_path / "out" / "results.jsonl").read_text().splitlines()) == 4


def test_logs_put_output_on_stdout_and_errors_on_stderr(gliderport: Command, tmp_path: Path) -> None:
    stage = Stage(tmp_path / "bucket", many(1))
    out, err = StreamLog(size_bytes=4, text="out\n"), StreamLog(size_bytes=4, text="err\n")
    stage.add_worker(lambda each: dataclasses.replace(report_of(each, Outcome.SUCCEEDED), stdout=out, stderr=err))
    stage.play()
    said = gliderport("logs", "job-0", "--bucket", stage.folder)
    assert (said.stdout, said.stderr) == ("out\n", "err\n")
    assert gliderport("logs", "job-0", "--stderr", "--bucket", stage.folder).stdout == "err\n"
    assert gliderport("logs", "job-0", "--stdout", "--bucket", stage.folder).stderr == ""


def test_logs_are_not_touched_on_their_way(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    garbage = bytes(range(256)) + b"\r\n\x1b[31m"
    stage = Stage(tmp_path / "bucket", many(1))
    log = StreamLog(size_bytes=len(garbage), base64=base64.b64encode(garbage).decode())
    stage.add_worker(lambda each: dataclasses.replace(report_of(each, Outcome.SUCCEEDED), stdout=log))
    stage.play()
    assert run_command(["logs", "job-0", "--bucket", str(stage.folder)]) == 0
    assert capfdbinary.readouterr().out == garbage


def test_logs_of_a_job_that_has_not_run_say_so(gliderport: Command, tmp_path: Path) -> None:
    stage = Stage(tmp_path / "bucket", many(1))
    said = gliderport("logs", "job-0", "--bucket", stage.folder)
    assert (said.code, said.stdout) == (0, "")
    assert "job-0 has not run yet; it is QUEUED" in said.stderr


def test_a_long_listing_is_whole(gliderport: Command, tmp_path: Path) -> None:
    stage = Stage(tmp_path / "bucket", many(1200))
    document = json.loads(gliderport("jobs", "demo", "--bucket", stage.folder, "--json").stdout)
    assert [row["id"] for row in document["jobs"]] == [f"job-{n}" for n in range(1200)]
    assert len(gliderport("jobs", "demo", "--bucket", stage.folder).stdout.splitlines()) == 1201
