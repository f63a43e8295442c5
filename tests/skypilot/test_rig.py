"""The rig itself: a real SkyPilot that runs managed jobs, misses dead nodes and recovers what ran there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.s3server import RadosGateway
from tests.skypilot.rig.stand import Rig

pytestmark = pytest.mark.s3

_TASK = """\
name: {name}
resources:
  infra: slurm/rig
  cpus: 1
run: |
  {run}
"""


@pytest.fixture(scope="module")
def jobs(rig: Rig, s3_server: RadosGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """Launch two managed jobs side by side: one that ends and one that does not."""
    folder = tmp_path_factory.mktemp("tasks")
    reach_both = f"curl --fail {s3_server.endpoint} && ~/.local/bin/uv --version > {rig.shared_folder}/said"
    runs = {"rig-short": reach_both, "rig-long": "sleep 100000"}
    numbers: dict[str, int] = {}
    for name, run in runs.items():
        numbers[name] = _launch(rig, folder / f"{name}.yaml", _TASK.format(name=name, run=run))
    yield numbers
    assert rig.run_sky("jobs", "cancel", "--yes", *map(str, numbers.values())).returncode == 0
    for number in numbers.values():
        rig.wait_for_end(number)


def test_sky_check_is_green(rig: Rig) -> None:
    said = rig.run_sky("check", "slurm")

    assert said.returncode == 0, said.stdout
    assert "Slurm: enabled" in said.stdout


def test_a_managed_job_runs_on_a_node_with_uv_and_reaches_both_kinds_of_bucket(rig: Rig, jobs: dict[str, int]) -> None:
    rig.wait_for_job(jobs["rig-short"], "SUCCEEDED")

    assert (rig.shared_folder / "said").read_text().startswith("uv ")


def test_a_job_whose_node_is_killed_is_recovered_on_another_node(rig: Rig, jobs: dict[str, int]) -> None:
    number = jobs["rig-long"]
    rig.wait_for_job(number, "RUNNING")
    node = rig.find_node(number)
    assert node in rig.nodes

    rig.kill_node(node)
    try:
        rig.wait_for_job(number, "RECOVERING")
        rig.wait_for_job(number, "RUNNING")
        assert rig.find_node(number) not in {node, None}
        assert rig.read_job(number).recovery_count == 1
    finally:
        rig.start_node(node)


def _launch(rig: Rig, path: Path, task: str) -> int:
    path.write_text(task)
    said = rig.run_sky("jobs", "launch", "--yes", "--detach-run", str(path))
    assert said.returncode == 0, said.stdout
    return max(job.number for job in rig.read_jobs() if job.name == path.stem)
