"""Campaigns whose jobs go on where they were saved: the real command, real workers, a folder and a real S3 server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gliderport_prefect.cli.exits import Exit
from gliderport_prefect.protocol.ids import CampaignId
from gliderport_prefect.protocol.keys import CampaignKeys
from gliderport_prefect.store import Store, open_store
from tests.checkpoint_rig import Machine
from tests.faulty_proxy import Fault, FaultyProxy
from tests.integration.test_cli import Shell, shell
from tests.s3server import S3Root
from tests.waiting import wait_until

user = shell
KEYS = CampaignKeys(CampaignId("demo"))


def counting(folder: Path, *, then: str) -> str:
    """Return a job that counts to five in its checkpoint folder, does something, and then counts on to ten."""
    return f"""
jobs:
- id: count
  checkpoint: {{folder: state, interval: 1s}}
  outputs: results
  retries: 0
  run: |
    count() {{ while test $n -lt $1; do n=$((n + 1)); echo $n > state/n.tmp; mv state/n.tmp state/n; done; }}
    n=$(cat state/n 2> /dev/null || echo 0)
    echo "began at $n"
    test $n -ge 5 || count 5
    test -e {folder}/gate || {{ touch {folder}/counted; {then}; }}
    count 10
    cp state/n result
"""


def left(store: Store) -> list[str]:
    """Return the keys of checkpoints in the bucket."""
    return [each.key for each in store.list(KEYS.checkpoints)]


def test_a_retry_that_somebody_asks_for_goes_on_where_the_job_failed(shell: Shell) -> None:
    (shell.home / "demo.yaml").write_text(counting(shell.home, then="exit 1"))
    failed = shell.run("run", "demo.yaml", "--name", "demo", "--bucket", "bucket")
    assert failed.returncode == Exit.JOBS_FAILED, failed.stderr
    assert left(open_store(shell.home / "bucket")), "the checkpoint of a failed job outlives the teardown"

    (shell.home / "gate").touch()
    mended = shell.run("retry", "demo", "--bucket", "bucket")

    assert mended.returncode == 0, mended.stderr
    assert shell.run("logs", "demo", "count", "--bucket", "bucket").stdout == "began at 5\n"
    assert (shell.home / "results/result").read_text() == "10\n"
    assert left(open_store(shell.home / "bucket")) == []


@pytest.mark.s3
def test_a_job_whose_worker_is_killed_goes_on_from_the_bucket(shell: Shell, s3_root: S3Root) -> None:
    shell.environment |= {
        "AWS_ENDPOINT_URL": s3_root.endpoint,
        "AWS_ACCESS_KEY_ID": s3_root.options["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": s3_root.options["secret_access_key"],
        "GLIDERPORT_BUCKET": s3_root.url,
    }
    store = open_store(s3_root.url, s3_root.options)
    (shell.home / "demo.yaml").write_text(counting(shell.home, then="sleep 300"))
    run = shell.start("run", "demo.yaml", "--name", "demo")
    wait_until((shell.home / "counted").exists, "the job has counted to five", timeout_seconds=60)
    wait_until(lambda: any("/saved/" in key for key in left(store)), "a checkpoint is in the bucket")

    (shell.home / "gate").touch()
    for worker in shell.workers():
        worker.kill()

    _, stderr = run.communicate(timeout=120)
    assert run.returncode == 0, stderr
    assert shell.run("logs", "demo", "count").stdout == "began at 5\n"
    (row,) = json.loads(shell.run("jobs", "demo", "--json").stdout)["jobs"]
    assert (row["attempts"], row["outcome"]) == (2, "SUCCEEDED")
    assert left(store) == []


@pytest.mark.s3
def test_a_checkpoint_survives_a_network_that_loses_replies(s3_root: S3Root, tmp_path: Path) -> None:
    plain = open_store(s3_root.url, s3_root.options)
    with FaultyProxy(s3_root.endpoint) as proxy:
        machine = Machine(tmp_path, open_store(s3_root.url, s3_root.through(proxy.endpoint)))
        run = machine.begin("1.1")
        for step in range(4):
            run.write(small=f"step {step}", large=f"{step}" * (20 << 20))
            for method in ("PUT", "GET", "POST"):
                proxy.fail_next(method, Fault.LOSE_REPLY, Fault.REFUSE_503)
            assert run.saver.save()
            assert Machine(tmp_path, plain).read() == run.look()
        assert (len(machine.numbers()), machine.objects()) == (2, 4)
