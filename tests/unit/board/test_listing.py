"""Listings find the jobs that somebody means and say what is known of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from gliderport_prefect.board.listing import last_lines, list_failures, list_jobs
from gliderport_prefect.board.names import Selection, find_job
from gliderport_prefect.board.summary import summarize
from gliderport_prefect.board.view import look, look_again
from gliderport_prefect.board.workers import list_workers
from gliderport_prefect.campaign.identity import list_campaigns
from gliderport_prefect.campaign.requests import append_request
from gliderport_prefect.errors import UserError
from gliderport_prefect.protocol.ids import CampaignId
from gliderport_prefect.protocol.keys import index_key
from gliderport_prefect.protocol.outcomes import JobState
from gliderport_prefect.protocol.records import RequestKind, StreamLog
from tests.unit.board.stage import Stage, fails, many, publishes


@pytest.fixture
def mixed(tmp_path: Path) -> Stage:
    """Make a finished campaign with three good jobs and two that failed."""
    jobs = [*many(3, labels={"kind": "good"}), *({"id": f"bad-{n}", "run": "false", "retries": 0} for n in (1, 2))]
    stage = Stage(tmp_path, jobs)
    stage.add_worker(lambda each: fails(each) if each.spec.id.startswith("bad") else publishes(each))
    stage.play()
    return stage


def ids(stage: Stage, selection: Selection) -> list[str]:
    """Return the ids of the jobs that are meant."""
    return [row.id for row in list_jobs(stage.runtime, look(stage.runtime), selection=selection)]


def test_all_jobs_are_listed_in_order_of_submission(mixed: Stage) -> None:
    assert ids(mixed, Selection()) == ["job-0", "job-1", "job-2", "bad-1", "bad-2"]


def test_jobs_are_chosen_by_state(mixed: Stage) -> None:
    assert ids(mixed, Selection(states=frozenset({JobState.FAILED}))) == ["bad-1", "bad-2"]


def test_jobs_are_chosen_by_label(mixed: Stage) -> None:
    assert ids(mixed, Selection(labels={"kind": "good"})) == ["job-0", "job-1", "job-2"]
    assert ids(mixed, Selection(labels={"kind": "other"})) == []


def test_jobs_are_chosen_by_id_and_by_pattern(mixed: Stage) -> None:
    assert ids(mixed, Selection(ids=("job-1", "*-2"))) == ["job-1", "job-2", "bad-2"]


def test_all_parts_of_a_selection_must_hold(mixed: Stage) -> None:
    assert ids(mixed, Selection(ids=("*-2",), states=frozenset({JobState.SUCCEEDED}))) == ["job-2"]


def test_an_unknown_id_is_an_error_with_the_nearest_one(mixed: Stage) -> None:
    with pytest.raises(UserError, match=r"no job 'jb-1'\s+did you mean 'job-1'"):
        ids(mixed, Selection(ids=("jb-1",)))


def test_a_job_is_not_found_by_what_only_its_command_says(tmp_path: Path) -> None:
    stage = Stage(tmp_path, [{"id": "a", "run": 'echo \'"id":"b"\''}, {"id": "b", "run": "true"}])
    assert find_job(stage.runtime, "b").number == 1


def test_failures_come_with_the_last_lines_of_their_errors(mixed: Stage) -> None:
    failures = list(list_failures(mixed.runtime, look(mixed.runtime)))
    assert [(each.id, each.exit_code, each.last_lines) for each in failures] == [
        ("bad-1", 1, "no such file"),
        ("bad-2", 1, "no such file"),
    ]


def test_no_more_failures_are_listed_than_wanted(mixed: Stage) -> None:
    assert len(list(list_failures(mixed.runtime, look(mixed.runtime), most=1))) == 1


def test_last_lines_come_from_wherever_the_report_has_them() -> None:
    assert last_lines(StreamLog(text="a\nb\nc\n"), 2) == "b\nc"
    assert last_lines(StreamLog(base64="/2EK")) == "�a"
    assert last_lines(StreamLog(parts=3, tail="x\ny\n")) == "x\ny"
    assert last_lines(StreamLog()) == ""


def test_a_reader_tells_what_waits_from_what_lies_in_an_inbox_and_what_runs(tmp_path: Path) -> None:
    stage = Stage(tmp_path, many(12))
    worker = stage.add_worker(lambda _: None)
    launcher = stage.drive()
    launcher.settle({})
    launcher.hand_out()
    given = launcher.state.jobs.counts()[JobState.ASSIGNED]
    assert 0 < given < 12
    state = look(stage.runtime)
    counts = state.jobs.counts()
    assert (counts[JobState.ASSIGNED], counts[JobState.QUEUED]) == (given, 12 - given)
    worker.turn()
    launcher.settle({})
    look_again(stage.runtime, state)
    assert state.jobs.counts()[JobState.RUNNING] == launcher.state.jobs.counts()[JobState.RUNNING] > 0


def test_an_attempt_that_is_over_is_not_held_any_more(tmp_path: Path) -> None:
    stage = Stage(tmp_path, many(1, retries=3))
    stage.add_worker(fails)
    stage.turn()
    assert look(stage.runtime).jobs.state(0) is JobState.QUEUED


def test_workers_are_listed_with_what_they_have(mixed: Stage) -> None:
    (row,) = list_workers(look(mixed.runtime), now=0)
    assert (row.worker, row.state, row.cpus, row.running, row.queued) == ("worker-0001", "idle", 1, 0, 0)


def test_a_worker_that_is_gone_is_listed_on_request_with_the_reason(mixed: Stage) -> None:
    assert mixed.launcher is not None
    mixed.launcher.settle({mixed.workers[0].session: "was unplugged"})
    state = look(mixed.runtime)
    assert list_workers(state, now=0) == []
    (row,) = list_workers(state, now=0, with_gone=True)
    assert (row.state, row.reason) == ("gone", "was unplugged")


def test_the_summary_counts_jobs_workers_and_requests(mixed: Stage) -> None:
    append_request(mixed.runtime, RequestKind.RETRY)
    summary = summarize(mixed.runtime, look(mixed.runtime))
    assert (summary.total, summary.jobs["SUCCEEDED"], summary.jobs["FAILED"]) == (5, 3, 2)
    assert {name: count for name, count in summary.workers.items() if count} == {"idle": 1}
    assert summary.requests_waiting == 1
    assert summary.launcher is not None
    assert summary.origin == "a test"


def test_the_campaign_begun_last_comes_first(tmp_path: Path) -> None:
    stages = [Stage(tmp_path, many(1), campaign=name, at=at) for at, name in enumerate(("old", "new", "newest"))]
    assert [each.campaign for each in list_campaigns(stages[0].runtime.store)] == ["newest", "new", "old"]


def test_a_campaign_that_never_got_its_identity_is_not_listed(tmp_path: Path) -> None:
    stage = Stage(tmp_path, many(1))
    stage.runtime.store.create(index_key(CampaignId("half")), b"{}")
    assert [each.campaign for each in list_campaigns(stage.runtime.store)] == ["demo"]


def test_rows_are_the_same_whether_made_one_by_one_or_all_together(mixed: Stage) -> None:
    state = look(mixed.runtime)
    together = list(list_jobs(mixed.runtime, state))
    singly = [next(list_jobs(mixed.runtime, state, selection=Selection(ids=(row.id,)))) for row in together]
    assert [dataclasses.asdict(row) for row in singly] == [dataclasses.asdict(row) for row in together]
