"""Credentials that are in a Prefect block alone: real blocks of a real server open a real bucket, and leak nowhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from gliderport_prefect.store import open_store
from tests.integration.prefect_rig import REPOSITORY, Prefect, await_answer, prefect_server, prefect_worker
from tests.s3server import RadosGateway, S3Root
from tests.waiting import wait_until

pytestmark = [pytest.mark.prefect, pytest.mark.s3, pytest.mark.timeout(300)]

_GLIDERPORT = str(Path(sys.executable).with_name("gliderport"))
_SECRET = "secretsecret"
_SAVE_BLOCKS = """
import json, sys
from prefect_aws import AwsCredentials, MinIOCredentials, S3Bucket
given = json.loads(sys.stdin.read())
place = {"aws_client_parameters": {"endpoint_url": given["endpoint"]}, "region_name": "us-east-1"}
AwsCredentials(aws_access_key_id=given["key"], aws_secret_access_key=given["secret"], **place).save("lab")
AwsCredentials(aws_access_key_id=given["key"], aws_secret_access_key="wrong", **place).save("wrong")
minio = MinIOCredentials(minio_root_user=given["key"], minio_root_password=given["secret"], **place)
minio.save("server")
S3Bucket(bucket_name=given["bucket"], bucket_folder=given["folder"], credentials=minio).save("runs")
"""


@dataclass(frozen=True)
class Lab:
    """A Prefect server that keeps the blocks, and the bucket that only they open."""

    prefect: Prefect
    root: S3Root

    @property
    def environment(self) -> Mapping[str, str]:
        """What everybody here has: no key, no endpoint."""
        return self.prefect.environment

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run `gliderport` with these arguments and further variables."""
        return subprocess.run(
            [_GLIDERPORT, *arguments],
            env={**self.environment, **more},
            cwd=self.prefect.folder,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )


@pytest.fixture(scope="module")
def lab(s3_server: RadosGateway, tmp_path_factory: pytest.TempPathFactory) -> Generator[Lab]:
    root = s3_server.make_root()
    _, _, bucket, folder = root.url.split("/")
    with prefect_server(tmp_path_factory.mktemp("prefect")) as server, prefect_worker(server):
        given = {"key": root.options["access_key_id"], "secret": root.options["secret_access_key"]}
        given |= {"endpoint": root.endpoint, "bucket": bucket, "folder": f"{folder}/runs"}
        saved = subprocess.run(
            [sys.executable, "-c", _SAVE_BLOCKS],
            input=json.dumps(given),
            env=server.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert saved.returncode == 0, saved.stderr
        deployed = server.run_command("--no-prompt", "deploy", "--all")
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        yield Lab(server, root)


def all_that_is_stored(root: S3Root) -> bytes:
    store = open_store(root.url, root.options)
    stored = [store.get(each.key) or b"" for each in store.list()]
    assert len(stored) > 10
    return b"\n".join(stored)


def all_that_is_on_disk(folder: Path) -> bytes:
    """Return what is in the files of the folder; Prefect's own database holds the blocks, encrypted."""
    files = [each for each in folder.rglob("*") if each.is_file() and not each.name.startswith("prefect.db")]
    return b"\n".join(each.read_bytes() for each in files)


def all_command_lines() -> bytes:
    seen: list[bytes] = []
    for pid in psutil.pids():
        with suppress(OSError):  # it has ended meanwhile
            seen.append(Path(f"/proc/{pid}/cmdline").read_bytes())
    return b"\n".join(seen)


def test_a_campaign_runs_with_credentials_that_are_in_a_block_alone(lab: Lab) -> None:
    named = ("--bucket", f"{lab.root.url}/cli")
    ran = lab.run(
        "run", *named, "--credentials", "aws-credentials/lab", "--campaign", "c", "--each", "0..3", "echo {n}"
    )
    assert ran.returncode == 0, ran.stderr
    assert "campaign c: 4 succeeded" in ran.stdout
    assert lab.run("status", "c", *named, GLIDERPORT_CREDENTIALS="aws-credentials/lab").returncode == 0
    without = lab.run("status", "c", *named, AWS_ENDPOINT_URL=lab.root.endpoint)
    assert (without.returncode, "no credentials were found" in without.stderr) == (6, True)


def test_a_block_of_a_bucket_names_the_bucket_too_and_the_campaign_remembers_it(lab: Lab, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = {"run": f"test -e {gate}", "id": "a", "retries": 0}
    (tmp_path / "campaign.yaml").write_text(json.dumps({"name": "f", "credentials": "s3-bucket/runs", "jobs": [job]}))
    ran = lab.run("run", str(tmp_path))
    assert ran.returncode == 1, ran.stderr
    assert "--credentials s3-bucket/runs" in ran.stdout
    gate.touch()
    again = lab.run("retry", "f", "--credentials", "s3-bucket/runs")
    assert (again.returncode, "1 succeeded" in again.stdout) == (0, True), again.stderr
    stored = open_store(f"{lab.root.url}/runs", lab.root.options).get("campaigns/f/campaign.json")
    assert stored is not None
    assert json.loads(stored)["credentials"] == "s3-bucket/runs"


def test_the_block_of_the_campaign_is_loaded_again_for_its_new_workers(lab: Lab, tmp_path: Path) -> None:
    """Whoever resumes opens the bucket somehow; the workers get what the campaign says."""
    job = {"run": "test -e gate", "id": "a", "retries": 0, "env": {"HERE": str(tmp_path)}}
    bucket = f"{lab.root.url}/resumed"
    campaign = {"name": "r", "bucket": bucket, "credentials": "minio-credentials/server", "jobs": [job]}
    (tmp_path / "campaign.yaml").write_text(json.dumps(campaign))
    assert lab.run("run", str(tmp_path)).returncode == 1
    own = {"AWS_ACCESS_KEY_ID": lab.root.options["access_key_id"], "AWS_SECRET_ACCESS_KEY": _SECRET}
    own |= {"AWS_ENDPOINT_URL": lab.root.endpoint}
    assert lab.run("status", "r", "--bucket", bucket, **own, PREFECT_API_URL="http://127.0.0.1:9/api").returncode == 0
    away = lab.run("retry", "r", "--bucket", bucket, **own, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert away.returncode == 2
    assert "block minio-credentials/server: Prefect cannot be asked at http://127.0.0.1:9/api" in away.stderr
    assert lab.run("resume", "r", "--bucket", bucket, **own).returncode == 1


def test_refused_keys_are_told_with_the_block_that_holds_them(lab: Lab) -> None:
    run = lab.prefect.start_run(
        bucket=f"{lab.root.url}/wrong", command="true", each="0..1", credentials="aws-credentials/wrong"
    )
    named = ("--bucket", f"{lab.root.url}/wrong", "--credentials", "aws-credentials/wrong")
    refused = lab.run("run", *named, "--each", "0..1", "true")
    assert refused.returncode == 6
    assert "the store refuses the credentials" in refused.stderr
    assert "the Prefect block aws-credentials/wrong" in refused.stderr
    assert "the Prefect block aws-credentials/wrong" in run.wait_for("Completed", "Failed", "Crashed")


def test_a_block_that_is_not_there_is_told_with_a_way_to_find_it(lab: Lab) -> None:
    missing = lab.run("list", "--bucket", lab.root.url, "--credentials", "aws-credentials/nobody")
    assert missing.returncode == 2
    assert f"block aws-credentials/nobody: there is none of that name in {lab.prefect.url}" in missing.stderr
    assert "prefect block ls" in missing.stderr


def test_a_run_of_the_flow_works_with_a_block_and_no_secret_is_seen_anywhere(lab: Lab, tmp_path: Path) -> None:
    running, gate = tmp_path / "running", tmp_path / "gate"
    bucket, command = f"{lab.root.url}/flow", f"touch {running}; until [ -e {gate} ]; do sleep 0.1; done"
    run = lab.prefect.start_run(bucket=bucket, command=command, each="0..1", credentials="aws-credentials/lab")
    wait_until(running.exists, "a job runs", timeout_seconds=60)
    seen = all_command_lines()
    workers = run.worker_processes()
    site = all_that_is_on_disk(lab.prefect.folder)
    gate.touch()
    assert run.wait_for("Completed", "Failed", "Crashed") == "2 of 2 jobs succeeded"
    await_answer(lambda: "2 of 2 jobs succeeded" in run.log(), "the log is complete")
    assert workers
    assert (b"--campaign" in seen, _SECRET.encode() in seen) == (True, False)
    about = {"flow_runs": {"id": {"any_": [run.id]}}}
    told = [lab.prefect.request("GET", f"/flow_runs/{run.id}"), run.log(), run.artifacts()]
    told += [lab.prefect.request("POST", f"/{kind}/filter", about) for kind in ("task_runs", "artifacts")]
    assert "aws-credentials/lab" in json.dumps(told)
    for text in (json.dumps(told).encode(), site, all_that_is_on_disk(lab.prefect.folder)):
        assert _SECRET.encode() not in text
    assert _SECRET.encode() not in all_that_is_stored(S3Root(bucket, lab.root.options, lab.root.endpoint))


def test_a_cancelled_run_ends_its_workers_with_the_credentials_of_the_block(lab: Lab, tmp_path: Path) -> None:
    running = tmp_path / "running"
    run = lab.prefect.start_run(
        bucket=f"{lab.root.url}/cancelled",
        command=f"touch {running}; sleep 1000",
        each="0..1",
        credentials="minio-credentials/server",
    )
    wait_until(running.exists, "a job runs", timeout_seconds=60)
    run.set_state("CANCELLING", "Cancelling")
    run.wait_for("Cancelled")
    wait_until(lambda: not run.worker_processes(), "its workers are gone")


def test_a_command_without_a_block_needs_no_prefect(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "examples/quickstart", tmp_path / "q", ignore=shutil.ignore_patterns("results"))
    code = "import sys; from gliderport_prefect.cli.entry import run_command; "
    code += "code = run_command(sys.argv[1:]); sys.exit(100 if 'prefect' in sys.modules else code)"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", str(tmp_path / "q"), "--bucket", str(tmp_path / "bucket")],
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
