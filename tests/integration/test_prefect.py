"""The shell around the stages: deployed to a real Prefect server and run by a real Prefect worker."""

from __future__ import annotations

import re
import urllib.error
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.prefect_rig import DEPLOYMENT, FlowRun, Prefect, await_answer, prefect_server, prefect_worker
from tests.waiting import wait_until

# Starting a server takes ten seconds of computing; the machine may be busy with the other half of the tests.
pytestmark = [pytest.mark.prefect, pytest.mark.timeout(300)]

STAGES = ["prepare", "upload", "launch", "distribute", "collect", "teardown"]


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Generator[Prefect]:
    with prefect_server(tmp_path_factory.mktemp("prefect")) as server, prefect_worker(server):
        deployed = server.run_command("--no-prompt", "deploy", "--all")
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        yield server


@dataclass(frozen=True)
class Watched:
    """A run that somebody started and watched from the command line."""

    run: FlowRun
    bucket: Path
    exit_code: int


@pytest.fixture(scope="module")
def watched(prefect: Prefect, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    bucket = tmp_path_factory.mktemp("bucket")
    parameters = ["-p", f"bucket={bucket}", "-p", "command=echo {n}", "-p", "each=0..9", "-p", "workers=2"]
    command = prefect.run_command("deployment", "run", DEPLOYMENT, *parameters, "--watch", "--watch-timeout", "90")
    found = re.search(r"UUID: (\S+)", command.stdout)
    assert found, command.stdout + command.stderr
    return Watched(FlowRun(prefect, found[1]), bucket, command.returncode)


@dataclass(frozen=True)
class Doomed:
    """Runs that end badly, begun side by side: most of a run is waiting for Prefect."""

    folder: Path
    failing: FlowRun
    mistaken: FlowRun
    poor: FlowRun

    @property
    def priced(self) -> dict[str, str]:
        """Parameters of the campaign that `poor` has no money for."""
        return _priced(self.folder)


@pytest.fixture(scope="module")
def doomed(prefect: Prefect, tmp_path_factory: pytest.TempPathFactory) -> Doomed:
    folder = tmp_path_factory.mktemp("doomed")
    (folder / "campaign.yaml").write_text(
        "workers: {max: 1, cpus: 1, price: 3600}\neach: 1..6\njob: {run: sleep 0.5}\n"
    )
    fail = {"command": "echo no {n} >&2; exit {n}", "each": "0..3", "workers": 2, "job": {"retries": 0}}
    return Doomed(
        folder,
        failing=prefect.start_run(bucket=f"{folder}/failing", **fail),
        mistaken=prefect.start_run(bucket=f"{folder}/mistaken", command="true", each=f"{folder}/missing.csv"),
        poor=prefect.start_run(**_priced(folder), budget=1.5),
    )


def _priced(folder: Path) -> dict[str, str]:
    return {"bucket": f"{folder}/priced", "source": f"{folder}/campaign.yaml", "campaign": "priced"}


def count_lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_the_deployment_explains_itself_and_each_of_its_parameters(prefect: Prefect) -> None:
    deployment = prefect.request("GET", f"/deployments/name/{DEPLOYMENT}")
    parameters = deployment["parameter_openapi_schema"]["properties"]
    assert deployment["description"].startswith("Run a campaign of independent jobs")
    assert deployment["tags"] == ["gliderport"]
    assert list(parameters) == [
        "bucket",
        "source",
        "command",
        "each",
        "campaign",
        "credentials",
        "workers",
        "budget",
        "job",
    ]
    assert all(each["description"] for each in parameters.values())


def test_a_wrong_parameter_is_refused_before_a_run_is_created(prefect: Prefect) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        prefect.start_run(bucket="folder-of-nobody", command="true", each="0..1")
    assert b"bucket" in refused.value.read()


def test_a_run_can_be_watched_from_the_command_line_to_its_end(watched: Watched) -> None:
    assert (watched.exit_code, watched.run.state()) == (0, ("Completed", "10 of 10 jobs succeeded"))
    assert count_lines(watched.bucket / f"campaigns/{watched.run.campaign}/board/results.jsonl") == 10
    assert not watched.run.worker_processes()


def test_a_run_shows_each_stage_as_a_task_run(watched: Watched) -> None:
    await_answer(lambda: len(watched.run.task_states()) == len(STAGES), "the server knows all task runs")
    assert watched.run.task_states() == [(stage, "Completed") for stage in STAGES]


def test_a_run_shows_progress_a_summary_and_our_own_log_lines(watched: Watched) -> None:
    artifacts = watched.run.artifacts()
    progress, summary = artifacts["gliderport-progress"], artifacts["gliderport-summary"]
    assert (progress["data"], progress["description"][:38]) == (100, "10 of 10 ended (100%); 10 succeeded; w")
    assert "board/results.jsonl" in summary["data"]
    await_answer(lambda: "10 jobs added" in watched.run.log(), "a line of the stage `upload` is in the run's log")


def test_a_run_with_failed_jobs_fails_with_their_number_and_shows_what_they_said(doomed: Doomed) -> None:
    run = doomed.failing
    assert run.wait_for("Completed", "Failed", "Crashed") == "1 of 4 jobs succeeded; 3 failed"
    summary = run.artifacts()["gliderport-summary"]["data"]
    assert "exit code 3" in summary
    assert "no 3\n" in summary
    await_answer(lambda: "Finished in state Failed" in run.log().splitlines()[-1], "the log is complete")
    assert "Traceback" not in run.log()


def test_a_run_tells_what_it_may_cost_what_it_has_cost_and_ends_at_its_budget(prefect: Prefect, doomed: Doomed) -> None:
    poor = doomed.poor
    ended = poor.wait_for("Completed", "Failed", "Crashed")
    assert re.match(r"campaign 'priced' has cost \$\d\.\d\d of its budget of \$1\.50; \d jobs have not ended", ended)
    said = "campaign priced, cost: a worker $3,600.00/h; 1 worker for an hour: $3,600.00"
    await_answer(lambda: said in poor.log(), "the estimate is in the run's log")

    rich = prefect.start_run(**doomed.priced, budget=1000)
    assert rich.wait_for("Completed", "Failed", "Crashed") == "6 of 6 jobs succeeded"
    artifacts = rich.artifacts()
    assert "cost: $" in artifacts["gliderport-progress"]["description"]
    assert re.search(r"### What it cost\s+\$\d+\.\d\d: ", artifacts["gliderport-summary"]["data"])


def test_a_mistake_of_the_user_ends_the_run_with_its_explanation_alone(doomed: Doomed) -> None:
    run = doomed.mistaken
    said = run.wait_for("Completed", "Failed", "Crashed")
    assert said.startswith(f"{doomed.folder}/missing.csv: there is no such file")
    await_answer(lambda: "Finished in state Failed" in run.log().splitlines()[-1], "the log is complete")
    assert "Traceback" not in run.log()


def test_a_run_whose_process_was_killed_goes_on_when_retried_and_repeats_nothing(
    prefect: Prefect, tmp_path: Path
) -> None:
    ran, gate = tmp_path / "ran", tmp_path / "gate"
    command = f"echo {{n}} >> {ran}; until [ -e {gate} ]; do sleep 0.1; done"
    run = prefect.start_run(bucket=f"{tmp_path}/bucket", command=command, each="0..3", workers=2)
    wait_until(lambda: count_lines(ran) >= 1, "a job runs", timeout_seconds=60)
    for process in run.processes():
        process.kill()
    # The runner reports the crash, and seconds later the Prefect worker once more: a retry must come after both.
    await_answer(lambda: "exceeded its memory allocation" in run.log(), "the Prefect worker has noticed, too")
    assert run.worker_processes()
    gate.touch()
    run.set_state("SCHEDULED", "AwaitingRetry")
    assert run.wait_for("Completed", "Failed") == "4 of 4 jobs succeeded"
    assert sorted(ran.read_text().split()) == ["0", "1", "2", "3"]
    again = [("prepare", "Cached"), ("upload", "Cached"), *((stage, "Completed") for stage in STAGES[2:])]
    await_answer(lambda: run.task_states()[-len(again) :] == again, "the first two stages come from the cache")


def test_a_cancelled_run_leaves_no_process_behind(prefect: Prefect, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    run = prefect.start_run(bucket=f"{tmp_path}/bucket", command=f"echo $$ >> {pids}; sleep 1000", each="0..1")
    wait_until(lambda: count_lines(pids) >= 1, "a job runs", timeout_seconds=60)
    run.set_state("CANCELLING", "Cancelling")
    run.wait_for("Cancelled")
    wait_until(lambda: not run.worker_processes(), "its workers are gone")
    assert not [pid for pid in pids.read_text().split() if Path(f"/proc/{pid}").exists()]
