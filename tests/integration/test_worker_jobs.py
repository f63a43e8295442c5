"""What a worker makes of the commands that it is given; a real process from the real bundle, one folder as bucket."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import pytest

from gliderport_prefect.protocol.jobspec import JobSpec
from gliderport_prefect.protocol.outcomes import Outcome
from gliderport_prefect.protocol.resources import Resources
from tests.integration.worker_rig import NAMELESS, Rig, is_running, wait_for_file, worker_rig

rig = worker_rig


def test_a_command_that_ends_well_is_reported_with_what_it_printed(rig: Rig) -> None:
    report = rig.run_one("echo out; echo err >&2")

    assert report.outcome is Outcome.SUCCEEDED
    assert (report.exit_code, report.reason) == (0, "")
    assert (report.stdout.text, report.stderr.text) == ("out\n", "err\n")
    assert 0 < report.usage.wall_seconds < 10
    assert report.usage.cpu_seconds > 0


def test_the_hello_says_who_it_is_and_what_it_offers(rig: Rig) -> None:
    rig.start_worker("--memory", "1000", "--gpus", "2", "--gpu-type", "A100")
    session = rig.meet()

    hello = rig.records()[0].hello
    assert hello is not None
    assert session.startswith("w.")
    assert (hello.offer.cpus, hello.offer.memory_bytes, hello.offer.gpus) == (2, 1000, 2)
    assert (hello.pid, hello.replaces) == (rig.processes[0].pid, None)


def test_an_exit_code_is_a_failure_that_names_it(rig: Rig) -> None:
    report = rig.run_one("exit 3")

    assert (report.outcome, report.exit_code, report.signal) == (Outcome.FAILED, 3, None)
    assert report.reason == "exit code 3"


def test_a_signal_is_a_failure_that_names_it(rig: Rig) -> None:
    report = rig.run_one("kill -SEGV $$")

    assert (report.outcome, report.exit_code, report.signal) == (Outcome.FAILED, None, 11)
    assert "SIGSEGV" in report.reason


def test_a_command_that_does_not_exist_is_a_failure_that_says_so(rig: Rig) -> None:
    report = rig.run_one("no-such-program --help")

    assert (report.outcome, report.exit_code) == (Outcome.FAILED, 127)
    assert "command not found" in report.reason
    assert "no-such-program" in (report.stderr.text or "")


@pytest.mark.parametrize("script", ["false; echo reached", "false | true; echo reached"], ids=["-e", "pipefail"])
def test_a_script_stops_at_its_first_failure(rig: Rig, script: str) -> None:
    report = rig.run_one(script)

    assert report.outcome is Outcome.FAILED
    assert report.stdout.text is None


def test_a_python_script_runs_with_the_machines_python(rig: Rig) -> None:
    report = rig.run_one(None, JobSpec(NAMELESS, python="import os\nprint(os.environ['GLIDERPORT_JOB_ID'], 6 * 7)"))

    assert report.stdout.text == "job-0 42\n"


def test_the_environment_tells_the_job_what_it_is_and_has(rig: Rig) -> None:
    spec = JobSpec(NAMELESS, env={"MINE": "x y"}, resources=Resources(cpus=2, memory_bytes=2**28))
    names = "CAMPAIGN JOB_ID ATTEMPT CPUS MEMORY_BYTES GPUS WORKER"

    show = f'for n in {names}; do v=GLIDERPORT_$n; echo "$n=${{!v}}"; done'

    report = rig.run_one(f'{show}; echo "$MINE|$OMP_NUM_THREADS|$CUDA_VISIBLE_DEVICES"', spec)

    assert (report.stdout.text or "").splitlines() == [
        "CAMPAIGN=test",
        "JOB_ID=job-0",
        "ATTEMPT=1",
        "CPUS=2",
        "MEMORY_BYTES=268435456",
        "GPUS=",
        "WORKER=w",
        "x y|2|",
    ]


def test_each_attempt_finds_an_empty_private_folder(rig: Rig) -> None:
    look = "pwd; ls -A . $TMPDIR | wc -l; stat -c %a .; touch left $TMPDIR/left"

    first, second = rig.run(rig.make(look), rig.make(look))

    folders = [(report.stdout.text or "").splitlines() for report in (first, second)]
    assert folders[0][0] != folders[1][0]
    assert folders[0][1:] == folders[1][1:]
    assert folders[0][2] == "700"


def test_a_job_of_the_original_layout_finds_its_folder_below_home(rig: Rig) -> None:
    report = rig.run_one(
        'cd "$HOME/job-0" && pwd -P && cd "$HOME/sky_workdir" && pwd -P', JobSpec(NAMELESS, own_home=True)
    )

    first, second = (report.stdout.text or "").splitlines()
    assert first == second
    assert first.endswith("/job-0")


def test_gpus_are_given_to_one_job_each(rig: Rig) -> None:
    spec = JobSpec(NAMELESS, resources=Resources(gpus=1))
    # Each waits for the other, so that both run at the same time.
    both = f"-e {rig.folder}/job-0 -a -e {rig.folder}/job-1"
    meet = f"touch {rig.folder}/$GLIDERPORT_JOB_ID; until [ {both} ]; do sleep 0.05; done"
    rig.start_worker("--gpus", "2")
    jobs = [rig.make(f"{meet}; echo $CUDA_VISIBLE_DEVICES", spec) for _ in range(2)]

    rig.say(rig.meet(), assign=jobs)

    assert {rig.report_of(each).stdout.text for each in jobs} == {"0\n", "1\n"}


def test_jobs_run_side_by_side_as_far_as_the_cpus_reach(rig: Rig) -> None:
    enter = f"mkdir -p {rig.folder}/in; touch {rig.folder}/in/$GLIDERPORT_JOB_ID; sleep 0.3; ls {rig.folder}/in | wc -l"
    jobs = [rig.make(f"{enter}; rm {rig.folder}/in/$GLIDERPORT_JOB_ID") for _ in range(4)]

    reports = rig.run(*jobs)

    seen = [int(report.stdout.text or 0) for report in reports]
    assert max(seen) == 2


def test_a_time_out_ends_the_whole_tree_also_what_left_the_session(rig: Rig) -> None:
    pids = rig.folder / "pids"
    daemon = f"(setsid bash -c 'setsid sleep 300 & echo $! >> {pids}' &)"

    script = f"sleep 300 & {daemon}; setsid sleep 300 & echo $! >> {pids}; wait"
    report = rig.run_one(script, JobSpec(NAMELESS, timeout_seconds=1, grace_seconds=1))

    assert report.outcome is Outcome.TIMED_OUT
    assert "time-out of 1 s" in report.reason
    started = [int(line) for line in pids.read_text("utf-8").split()]
    assert len(started) == 2
    assert not any(is_running(pid) for pid in started)


def test_a_job_that_ignores_term_is_killed_after_its_grace_time(rig: Rig) -> None:
    report = rig.run_one(
        "trap 'echo told' TERM; while true; do sleep 0.1 || true; done",
        JobSpec(NAMELESS, timeout_seconds=0.3, grace_seconds=0.5),
    )

    assert (report.outcome, report.signal) == (Outcome.TIMED_OUT, 9)
    assert "told" in (report.stdout.text or "")
    assert report.usage.wall_seconds >= 0.8


def test_what_a_job_leaves_running_ends_with_it(rig: Rig) -> None:
    report = rig.run_one(f"setsid sleep 300 & echo $! > {rig.folder}/pid; disown")

    assert report.outcome is Outcome.SUCCEEDED
    assert not is_running(int(wait_for_file(rig.folder / "pid")))


def test_a_job_above_its_memory_is_ended(rig: Rig) -> None:
    eat = f"{sys.executable} -c 'x = b\"x\" * 200_000_000; import time; time.sleep(60)'"

    report = rig.run_one(eat, JobSpec(NAMELESS, resources=Resources(memory_bytes=100 * 2**20)))

    assert report.outcome is Outcome.OUT_OF_MEMORY
    assert "it may use 100 MiB" in report.reason
    assert (report.usage.peak_memory_bytes or 0) > 100 * 2**20


def test_the_peak_memory_is_the_jobs_and_never_the_workers(rig: Rig) -> None:
    small = rig.make("true")
    large = rig.make(f"{sys.executable} -c 'x = b\"x\" * 300_000_000'")

    reports = rig.run(small, large)

    assert reports[0].usage.peak_memory_bytes is None
    assert (reports[1].usage.peak_memory_bytes or 0) > 300_000_000


def test_long_binary_output_arrives_whole_in_parts(rig: Rig) -> None:
    size = 20_000_000
    job = rig.make(f"head -c {size} /dev/urandom | tee {rig.folder}/copy")

    (report,) = rig.run(job)

    assert report.stdout.size_bytes == size
    assert (report.stdout.parts, report.stdout.text) == (3, None)
    assert len(report.stdout.tail or "") > 100
    assert rig.printed(job) == (rig.folder / "copy").read_bytes()


def test_short_binary_output_is_in_the_report(rig: Rig) -> None:
    report = rig.run_one(r"printf '\xff\xfe\x00'")

    assert base64.b64decode(report.stdout.base64 or "") == b"\xff\xfe\x00"


def test_what_a_running_job_prints_can_be_read_meanwhile(rig: Rig) -> None:
    rig.start_worker()
    job = rig.make("echo early; sleep 60")
    rig.say(rig.meet(), assign=[job])

    rig.wait_printed(job, b"early\n")

    assert job.spec.id not in rig.reports()


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (JobSpec(NAMELESS, image="ubuntu"), "does not run containers"),
        (JobSpec(NAMELESS, secrets=("NO_SUCH_TOKEN",)), "no value for NO_SUCH_TOKEN"),
        (JobSpec(NAMELESS, resources=Resources(gpus=1)), "1 GPUs of 0"),
        (JobSpec(NAMELESS, resources=Resources(cpus=64)), "64 cpus, of which it has 2"),
    ],
    ids=["image", "secret", "gpu", "cpus"],
)
def test_a_spec_that_cannot_run_here_is_rejected_with_the_reason(rig: Rig, spec: JobSpec, reason: str) -> None:
    report = rig.run_one("true", spec)

    assert report.outcome is Outcome.REJECTED
    assert reason in report.reason


def test_a_secret_comes_from_the_workers_environment(rig: Rig) -> None:
    rig.start_worker(TOKEN="s3cret")
    job = rig.make('[ "${#TOKEN}" = 6 ]', JobSpec(NAMELESS, secrets=("TOKEN",)))
    rig.say(rig.meet(), assign=[job])

    assert rig.report_of(job).outcome is Outcome.SUCCEEDED
    assert not any(b"s3cret" in path.read_bytes() for path in Path(rig.bucket).rglob("*") if path.is_file())


def test_a_full_disk_fails_the_job_and_not_the_worker(rig: Rig) -> None:
    # A file system of its own would need root; a limit on the size of files ends in the same place.
    full, after = rig.make("ulimit -f 1; head -c 1000000 /dev/zero > big"), rig.make("echo fine")

    reports = rig.run(full, after)

    assert reports[0].outcome is Outcome.FAILED
    assert reports[1].stdout.text == "fine\n"


def test_a_script_longer_than_an_argument_may_be_runs(rig: Rig) -> None:
    report = rig.run_one(f"x={'y' * 200_000}\necho ${{#x}}")

    assert report.stdout.text == "200000\n"
