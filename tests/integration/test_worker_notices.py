"""What a worker does when its cloud announces the end of its machine; real processes, the documented protocols."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from subprocess import Popen

import pytest

from gliderport_prefect.protocol.ids import AttemptId
from gliderport_prefect.protocol.jobspec import Checkpoint, Input, JobSpec
from gliderport_prefect.protocol.outcomes import Outcome
from gliderport_prefect.protocol.records import Assignment
from gliderport_prefect.protocol.resources import Resources
from tests.integration.worker_rig import NAMELESS, Rig, ref_of, wait_for_exit, worker_rig
from tests.metadata_faces import AwsFace, AzureFace, Face, GcpFace, Reply
from tests.metadata_server import SIGN_IN, MetadataServer, serve_metadata
from tests.waiting import wait_until
from vm_worker.exits import Exit

rig = worker_rig
WHOLE = JobSpec(NAMELESS, resources=Resources(cpus=2), grace_seconds=0.2)
# Whoever asked a proxy for the metadata service would not get anywhere.
NO_PROXY = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy"), "http://127.0.0.1:9")


def start(rig: Rig, address: str, *arguments: str, notices: str = "auto") -> Popen[bytes]:
    """Start a worker that asks the metadata service at the address."""
    variables = {"GLIDERPORT_NOTICES": notices, "GLIDERPORT_METADATA_ADDRESS": address}
    return rig.start_worker("--verbose", *arguments, **variables, **NO_PROXY)


@contextmanager
def machine(
    rig: Rig, face: Face, *arguments: str, notices: str = "auto"
) -> Generator[tuple[Popen[bytes], MetadataServer]]:
    """Run a worker on a machine whose metadata service has this face."""
    with serve_metadata(face) as server:
        yield start(rig, server.address, *arguments, notices=notices), server


def begin(rig: Rig, run: str, like: JobSpec = WHOLE) -> Assignment:
    """Give the worker a job that says when it has begun, and wait for that."""
    job = rig.make(f"{run}", like)
    rig.say(rig.meet(), assign=[job])
    wait_until((rig.folder / f"up-{job.spec.id}").exists, "the job runs")
    return job


def upon_term(rig: Rig, then: str) -> str:
    """Return a command that does something upon TERM and else runs for ever."""
    up = f"touch {rig.folder}/up-$GLIDERPORT_JOB_ID"
    return f"trap '{then}' TERM; echo up; {up}; while :; do sleep 0.05 || :; done"


def wait_noted(rig: Rig, event: str) -> None:
    wait_until(lambda: f'"event": "{event}"' in rig.log(), f"the worker notes {event}")


def goodbye(rig: Rig) -> str:
    """Wait for the session's last record and return its goodbye."""
    wait_until(lambda: any(each.goodbye for each in rig.records()), "the worker says goodbye")
    return rig.records()[-1].goodbye or ""


def aws() -> tuple[Face, Callable[[], None], str]:
    face = AwsFace()
    return face, lambda: face.announce(seconds=120), "AWS announces that this machine is taken back at "


def gcp() -> tuple[Face, Callable[[], None], str]:
    face = GcpFace()
    return face, face.announce, "Google Cloud announces that this machine is taken back within 30 s"


def azure() -> tuple[Face, Callable[[], None], str]:
    face = AzureFace()
    return face, lambda: face.announce(seconds=30), "Azure announces that this machine is taken back at "


@pytest.mark.parametrize("cloud", [aws, gcp, azure])
def test_a_notice_ends_jobs_with_the_time_that_is_left_and_hands_the_rest_back(
    rig: Rig, cloud: Callable[[], tuple[Face, Callable[[], None], str]]
) -> None:
    face, announce, reason = cloud()
    with machine(rig, face) as (process, _):
        running = begin(rig, upon_term(rig, f"sleep 1.5; echo saved > {rig.folder}/saved; echo bye; exit 0"))
        waiting = rig.make("echo never", WHOLE)
        rig.say(rig.meet(), assign=[waiting])
        wait_until(lambda: rig.records()[-1].queued == 1, "the second job waits")

        announce()

        wait_until(lambda: rig.returned() == [ref_of(waiting)], "the waiting job is handed back")
        # The job's own grace time is much shorter than what it uses.
        assert goodbye(rig).startswith(reason)
        report = rig.report_of(running)
        assert (report.outcome, report.stdout.text) == (Outcome.PREEMPTED, "up\nbye\n")
        assert report.reason.startswith(reason)
        assert (rig.folder / "saved").read_text("utf-8") == "saved\n"
        (drained, *_) = [each for each in rig.records() if each.draining]
        assert (drained.draining or "").startswith(reason)
        assert not drained.finished
        wait_noted(rig, "LINGERING")
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert wait_for_exit(process) == Exit.PREEMPTED


def test_what_a_job_saves_at_a_notice_is_where_its_next_attempt_goes_on(rig: Rig) -> None:
    face = AwsFace()
    saves = f"""
        test $GLIDERPORT_CHECKPOINT_RESTORED = 0 || {{ cat state/step; exit 0; }}
        {upon_term(rig, "sleep 1; echo 41 > state/step; exit 0")}
    """
    with machine(rig, face) as (process, _):
        job = begin(rig, saves, replace(WHOLE, checkpoint=Checkpoint("state", interval_seconds=3600)))
        face.announce(seconds=120)
        assert rig.report_of(job).outcome is Outcome.PREEMPTED
        wait_noted(rig, "LINGERING")
        process.send_signal(signal.SIGTERM)
        wait_for_exit(process)
    rig.start_worker(name="z")
    again = replace(job, attempt=AttemptId("2.1"))

    rig.say(rig.meet(count=2), assign=[again])

    wait_until(lambda: rig.report_of(again).attempt == "2.1", "the second attempt is reported")
    report = rig.report_of(again)
    assert (report.outcome, report.stdout.text) == (Outcome.SUCCEEDED, "41\n")


def test_a_job_that_comes_to_its_own_end_in_time_has_succeeded(rig: Rig) -> None:
    face = AwsFace()
    with machine(rig, face):
        up = f"touch {rig.folder}/up-$GLIDERPORT_JOB_ID"
        wait = f"until test -e {rig.folder}/gate; do sleep 0.05; done"
        job = begin(rig, f"trap '' TERM; {up}; {wait}; echo done")
        face.announce(seconds=120)
        wait_until(lambda: any(each.draining for each in rig.records()), "the worker drains")

        (rig.folder / "gate").touch()

        report = rig.report_of(job)
        assert (report.outcome, report.stdout.text) == (Outcome.SUCCEEDED, "done\n")


def test_a_job_that_does_not_heed_term_is_killed_before_the_machine_goes(rig: Rig) -> None:
    face = AwsFace()
    with machine(rig, face, "--linger", "0") as (process, _):
        job = begin(rig, upon_term(rig, "echo no"), replace(WHOLE, grace_seconds=300))
        face.announce(seconds=7)

        assert wait_for_exit(process) == Exit.PREEMPTED
        report = rig.reports()[job.spec.id]
        assert (report.outcome, report.signal, report.stdout.text) == (Outcome.PREEMPTED, 9, "up\nno\n")


def test_all_that_a_job_has_printed_is_in_the_bucket_before_the_machine_goes(rig: Rig) -> None:
    face = AwsFace()
    with machine(rig, face):
        job = begin(rig, f"head -c 9000 /dev/zero | tr '\\0' x; {upon_term(rig, 'echo bye; exit 143')}")
        face.announce(seconds=120)

        report = rig.report_of(job)

        assert (report.outcome, report.exit_code) == (Outcome.PREEMPTED, 143)
        assert rig.printed(job) == b"x" * 9000 + b"up\nbye\n"


def test_an_attempt_that_cannot_be_dealt_with_in_time_is_reported_all_the_same(rig: Rig) -> None:
    face = AwsFace()
    with serve_metadata(AwsFace()) as elsewhere, machine(rig, face, "--linger", "0") as (process, _):
        elsewhere.hangs = True
        job = rig.make("echo never", replace(WHOLE, inputs=(Input(f"{elsewhere.address}/file"),)))
        rig.say(rig.meet(), assign=[job])
        rig.wait_started(job)
        face.announce(seconds=6)

        assert wait_for_exit(process) == Exit.PREEMPTED
        report = rig.reports()[job.spec.id]
        assert report.outcome is Outcome.PREEMPTED
        assert report.reason.endswith("its files could not be dealt with in time")
        assert rig.records()[-1].goodbye


def test_a_worker_whose_machine_is_not_taken_after_all_ends_to_be_started_again(rig: Rig) -> None:
    face = AwsFace()
    face.announce(seconds=1)
    with machine(rig, face, "--linger", "0.5") as (process, _):
        assert wait_for_exit(process) == Exit.PREEMPTED
        assert goodbye(rig).startswith("AWS announces")
        assert "LINGERING" in rig.log()


def test_a_signal_after_a_notice_leaves_jobs_their_own_grace_time_and_the_process_does_not_linger(rig: Rig) -> None:
    face = AwsFace()
    with machine(rig, face) as (process, _):
        job = begin(rig, upon_term(rig, "echo no"))
        face.announce(seconds=120)
        rig.wait_started(job)
        wait_until(lambda: any(each.draining for each in rig.records()), "the worker drains")

        process.send_signal(signal.SIGTERM)

        assert wait_for_exit(process) == Exit.PREEMPTED
        assert rig.reports()[job.spec.id].outcome is Outcome.PREEMPTED
        assert "LINGERING" not in rig.log()


def test_an_expired_token_is_renewed(rig: Rig) -> None:
    face = AwsFace()
    with machine(rig, face, notices="aws") as (_, server):
        rig.meet()
        wait_until(lambda: server.asked("/latest/meta-data/spot/instance-action"), "the worker looks")
        face.tokens.clear()
        wait_until(lambda: len(server.asked("/latest/api/token")) == 2, "the worker asks for another token")

        face.announce(seconds=120)

        assert goodbye(rig).startswith("AWS announces")
        assert 401 in {status for _, _, status in server.requests}


def test_the_time_that_is_left_does_not_depend_on_the_machines_clock(rig: Rig) -> None:
    face = AwsFace()
    face.announce(seconds=3600 + 60)
    with serve_metadata(face) as server:
        server.seconds_ahead = 3600
        start(rig, server.address)

        # By this machine's clock there would be an hour, and nothing would happen yet.
        assert goodbye(rig).startswith("AWS announces")


def test_a_rebalance_recommendation_is_noted_and_work_goes_on(rig: Rig) -> None:
    face = AwsFace()
    face.recommend_rebalance()
    with machine(rig, face):
        rig.meet()
        wait_noted(rig, "NOTICE")
        job = rig.make("echo works")
        rig.say(rig.meet(), assign=[job])

        assert rig.report_of(job).outcome is Outcome.SUCCEEDED
        assert not any(each.draining for each in rig.records())


def test_azures_events_of_other_machines_and_pauses_are_no_reason_to_go_and_nothing_is_approved(rig: Rig) -> None:
    face = AzureFace(first_seconds=3)
    face.announce(seconds=30, machine="vm-8")
    face.announce(seconds=30, kind="Freeze")
    with machine(rig, face) as (_, server):
        rig.meet()
        wait_until(lambda: len(server.asked("/metadata/scheduledevents")) >= 2, "the worker looks twice")
        assert not any(each.draining for each in rig.records())

        face.announce(seconds=30)

        assert goodbye(rig).startswith("Azure announces that this machine is taken back at ")
        assert face.approvals == 0


def test_an_event_that_is_far_away_is_noted_and_work_goes_on(rig: Rig) -> None:
    face = AzureFace()
    face.announce(seconds=900, kind="Terminate")
    with machine(rig, face):
        session = rig.meet()
        wait_noted(rig, "NOTICE")
        job = rig.make("echo works")
        rig.say(session, assign=[job])
        assert rig.report_of(job).outcome is Outcome.SUCCEEDED

        face.events.clear()

        wait_until(lambda: "not taken back after all" in rig.log(), "the worker sees that the event is gone")


def test_host_maintenance_that_ends_the_machine_is_a_notice(rig: Rig) -> None:
    face = GcpFace()
    face.values["maintenance-event"] = "MIGRATE_ON_HOST_MAINTENANCE"
    with machine(rig, face) as (_, server):
        rig.meet()
        wait_until(lambda: server.asked("/computeMetadata/v1/instance/maintenance-event"), "the worker looks")
        assert not any(each.draining for each in rig.records())

        face.values["maintenance-event"] = "TERMINATE_ON_HOST_MAINTENANCE"

        assert goodbye(rig).endswith("maintenance of the host ends this machine within 1 min")


@pytest.mark.parametrize(
    ("notices", "trouble"),
    [
        *(("auto", each) for each in ("nobody listens", "hangs", "signs in", "fails", "talks nonsense")),
        *((each, "signs in") for each in ("aws", "gcp", "azure")),
    ],
)
def test_a_metadata_service_that_is_not_as_documented_does_no_harm(rig: Rig, notices: str, trouble: str) -> None:
    face = AwsFace()
    with serve_metadata(face) as server:
        server.hangs = trouble == "hangs"
        server.nonsense = {"signs in": SIGN_IN, "fails": Reply(503), "talks nonsense": Reply(0)}.get(trouble)
        process = start(rig, "http://127.0.0.1:9" if trouble == "nobody listens" else server.address, notices=notices)
        session = rig.meet()
        job = rig.make("echo works")
        rig.say(session, assign=[job])
        assert rig.report_of(job).outcome is Outcome.SUCCEEDED

        rig.say(session, drain=True)

        assert wait_for_exit(process) == Exit.FINISHED
        assert "Traceback" not in rig.log()


def test_a_metadata_service_that_is_away_for_a_while_is_asked_again(rig: Rig) -> None:
    face = GcpFace()
    with machine(rig, face, notices="gcp") as (_, server):
        server.nonsense = Reply(503)
        wait_until(lambda: [status for _, _, status in server.requests].count(503) >= 3, "it is away for three looks")

        server.nonsense = None
        face.announce()

        assert goodbye(rig).startswith("Google Cloud announces")
        assert "Google Cloud does not say whether this machine is taken back" in rig.log()


def test_where_no_cloud_answers_the_worker_asks_hardly_ever(rig: Rig) -> None:
    with serve_metadata(AwsFace()) as server:
        server.nonsense = Reply(404)
        start(rig, server.address)
        rig.meet()
        wait_noted(rig, "METADATA")

        assert '"next_seconds": 5.0' in rig.log()
        assert len(set(server.requests)) == 3


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--notices", "oracle"), "'oracle' is no source of notices"),
        (("--metadata-address", "169.254.169.254"), "'169.254.169.254' is no address of a metadata service"),
    ],
)
def test_wrong_arguments_are_named(rig: Rig, arguments: tuple[str, str], complaint: str) -> None:
    assert wait_for_exit(rig.start_worker(*arguments)) == Exit.MISTAKE
    assert complaint in rig.log()
    assert Path(rig.folder / "scratch").exists() is False
