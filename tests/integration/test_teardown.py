"""After a teardown nothing runs, whatever went wrong before; real workers on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from gliderport_prefect.campaign.identity import write_identity
from gliderport_prefect.campaign.replay import replay
from gliderport_prefect.campaign.runtime import Runtime
from gliderport_prefect.cli.exits import Exit
from gliderport_prefect.errors import Superseded, UserError
from gliderport_prefect.lifecycle.collect import collect
from gliderport_prefect.lifecycle.order import Order
from gliderport_prefect.lifecycle.plan import plan_of
from gliderport_prefect.lifecycle.run import Stages, run_campaign
from gliderport_prefect.lifecycle.teardown import teardown
from gliderport_prefect.protocol.ids import CampaignId
from gliderport_prefect.protocol.keys import CampaignKeys
from gliderport_prefect.protocol.outcomes import JobState
from gliderport_prefect.protocol.records import Campaign, timestamp
from gliderport_prefect.sites.local import LocalWorkers
from gliderport_prefect.store import open_store
from tests.integration.orphan import Begin, Orphan, begin_orphans, own_state_home

begin, state_home = begin_orphans, own_state_home

# Starts the campaign's workers and is killed, as by kill -9, before it has noted the process of the first.
_KILLED_LAUNCHER = """
import os, signal, sys
from gliderport_prefect.campaign.runtime import Runtime
from gliderport_prefect.lifecycle.launch import launch
from gliderport_prefect.lifecycle.plan import plan_of
from gliderport_prefect.protocol.keys import CampaignKeys
from gliderport_prefect.store import open_store

def die(event, arguments):
    if event == "os.rename" and str(arguments[0]).endswith(".json.part"):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(die)
launch(plan_of(Runtime(open_store(sys.argv[1]), CampaignKeys("demo"))))
"""


def ledger_length(orphan: Orphan) -> int:
    return len(orphan.runtime.store.list(orphan.runtime.keys.ledger))


def mail(runtime: Runtime) -> list[str]:
    keys = runtime.keys
    prefixes = (keys.inboxes, keys.outbox, keys.workers)
    return [each.key for prefix in prefixes for each in runtime.store.list(prefix)]


def runtime_of(order: Order) -> Runtime:
    return Runtime(open_store(order.bucket), CampaignKeys(CampaignId(str(order.campaign))))


def test_a_worker_whose_launcher_was_killed_before_it_noted_it_is_ended(begin: Begin) -> None:
    orphan = begin()
    command = [sys.executable, "-c", _KILLED_LAUNCHER, str(orphan.folder)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    (worker,) = orphan.processes()
    assert teardown(plan_of(orphan.runtime)) == 1
    assert not worker.is_running()
    assert not orphan.notes.exists()


def test_jobs_of_ended_workers_wait_again_and_a_second_teardown_finds_nothing_to_do(begin: Begin) -> None:
    orphan = begin()
    worker = orphan.start_worker()
    orphan.run_job()
    assert teardown(plan_of(orphan.runtime)) == 1
    assert not worker.is_running()
    assert orphan.counts() == {JobState.QUEUED: 1}
    state = replay(orphan.runtime)
    assert (state.sessions, state.finished, state.is_torn_down) == ({}, False, True)
    before = ledger_length(orphan)
    assert teardown(plan_of(orphan.runtime)) == 0
    assert ledger_length(orphan) == before


def test_a_hello_that_nobody_has_read_leaves_no_session_behind(begin: Begin) -> None:
    orphan = begin()
    orphan.start_worker()
    assert teardown(plan_of(orphan.runtime)) == 1
    state = replay(orphan.runtime)
    assert state.sessions == {}
    assert list(state.ended_sessions.values()) != []


def test_whoever_drives_is_superseded_before_workers_are_ended(begin: Begin) -> None:
    orphan = begin()
    launcher = orphan.drive()
    assert teardown(plan_of(orphan.runtime)) == 0
    orphan.start_worker()
    with pytest.raises(Superseded):
        launcher.settle({})
    assert teardown(plan_of(orphan.runtime)) == 1


def test_workers_are_ended_though_the_bucket_has_lost_the_campaign(begin: Begin) -> None:
    orphan = begin()
    worker, plan, notes = orphan.start_worker(), plan_of(orphan.runtime), orphan.notes
    orphan.runtime.store.delete([orphan.runtime.keys.identity])
    with pytest.raises(UserError, match="there is no campaign 'demo'"):
        teardown(plan)
    assert not worker.is_running()
    assert not notes.exists()


def test_a_campaign_that_was_torn_down_here_is_resumed_by_another_process(begin: Begin) -> None:
    orphan = begin()
    orphan.start_worker()
    teardown(plan_of(orphan.runtime))
    orphan.gate.touch()
    code = "from gliderport_prefect.cli import main; main()"
    command = [sys.executable, "-c", code, "resume", "demo", "--bucket", str(orphan.folder)]
    resumed = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert resumed.returncode == Exit.SUCCEEDED, resumed.stderr
    assert "1 succeeded" in resumed.stdout


def test_what_runs_for_a_campaign_that_was_torn_down_is_reaped_at_once(begin: Begin) -> None:
    orphan = begin()
    orphan.drive()
    teardown(plan_of(orphan.runtime))
    worker = orphan.start_worker()
    reaped = orphan.reap()
    assert [each.why for each in reaped.ended] == ["its campaign is over or torn down"]
    assert not worker.is_running()


@pytest.fixture
def order(tmp_path: Path) -> Order:
    """Ask for a campaign of two short jobs."""
    return Order(bucket=str(tmp_path / "bucket"), campaign="short", command="echo {n}", each="0..1")


def test_a_campaign_that_is_over_is_torn_down_and_still_counts_as_over(order: Order) -> None:
    collected = run_campaign(order, watch=lambda _: None)
    assert collected.all_succeeded
    state = replay(runtime_of(order))
    assert (state.finished, state.is_torn_down, mail(runtime_of(order))) == (True, True, [])


def test_a_collect_that_fails_leaves_no_worker(order: Order, tmp_path: Path) -> None:
    no_folder = tmp_path / "results"
    no_folder.touch()
    stages = Stages(collect=partial(collect, folder=no_folder))
    with pytest.raises(FileExistsError):
        run_campaign(order, watch=lambda _: None, stages=stages)
    bucket = runtime_of(order).store.url
    assert [each for each in LocalWorkers().find_started() if each.bucket == bucket] == []
    assert replay(runtime_of(order)).is_torn_down


def test_a_site_that_cannot_be_asked_is_named_with_what_to_do(order: Order, tmp_path: Path) -> None:
    runtime = Runtime(open_store(order.bucket, makes_root=True), CampaignKeys(CampaignId("far")))
    options = {"shared_folder": True}
    write_identity(runtime, Campaign(runtime.campaign, "token", timestamp(0), site="skypilot", site_options=options))
    nobody = {"HOME": str(tmp_path), "SKYPILOT_API_SERVER_ENDPOINT": "http://127.0.0.1:9"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from gliderport_prefect.cli import main; main()", *arguments]
        environment = {**os.environ, **nobody}
        return subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=120)

    said = run("teardown", "far", "--bucket", order.bucket)
    assert said.returncode == Exit.STUCK
    assert "it is not certain that no worker of campaign far is left" in said.stderr
    assert "`gliderport teardown far` ends what is left" in said.stderr
    reaped = run("reap", "--bucket", order.bucket)
    assert reaped.returncode == Exit.STUCK
    assert "error: site skypilot cannot be asked" in reaped.stderr
