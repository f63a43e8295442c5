"""The rig itself: a real SkyPilot that runs managed jobs. Lost nodes and servers are staged in `test_campaigns.py`."""

from __future__ import annotations

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


def test_sky_check_is_green(rig: Rig) -> None:
    said = rig.run_sky("check", "slurm")

    assert said.returncode == 0, said.stdout
    assert "Slurm: enabled" in said.stdout


def test_a_managed_job_runs_on_a_node_with_uv_and_reaches_both_kinds_of_bucket(
    rig: Rig, s3_server: RadosGateway, tmp_path: Path
) -> None:
    path = tmp_path / "rig-short.yaml"
    reach_both = f"curl --fail {s3_server.endpoint} && ~/.local/bin/uv --version > {rig.shared_folder}/said"
    path.write_text(_TASK.format(name=path.stem, run=reach_both))

    said = rig.run_sky("jobs", "launch", "--yes", "--detach-run", str(path))

    assert said.returncode == 0, said.stdout
    rig.wait_for_job(max(job.number for job in rig.read_jobs() if job.name == path.stem), "SUCCEEDED")
    assert (rig.shared_folder / "said").read_text().startswith("uv ")
