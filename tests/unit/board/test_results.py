"""The results tables have one row per job, in order of submission, and no job can do harm with them."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from gliderport_prefect.board.results import write_results
from gliderport_prefect.campaign.replay import replay
from gliderport_prefect.errors import ProtocolError
from gliderport_prefect.protocol.ids import WorkerName
from gliderport_prefect.protocol.keys import number_segment
from gliderport_prefect.protocol.machines import Machine, WorkerState
from gliderport_prefect.protocol.records import Assignment, AttemptReport, Sighting, Usage, timestamp
from tests.unit.board.stage import Stage, fails, many, publishes


def read(stage: Stage) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Write the tables and read them back."""
    write_results(stage.runtime, replay(stage.runtime))
    board = stage.folder / "campaigns" / "demo" / "board"
    lines = (board / "results.jsonl").read_text(encoding="utf-8").splitlines()
    with (board / "results.csv").open(newline="", encoding="utf-8") as file:
        return [json.loads(line) for line in lines], list(csv.DictReader(file))


def test_rows_stand_in_order_of_submission_whatever_ended_first(tmp_path: Path) -> None:
    stage = Stage(tmp_path, many(3))
    slow: list[Assignment] = []

    def run(assignment: Assignment) -> AttemptReport | None:
        if assignment.spec.id == "job-0" and not slow:
            slow.append(assignment)
            return fails(assignment)  # tried again, so that the others end first
        return publishes(assignment)

    stage.add_worker(run)
    stage.play()
    lines, table = read(stage)
    assert [row["id"] for row in lines] == [row["id"] for row in table] == ["job-0", "job-1", "job-2"]
    assert [row["attempts"] for row in lines] == [2, 1, 1]


def test_a_row_tells_of_the_newest_attempt(tmp_path: Path) -> None:
    stage = Stage(tmp_path, many(1, retries=1))
    stage.add_worker(fails)
    stage.play()
    ((row,), _) = read(stage)
    assert (row["state"], row["outcome"], row["attempts"], row["exit_code"]) == ("FAILED", "FAILED", 2, 1)
    assert row["attempt"] == "2.1"
    assert (row["worker"], row["reason"], row["stderr_bytes"]) == ("worker-0001", "exit code 1", 13)


def test_a_job_that_never_ran_has_a_row_too(tmp_path: Path) -> None:
    ((row,), (cells,)) = read(Stage(tmp_path, many(1)))
    assert (row["state"], row["attempts"], row["outcome"], row["wall_seconds"]) == ("QUEUED", 0, None, None)
    assert (cells["state"], cells["outcome"]) == ("QUEUED", "")


def test_output_locations_are_a_list_in_json_and_words_in_csv(tmp_path: Path) -> None:
    stage = Stage(tmp_path, many(1))
    stage.add_worker(publishes)
    stage.play()
    ((row,), (cells,)) = read(stage)
    assert row["outputs"] == ["s3://results/job-0/1", "s3://results/job-0/2"]
    assert cells["outputs"] == "s3://results/job-0/1 s3://results/job-0/2"


def test_every_label_is_a_column_even_if_few_jobs_have_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path, [*many(1), {"id": "last", "run": "true", "labels": {"alpha": "0.1", "kind": "a"}}])
    _, table = read(stage)
    assert [(row["label.alpha"], row["label.kind"]) for row in table] == [("", ""), ("0.1", "a")]


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)"])
def test_a_cell_that_a_spreadsheet_would_run_is_quoted(tmp_path: Path, text: str) -> None:
    _, (cells,) = read(Stage(tmp_path, many(1, labels={"x": text})))
    assert cells["label.x"] == f"'{text}"


def test_a_negative_number_stays_a_number(tmp_path: Path) -> None:
    _, (cells,) = read(Stage(tmp_path, many(1, labels={"x": "-3.5"})))
    assert cells["label.x"] == "-3.5"


def test_line_ends_and_quotes_in_labels_survive(tmp_path: Path) -> None:
    text = 'two\nlines, "quoted" and ünïcode'
    (row,), (cells,) = read(Stage(tmp_path, many(1, labels={"x": text})))
    assert row["labels"]["x"] == cells["label.x"] == text


def test_a_folder_of_this_machine_gets_the_tables_on_request(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "bucket", many(2))
    places = write_results(stage.runtime, replay(stage.runtime), folder=tmp_path / "new" / "results")
    assert places == [str(tmp_path / "new/results/results.jsonl"), str(tmp_path / "new/results/results.csv")]
    assert sorted(path.name for path in (tmp_path / "new/results").iterdir()) == ["results.csv", "results.jsonl"]
    assert stage.runtime.store.get(stage.runtime.keys.board("results.jsonl")) == Path(places[0]).read_bytes()


def test_tables_are_replaced_when_they_are_written_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path, many(2))
    read(stage)
    stage.add_worker()
    stage.play()
    lines, _ = read(stage)
    assert [row["state"] for row in lines] == ["SUCCEEDED", "SUCCEEDED"]


def test_a_job_costs_its_share_of_the_workers_over_all_its_attempts(tmp_path: Path) -> None:
    stage = Stage(tmp_path, many(2, retries=1, resources={"cpus": 0.5}))
    machine = Machine("cluster", price_per_hour=3.6)
    stage.drive().note_workers([Sighting(WorkerName("worker-0001"), WorkerState.RUNNING, timestamp(0), machine)])
    tries: list[str] = []

    def run(assignment: Assignment) -> AttemptReport:
        ended = publishes(assignment)
        if assignment.spec.id == "job-0":
            tries.append(assignment.attempt)
            ended = fails(assignment) if len(tries) == 1 else ended
        return dataclasses.replace(ended, usage=Usage(wall_seconds=60, stage_in_seconds=30, stage_out_seconds=10))

    stage.add_worker(run)
    stage.play()
    lines, table = read(stage)
    assert [(row["cost"], row["cost_wasted"]) for row in lines] == [(0.1, 0.05), (0.05, 0.0)]
    assert [row["cost"] for row in table] == ["0.1", "0.05"]


def test_the_cost_of_a_job_is_empty_when_nobody_knows_the_price(tmp_path: Path) -> None:
    stage = Stage(tmp_path, many(2))
    assert [row["cost"] for row in read(stage)[0]] == [None, None]
    stage.add_worker()
    stage.play()
    lines, table = read(stage)
    assert [(row["cost"], row["cost_wasted"]) for row in lines] == [(None, 0.0), (None, 0.0)]
    assert [row["cost"] for row in table] == ["", ""]


def test_a_ledger_record_that_was_deleted_is_named(tmp_path: Path) -> None:
    stage = Stage(tmp_path, many(1))
    stage.add_worker()
    stage.play()
    state = replay(stage.runtime)
    number = number_segment(state.jobs.last_record(0))
    stage.runtime.store.delete([f"{stage.runtime.keys.ledger}/{number}"])
    with pytest.raises(ProtocolError, match=f"ledger/{number}.*deleted"):
        write_results(stage.runtime, state)


def test_what_a_job_tells_of_itself_is_columns(tmp_path: Path) -> None:
    stage = Stage(tmp_path, many(1))
    told = {"accuracy": 0.93, "confusion": [[3, 1], [0, 4]], "name": "=x"}
    stage.add_worker(lambda each: dataclasses.replace(publishes(each), result=told))
    stage.play()
    (row,), (cells,) = read(stage)
    assert row["result"] == told
    assert (cells["result.accuracy"], cells["result.confusion"], cells["result.name"]) == (
        "0.93",
        "[[3, 1], [0, 4]]",
        "'=x",
    )
