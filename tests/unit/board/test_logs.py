"""Logs are shown byte for byte, from wherever they are, also while the job runs."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path

import pytest

from gliderport_prefect.board.logs import STREAMS, Attempt, Chunk, StreamName, find_attempt, follow, read_log
from gliderport_prefect.board.names import find_job
from gliderport_prefect.board.view import look
from gliderport_prefect.campaign.requests import append_request
from gliderport_prefect.errors import StoreKeyMissing, UserError
from gliderport_prefect.protocol.outcomes import Outcome
from gliderport_prefect.protocol.records import Assignment, AttemptReport, RequestKind, StreamLog
from tests.simulated import report_of
from tests.unit.board.stage import Stage, fails, many

_GARBAGE = bytes(range(256))


def printed(stage: Stage, *, number: int | None = None, stream: StreamName = "stdout") -> bytes:
    """Return what the only job printed."""
    job, state = find_job(stage.runtime, "job-0"), look(stage.runtime)
    attempt = find_attempt(stage.runtime, state, job=job, number=number)
    assert attempt is not None
    return b"".join(data for _, data in read_log(stage.runtime, job, attempt=attempt, streams=(stream,)))


def play_one(folder: Path, log: StreamLog) -> Stage:
    """Let the only job end with that on its standard output."""
    stage = Stage(folder, many(1))
    stage.add_worker(lambda each: dataclasses.replace(report_of(each, Outcome.SUCCEEDED), stdout=log))
    stage.play()
    return stage


def put_part(stage: Stage, part: int, data: bytes) -> None:
    """Store a part of the first attempt's output, as a worker does."""
    job, attempt = find_job(stage.runtime, "job-0"), "1.1"
    key = stage.runtime.keys.log_part(job.id, attempt, "stdout", part)  # pyright: ignore[reportArgumentType]
    assert stage.runtime.store.create(key, data) is None


def test_short_text_comes_from_the_ledger(tmp_path: Path) -> None:
    stage = play_one(tmp_path, StreamLog(size_bytes=6, text="grüß\n"))
    assert printed(stage) == "grüß\n".encode()


def test_short_garbage_comes_unharmed(tmp_path: Path) -> None:
    text = base64.b64encode(_GARBAGE).decode()
    assert printed(play_one(tmp_path, StreamLog(size_bytes=256, base64=text))) == _GARBAGE


def test_long_output_is_put_together_from_its_parts(tmp_path: Path) -> None:
    stage = play_one(tmp_path, StreamLog(size_bytes=512, parts=2, tail="…"))
    put_part(stage, 1, _GARBAGE)
    put_part(stage, 2, b"the end")
    assert printed(stage) == _GARBAGE + b"the end"


def test_a_part_that_was_deleted_is_an_error_that_names_it(tmp_path: Path) -> None:
    stage = play_one(tmp_path, StreamLog(size_bytes=512, parts=2))
    put_part(stage, 1, b"first")
    with pytest.raises(StoreKeyMissing, match=r"part 2 of 2 .* job 'job-0' .* stdout"):
        printed(stage)


def test_the_newest_attempt_is_shown_or_the_one_that_is_wanted(tmp_path: Path) -> None:
    stage = Stage(tmp_path, many(1, retries=1))
    stage.add_worker(lambda each: fails(each, stderr=f"attempt {each.attempt}\n"))
    stage.play()
    assert printed(stage, stream="stderr") == b"attempt 2.1\n"
    assert printed(stage, number=1, stream="stderr") == b"attempt 1.1\n"


def test_an_attempt_that_never_was_is_an_error_with_those_that_were(tmp_path: Path) -> None:
    stage = Stage(tmp_path, many(1, retries=1))
    stage.add_worker(fails)
    stage.play()
    with pytest.raises(UserError, match=r"no attempt 7(.|\n)*1, 2"):
        printed(stage, number=7)


def test_a_job_that_has_not_run_has_no_attempt(tmp_path: Path) -> None:
    stage = Stage(tmp_path, many(1))
    job = find_job(stage.runtime, "job-0")
    assert find_attempt(stage.runtime, look(stage.runtime), job=job) is None


def test_the_running_attempt_is_shown_as_far_as_its_parts_have_come(tmp_path: Path) -> None:
    stage = Stage(tmp_path, many(1))
    stage.add_worker(lambda _: None)
    stage.turn()
    put_part(stage, 1, b"so far")
    job = find_job(stage.runtime, "job-0")
    assert find_attempt(stage.runtime, look(stage.runtime), job=job) == Attempt("1.1", None)  # pyright: ignore[reportArgumentType]
    assert printed(stage) == b"so far"


class _Slow:
    """A job that ends when it is told to."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.assignment: Assignment | None = None
        self.worker = stage.add_worker(self.run)

    def run(self, assignment: Assignment) -> AttemptReport | None:
        self.assignment = assignment
        return None

    def end(self, log: StreamLog, outcome: Outcome = Outcome.SUCCEEDED) -> None:
        assert self.assignment is not None
        self.worker.running.clear()
        self.worker.write(finished=(dataclasses.replace(report_of(self.assignment, outcome), stdout=log),))
        assert self.stage.launcher is not None
        self.stage.launcher.settle({})


def followed(stage: Stage) -> list[Chunk]:
    """Follow the only job to the end of its attempt."""
    job = find_job(stage.runtime, "job-0")
    return list(follow(stage.runtime, look(stage.runtime), job=job, streams=STREAMS))


def test_following_shows_parts_as_they_come_and_ends_with_the_attempt(tmp_path: Path) -> None:
    stage = Stage(tmp_path, many(1))
    slow = _Slow(stage)
    stage.turn()
    put_part(stage, 1, b"one ")
    stage.while_asleep = [
        lambda: put_part(stage, 2, b"two "),
        lambda: put_part(stage, 3, b"three"),
        lambda: slow.end(StreamLog(size_bytes=13, parts=3)),
    ]
    assert followed(stage) == [("stdout", b"one "), ("stdout", b"two "), ("stdout", b"three")]


def test_what_came_as_parts_is_not_shown_again_when_the_report_carries_all(tmp_path: Path) -> None:
    stage = Stage(tmp_path, many(1))
    slow = _Slow(stage)
    stage.turn()
    put_part(stage, 1, b"begin ")
    stage.while_asleep = [lambda: slow.end(StreamLog(size_bytes=9, text="begin end"))]
    assert b"".join(data for _, data in followed(stage)) == b"begin end"


def test_following_waits_for_a_job_that_has_not_started(tmp_path: Path) -> None:
    stage = Stage(tmp_path, many(1))
    slow = _Slow(stage)
    stage.while_asleep = [stage.turn, lambda: slow.end(StreamLog(size_bytes=2, text="hi"))]
    assert b"".join(data for _, data in followed(stage)) == b"hi"


def test_following_a_job_that_has_ended_shows_all_at_once(tmp_path: Path) -> None:
    stage = play_one(tmp_path, StreamLog(size_bytes=3, text="bye"))
    assert b"".join(data for _, data in followed(stage)) == b"bye"


def test_following_stops_with_the_attempt_even_if_the_job_is_tried_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path, many(1, retries=3))
    slow = _Slow(stage)
    stage.turn()
    stage.while_asleep = [lambda: slow.end(StreamLog(size_bytes=4, text="oops"), Outcome.FAILED)]
    assert b"".join(data for _, data in followed(stage)) == b"oops"


def test_following_a_job_that_is_cancelled_before_it_ran_shows_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path, many(1))
    stage.while_asleep = [lambda: _cancel(stage)]
    assert followed(stage) == []


def _cancel(stage: Stage) -> None:
    append_request(stage.runtime, RequestKind.CANCEL)
    stage.drive().follow_requests()
