"""Shells that wait for their job's turn: they run nothing before, and nothing at all when the job goes elsewhere."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from gliderport_prefect.protocol.outcomes import Outcome
from gliderport_prefect.protocol.records import Assignment
from tests.integration.worker_rig import Rig, ref_of, worker_rig
from tests.waiting import wait_until

rig = worker_rig


def shells_of(rig: Rig, assignment: Assignment) -> list[int]:
    """Return the processes of this test's jobs whose environment names the job."""
    wanted = f"\0GLIDERPORT_JOB_ID={assignment.spec.id}\0".encode()
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        try:
            variables = b"\0" + (folder / "environ").read_bytes()
        except OSError:
            continue
        if wanted in variables and str(rig.scratch).encode() in variables:
            found.append(int(folder.name))
    return found


def start_with_a_shell_that_waits(rig: Rig) -> tuple[Assignment, Assignment, Path]:
    """Start a worker of one cpu; return the job that runs, the one whose shell waits, and the file that it makes."""
    ran = rig.folder / "ran"
    short, long, waiting = rig.make("true"), rig.make("sleep 600"), rig.make(f"touch {ran}")
    rig.start_worker("--cpus", "1")
    rig.say(rig.meet(), assign=[short, long, waiting])
    rig.wait_started(long)
    wait_until(lambda: shells_of(rig, waiting), "the shell of the job that comes next has been started")
    return long, waiting, ran


def test_short_jobs_in_a_row_have_each_their_own_output_folder_and_environment(rig: Rig) -> None:
    jobs = [rig.make('echo "$GLIDERPORT_JOB_ID $PWD"; test ! -e /proc/$$/fd/3; ls -A') for _ in range(30)]

    reports = rig.run(*jobs)

    assert {each.outcome for each in reports} == {Outcome.SUCCEEDED}
    printed = [each.stdout.text or "" for each in reports]
    assert [text.split()[0] for text in printed] == [job.spec.id for job in jobs]
    assert len({text.split()[1] for text in printed}) == len(jobs)


def test_a_job_that_is_recalled_does_not_run_though_its_shell_waits(rig: Rig) -> None:
    long, waiting, ran = start_with_a_shell_that_waits(rig)

    rig.say(rig.sessions()[0], recall=[waiting])

    wait_until(lambda: ref_of(waiting) in rig.returned(), "the job is handed back")
    wait_until(lambda: not shells_of(rig, waiting), "its shell has ended")
    rig.say(rig.sessions()[0], cancel=[long])
    assert rig.report_of(long).outcome is Outcome.CANCELLED
    assert not ran.exists()


def test_a_shell_that_waits_runs_its_job_when_the_turn_comes(rig: Rig) -> None:
    long, waiting, ran = start_with_a_shell_that_waits(rig)
    (shell,) = shells_of(rig, waiting)

    rig.say(rig.sessions()[0], cancel=[long])

    report = rig.report_of(waiting)
    assert report.outcome is Outcome.SUCCEEDED
    assert report.usage.wall_seconds < 5
    assert ran.exists()
    assert not Path(f"/proc/{shell}").exists()


def test_a_shell_that_waits_ends_with_a_worker_that_is_killed(rig: Rig) -> None:
    long, waiting, ran = start_with_a_shell_that_waits(rig)

    os.kill(rig.processes[0].pid, signal.SIGKILL)

    wait_until(lambda: not shells_of(rig, waiting), "its shell has ended")
    assert not ran.exists()
    # What ran is left for the next worker of this machine to end; there is none.
    for left in shells_of(rig, long):
        os.kill(left, signal.SIGKILL)
