"""What a job saves follows it to its next attempt; real processes from the real bundle."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest

from gliderport_prefect.protocol.ids import AttemptId
from gliderport_prefect.protocol.jobspec import Checkpoint, Input, JobSpec, Output
from gliderport_prefect.protocol.outcomes import Outcome
from gliderport_prefect.protocol.records import Assignment, SavedCheckpoint
from tests.integration.worker_rig import NAMELESS, Rig, wait_for_exit, wait_for_file, worker_rig
from tests.metadata_faces import GcpFace
from tests.metadata_server import serve_metadata
from tests.waiting import wait_until
from vm_worker.checkpoint_shelf import Shelf

rig = worker_rig
SAVED = JobSpec(NAMELESS, checkpoint=Checkpoint("state", interval_seconds=0.2))
RARELY = replace(SAVED, checkpoint=Checkpoint("state", interval_seconds=3600))


def counting(rig: Rig, *, until: int) -> str:
    """Return a command that counts in its checkpoint folder, tells where it began, and waits at the given number."""
    return f"""
        cd $GLIDERPORT_CHECKPOINT
        n=$(cat count 2> /dev/null || echo 0)
        echo "restored $GLIDERPORT_CHECKPOINT_RESTORED, from $n"
        while test $n -lt {until}; do n=$((n + 1)); echo $n > count.tmp; mv count.tmp count; done
        touch {rig.folder}/counted
        until test -e {rig.folder}/gate; do sleep 0.05; done
    """


def saved(rig: Rig, job: Assignment) -> list[SavedCheckpoint]:
    """Return the job's complete checkpoints, oldest first."""
    found = Shelf(rig.store, rig.keys, job=job.spec.id).list_newest_first()
    return [each.record for each in reversed(found)]


def state(rig: Rig, job: Assignment) -> dict[str, bytes | None]:
    """Return the files of the newest checkpoint."""
    newest = saved(rig, job)[-1:]
    return {file.path: rig.store.get(file.key) for each in newest for file in each.files}


def again(job: Assignment, attempt: str = "2.1", run: str | None = None) -> Assignment:
    """Return the next attempt of the job."""
    spec = job.spec if run is None else replace(job.spec, run=run)
    return replace(job, attempt=AttemptId(attempt), spec=spec)


def test_after_a_killed_worker_the_next_goes_on_where_the_job_was_saved(rig: Rig) -> None:
    process = rig.start_worker()
    job = rig.make(counting(rig, until=50), SAVED)
    rig.say(rig.meet(), assign=[job])
    wait_until(lambda: state(rig, job) == {"count": b"50\n"}, "the count is saved")

    process.kill()
    process.wait()
    (rig.folder / "gate").touch()
    rig.start_worker(name="other")
    rig.say(rig.meet(count=2), assign=[again(job)])

    report = rig.report_of(job)
    assert report.outcome is Outcome.SUCCEEDED
    assert report.stdout.text == "restored 1, from 50\n"
    assert (report.usage.checkpoint_bytes_in, report.usage.checkpoint_bytes_out) == (3, 0)


def test_a_worker_that_comes_back_from_a_long_sleep_saves_nothing_over_the_next_attempt(rig: Rig) -> None:
    frozen = rig.start_worker()
    command = "while :; do echo $GLIDERPORT_ATTEMPT $((n++)) > state/n.tmp; mv state/n.tmp state/n; sleep 0.1; done"
    job = rig.make(command, SAVED)
    rig.say(rig.meet(), assign=[job])
    wait_until(lambda: saved(rig, job) != [], "the first attempt saves")
    frozen.send_signal(signal.SIGSTOP)
    rig.start_worker(name="other")
    rig.say(rig.meet(count=2), assign=[again(job)])
    wait_until(lambda: any(each.attempt == "2.1" for each in saved(rig, job)), "the second attempt saves")

    frozen.send_signal(signal.SIGCONT)

    wait_until(lambda: "attempt 2.1 of job-0 has saved; this is 1.1" in rig.log(), "the first worker notices")
    wait_until(lambda: [each.attempt for each in saved(rig, job)] == ["2.1", "2.1"], "two of the second are kept")
    wait_until(lambda: (state(rig, job)["n"] or b"").startswith(b"2 "), "the newest is one of the second")


def test_the_first_attempt_finds_an_empty_folder_and_is_told_so(rig: Rig) -> None:
    command = 'test "$GLIDERPORT_CHECKPOINT" = "$PWD/state"; ls -A state; echo $GLIDERPORT_CHECKPOINT_RESTORED'
    assert rig.run_one(command, SAVED).stdout.text == "0\n"


def test_what_a_job_writes_at_its_term_is_saved_before_its_worker_leaves(rig: Rig) -> None:
    process = rig.start_worker()
    command = f"trap 'echo last > state/x; exit 1' TERM; touch {rig.folder}/ready; while :; do sleep 0.05; done"
    job = rig.make(command, RARELY)
    rig.say(rig.meet(), assign=[job])
    wait_for_file(rig.folder / "ready", that=lambda _: True)

    process.send_signal(signal.SIGTERM)

    wait_for_exit(process)
    report = rig.report_of(job)
    assert report.outcome is Outcome.PREEMPTED
    assert state(rig, job) == {"x": b"last\n"}
    assert report.usage.checkpoint_bytes_out == 5


def test_after_a_notice_a_job_writes_its_state_and_it_is_saved_before_the_machine_goes(rig: Rig) -> None:
    face = GcpFace()
    upon_term = "sleep 0.5; echo last > state/x; exit 0"
    with serve_metadata(face) as server:
        rig.start_worker(GLIDERPORT_NOTICES="gcp", GLIDERPORT_METADATA_ADDRESS=server.address)
        job = rig.make(f"trap '{upon_term}' TERM; touch {rig.folder}/up; while :; do sleep 0.05; done", RARELY)
        rig.say(rig.meet(), assign=[job])
        wait_until((rig.folder / "up").exists, "the job runs")
        face.announce()
        report = rig.report_of(job)
    assert report.outcome is Outcome.PREEMPTED
    assert state(rig, job) == {"x": b"last\n"}


@pytest.mark.parametrize(
    ("end", "like", "outcome"),
    [
        ("exit 3", RARELY, Outcome.FAILED),
        ("sleep 300", replace(RARELY, timeout_seconds=0.5), Outcome.TIMED_OUT),
        ("exit 0", replace(RARELY, outputs=(Output(include=("absent",)),)), Outcome.FAILED),
    ],
)
def test_whatever_an_attempt_that_did_not_succeed_has_is_saved_for_the_next(
    rig: Rig, end: str, like: JobSpec, outcome: Outcome
) -> None:
    job = rig.make(f"echo 1 > state/x; {end}", like)
    assert rig.run(job)[0].outcome is outcome
    assert state(rig, job) == {"x": b"1\n"}


def test_a_cancelled_job_keeps_what_it_had(rig: Rig) -> None:
    rig.start_worker()
    session, job = rig.meet(), rig.make(f"echo 1 > state/x; touch {rig.folder}/ready; sleep 300", RARELY)
    rig.say(session, assign=[job])
    wait_for_file(rig.folder / "ready", that=lambda _: True)
    rig.say(session, cancel=[job])
    assert rig.report_of(job).outcome is Outcome.CANCELLED
    assert state(rig, job) == {"x": b"1\n"}


def test_what_may_have_been_cut_off_in_the_middle_is_not_saved(rig: Rig) -> None:
    job = rig.make("echo half > state/x; kill -9 $$", RARELY)
    assert rig.run(job)[0].outcome is Outcome.FAILED
    assert saved(rig, job) == []


def test_of_a_killed_job_is_saved_what_was_written_long_before(rig: Rig) -> None:
    job = rig.make("echo whole > state/x; touch -d '1 minute ago' state/x; kill -9 $$", RARELY)
    assert rig.run(job)[0].outcome is Outcome.FAILED
    assert state(rig, job) == {"x": b"whole\n"}


def test_a_job_that_has_published_leaves_no_checkpoint(rig: Rig) -> None:
    like = replace(SAVED, outputs=(Output(str(rig.folder / "out")),))
    rig.start_worker()
    job = rig.make(f"{counting(rig, until=5)}\n echo done > ../result.txt", like)
    rig.say(rig.meet(), assign=[job])
    wait_until(lambda: len(saved(rig, job)) == 1, "a checkpoint is there")

    (rig.folder / "gate").touch()

    report = rig.report_of(job)
    assert report.outcome is Outcome.SUCCEEDED
    assert rig.store.list(rig.keys.checkpoints_of(job.spec.id)) == []
    assert [path.name for path in (rig.folder / "out").iterdir()] == ["result.txt"]


def test_files_of_the_checkpoint_folder_are_outputs_when_they_are_named(rig: Rig) -> None:
    like = replace(RARELY, outputs=(Output(str(rig.folder / "out"), include=("**", "state/best")),))
    rig.run_one("echo 1 > state/best; echo 2 > state/other; echo 3 > x", like)
    found = {str(path.relative_to(rig.folder / "out")) for path in (rig.folder / "out").rglob("*") if path.is_file()}
    assert found == {"state/best", "x"}


def test_an_input_in_the_folder_gives_way_to_what_was_saved(rig: Rig) -> None:
    sha256 = rig.put_blob(b"seed\n")
    like = replace(RARELY, inputs=(Input(f"blob:{sha256}", target="state/x"),))
    job = rig.make("cat state/x; mv state/x state/y; exit 1", like)
    first = rig.run(job)[0]
    rig.say(rig.meet(), assign=[again(job, run="ls state; cat state/y")])
    wait_until(lambda: sum(len(each.finished) for each in rig.records()) == 2, "the next attempt is reported")
    second = [report for each in rig.records() for report in each.finished][-1]
    assert (first.stdout.text, second.stdout.text) == ("seed\n", "y\nseed\n")


def test_a_checkpoint_that_cannot_be_read_in_full_is_passed_over(rig: Rig) -> None:
    first = rig.make("echo 1 > state/x; exit 1", RARELY)
    rig.run(first)
    session = rig.meet()
    rig.say(session, assign=[again(first, "2.1", run="echo 2 > state/x; exit 1")])
    wait_until(lambda: len(saved(rig, first)) == 2, "the second attempt has saved")
    lost = saved(rig, first)[-1].files[0].key
    (rig.bucket / lost).write_bytes(b"3\n")
    rig.say(session, assign=[again(first, "3.1", run="cat state/x")])
    wait_until(lambda: sum(len(each.finished) for each in rig.records()) == 3, "the third attempt is reported")
    assert [report for each in rig.records() for report in each.finished][-1].stdout.text == "1\n"
    assert "is passed over" in rig.log()


def test_a_folder_that_cannot_be_made_fails_the_attempt_with_the_reason(rig: Rig) -> None:
    sha256 = rig.put_blob(b"a file")
    report = rig.run_one("true", replace(SAVED, inputs=(Input(f"blob:{sha256}", target="state"),)))
    assert report.outcome is Outcome.INPUT_MISSING
    assert report.reason.startswith("the checkpoint could not be restored")
