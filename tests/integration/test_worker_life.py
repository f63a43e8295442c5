"""How a worker takes orders, survives and leaves; a real process from the real bundle, one folder as bucket."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest

from gliderport_prefect.protocol.codec import encode
from gliderport_prefect.protocol.jobspec import JobSpec
from gliderport_prefect.protocol.outcomes import Outcome
from gliderport_prefect.protocol.resources import Resources
from tests.integration.worker_rig import (
    NAMELESS,
    QUICK,
    Rig,
    is_running,
    new_rig,
    ref_of,
    wait_for_exit,
    wait_for_file,
    worker_rig,
)
from tests.waiting import wait_until
from vm_worker.exits import Exit

rig = worker_rig
WHOLE = JobSpec(NAMELESS, resources=Resources(cpus=2))


def until_gate(rig: Rig) -> str:
    """Return a command that ends when the gate is opened."""
    return f"until test -e {rig.folder}/gate; do sleep 0.05; done"


def open_gate(rig: Rig) -> None:
    (rig.folder / "gate").touch()


def test_a_recalled_job_is_handed_back_unless_it_has_started(rig: Rig) -> None:
    rig.start_worker()
    session = rig.meet()
    running, waiting = rig.make(until_gate(rig), WHOLE), rig.make("echo never", WHOLE)
    rig.say(session, assign=[running, waiting])
    rig.wait_started(running)

    rig.say(session, recall=[running, waiting])

    wait_until(lambda: rig.returned() == [ref_of(waiting)], "the waiting job is handed back")
    open_gate(rig)
    assert rig.report_of(running).outcome is Outcome.SUCCEEDED
    assert waiting.spec.id not in rig.reports()


def test_a_cancelled_job_is_ended_whether_it_runs_or_waits(rig: Rig) -> None:
    rig.start_worker()
    session = rig.meet()
    running, waiting = rig.make(f"echo $$ > {rig.folder}/pid; sleep 300", WHOLE), rig.make("echo never", WHOLE)
    rig.say(session, assign=[running, waiting])
    pid = int(wait_for_file(rig.folder / "pid"))

    rig.say(session, cancel=[running, waiting])

    assert [rig.report_of(each).outcome for each in (running, waiting)] == [Outcome.CANCELLED] * 2
    assert not is_running(pid)


def test_a_drained_worker_hands_back_finishes_and_leaves(rig: Rig) -> None:
    process = rig.start_worker()
    session = rig.meet()
    running, waiting = rig.make(until_gate(rig), WHOLE), rig.make("echo never", WHOLE)
    rig.say(session, assign=[running, waiting])
    rig.wait_started(running)

    rig.say(session, drain=True)

    wait_until(lambda: rig.returned() == [ref_of(waiting)], "the waiting job is handed back")
    open_gate(rig)
    assert wait_for_exit(process) == Exit.FINISHED
    assert rig.report_of(running).outcome is Outcome.SUCCEEDED
    assert rig.returned() == [ref_of(waiting)]
    assert rig.records()[-1].goodbye == "the launcher asked it to leave"


def test_a_worker_that_is_declared_dead_ends_everything_and_says_nothing(rig: Rig) -> None:
    process = rig.start_worker()
    session = rig.meet()
    running = rig.make(f"echo $$ > {rig.folder}/pid; sleep 300")
    rig.say(session, assign=[running])
    rig.wait_started(running)
    said = len(rig.records())

    rig.say(session, dead=True)

    assert wait_for_exit(process) == Exit.FINISHED
    assert not is_running(int(wait_for_file(rig.folder / "pid")))
    assert len(rig.records()) == said


def test_records_of_a_launcher_that_is_over_are_ignored(rig: Rig) -> None:
    rig.start_worker()
    session = rig.meet()
    rig.epoch = 2
    first = rig.make("true", attempt="1.2")
    rig.say(session, assign=[first])
    rig.report_of(first)

    rig.epoch = 1
    stale = rig.make("true", attempt="1.1")
    rig.say(session, assign=[stale])
    rig.epoch = 2
    last = rig.make("true", attempt="1.2")
    rig.say(session, assign=[last])
    rig.report_of(last)

    assert stale.spec.id not in rig.reports()
    assert rig.records()[-1].read == 3


def test_higher_priority_goes_first(rig: Rig) -> None:
    rig.start_worker()
    note = f"echo $GLIDERPORT_JOB_ID >> {rig.folder}/order"
    blocker, low = rig.make("sleep 0.5", WHOLE), rig.make(note, WHOLE)
    high = rig.make(note, replace(WHOLE, priority=5))

    rig.say(rig.meet(), assign=[blocker, low, high])

    rig.report_of(low)
    assert (rig.folder / "order").read_text("utf-8").split() == [high.spec.id, low.spec.id]


def test_sigterm_hands_back_ends_jobs_with_their_grace_and_says_goodbye(rig: Rig) -> None:
    process = rig.start_worker()
    session = rig.meet()
    saves = f"trap 'sleep 0.3; echo saved > {rig.folder}/saved; exit 0' TERM; echo up; touch {rig.folder}/up"
    running, waiting = rig.make(f"{saves}; while :; do sleep 0.05 || :; done", WHOLE), rig.make("echo never", WHOLE)
    rig.say(session, assign=[running, waiting])
    wait_until((rig.folder / "up").exists, "the job runs")

    process.send_signal(signal.SIGTERM)

    assert wait_for_exit(process) == Exit.PREEMPTED
    report = rig.report_of(running)
    assert (report.outcome, report.stdout.text) == (Outcome.PREEMPTED, "up\n")
    assert (rig.folder / "saved").read_text("utf-8") == "saved\n"
    assert rig.returned() == [ref_of(waiting)]
    assert rig.records()[-1].goodbye == "told to by SIGTERM"


def test_a_second_sigterm_does_not_wait_for_the_grace_time(rig: Rig) -> None:
    process = rig.start_worker()
    stubborn = rig.make(f"trap '' TERM; touch {rig.folder}/up; sleep 300", JobSpec(NAMELESS, grace_seconds=200))
    rig.say(rig.meet(), assign=[stubborn])
    wait_until((rig.folder / "up").exists, "the job runs")

    process.send_signal(signal.SIGTERM)
    wait_until(lambda: any(each.draining for each in rig.records()) or "DRAINING" in rig.log(), "the worker drains")
    process.send_signal(signal.SIGTERM)

    assert wait_for_exit(process) == Exit.PREEMPTED
    assert rig.reports()[stubborn.spec.id].outcome is Outcome.PREEMPTED


def test_an_idle_worker_leaves_and_its_scratch_goes(tmp_path_factory: pytest.TempPathFactory) -> None:
    with new_rig(tmp_path_factory.mktemp("rig"), replace(QUICK, idle_seconds=2.0)) as rig:
        process = rig.start_worker()
        job = rig.make("echo x > file")
        rig.say(rig.meet(), assign=[job])

        assert wait_for_exit(process) == Exit.FINISHED
        assert rig.reports()[job.spec.id].outcome is Outcome.SUCCEEDED
        assert rig.records()[-1].goodbye == "no job for 2 s"
        assert list(rig.scratch.iterdir()) == []


def test_at_the_end_of_its_life_a_worker_ends_what_runs(tmp_path_factory: pytest.TempPathFactory) -> None:
    with new_rig(tmp_path_factory.mktemp("rig"), replace(QUICK, max_life_seconds=2.0, grace_seconds=1.0)) as rig:
        process = rig.start_worker()
        session = rig.meet()
        job, late = rig.make("sleep 300", WHOLE), rig.make("true", WHOLE)
        rig.say(session, assign=[job, late])

        assert wait_for_exit(process) == Exit.FINISHED
        assert rig.reports()[job.spec.id].outcome is Outcome.PREEMPTED
        assert rig.returned() == [ref_of(late)]


def test_a_silent_worker_gives_a_sign_of_life(tmp_path_factory: pytest.TempPathFactory) -> None:
    with new_rig(tmp_path_factory.mktemp("rig"), replace(QUICK, heartbeat_seconds=0.3)) as rig:
        rig.start_worker()
        rig.meet()

        wait_until(lambda: len(rig.records()) >= 4, "three heartbeats came")


@pytest.mark.parametrize("said", ["option", "variable", "nothing"])
def test_a_worker_says_whether_its_machine_may_be_taken_back(rig: Rig, said: str) -> None:
    arguments = ["--preemptible"] if said == "option" else []
    rig.start_worker(*arguments, **({"GLIDERPORT_PREEMPTIBLE": "1"} if said == "variable" else {}))
    rig.meet()
    hello = rig.records()[0].hello
    assert hello is not None
    assert hello.offer.preemptible == (said != "nothing")


def test_a_restarted_worker_names_the_session_that_it_replaces_and_clears_up_after_it(rig: Rig) -> None:
    process = rig.start_worker()
    first = rig.meet()
    rig.say(first, assign=[rig.make(f"echo $$ > {rig.folder}/pid; sleep 300")])
    pid = int(wait_for_file(rig.folder / "pid"))
    process.kill()
    wait_for_exit(process)

    rig.start_worker()
    second = rig.meet(count=2)

    (hello,) = [each.hello for each in rig.records() if each.session == second and each.hello]
    assert hello.replaces == first
    wait_until(lambda: not is_running(pid), "what the dead worker left running is ended")
    wait_until(lambda: [each.name for each in rig.scratch.iterdir()] == [second], "its scratch folder is removed")


def test_results_outlive_an_outage_of_the_bucket(rig: Rig) -> None:
    rig.start_worker()
    job = rig.make(f"touch {rig.folder}/up; sleep 0.5; echo done")
    rig.say(rig.meet(), assign=[job])
    wait_until((rig.folder / "up").exists, "the job runs")

    with rig.outage():
        wait_until(lambda: "STORE_TROUBLE" in rig.log(), "the worker notices")

    assert rig.report_of(job).stdout.text == "done\n"


def test_a_bucket_that_stays_away_ends_the_worker(tmp_path_factory: pytest.TempPathFactory) -> None:
    policy = replace(QUICK, store_patience_seconds=1.0, heartbeat_seconds=0.2)
    with new_rig(tmp_path_factory.mktemp("rig"), policy) as rig:
        process = rig.start_worker()
        job = rig.make(f"echo $$ > {rig.folder}/pid; sleep 300")
        rig.say(rig.meet(), assign=[job])
        pid = int(wait_for_file(rig.folder / "pid"))

        with rig.outage():
            assert wait_for_exit(process) == Exit.STORE_LOST

        assert not is_running(pid)


def test_an_unknown_campaign_is_a_mistake_that_is_named_without_a_traceback(rig: Rig) -> None:
    process = rig.start_worker("--campaign", "other")

    assert wait_for_exit(process) == Exit.MISTAKE
    assert "there is no campaign other" in rig.log()
    assert "Traceback" not in rig.log()


def test_another_protocol_is_a_mistake_that_is_named(rig: Rig) -> None:
    (rig.bucket / rig.keys.identity).write_bytes(encode(replace(rig.campaign(), protocol=99)))

    assert wait_for_exit(rig.start_worker()) == Exit.MISTAKE
    assert "speaks protocol 99" in rig.log()


def test_a_bucket_that_does_not_exist_is_a_mistake_that_is_named(rig: Rig) -> None:
    process = rig.start_worker("--bucket", str(rig.folder / "nowhere"))

    assert wait_for_exit(process) == Exit.MISTAKE
    assert "nowhere" in rig.log()
