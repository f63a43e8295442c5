"""The reaper ends what nobody needs any more, and nothing else; real workers on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from gliderport_prefect.board.view import look
from gliderport_prefect.campaign.runtime import Clock
from gliderport_prefect.cli.entry import run_command
from gliderport_prefect.cli.exits import Exit
from gliderport_prefect.lifecycle.distribute import distribute
from gliderport_prefect.lifecycle.opening import sites_used_here
from gliderport_prefect.lifecycle.plan import plan_of
from gliderport_prefect.lifecycle.reap import Reaped
from gliderport_prefect.lifecycle.teardown import teardown
from gliderport_prefect.protocol.outcomes import JobState
from tests.campaign_rig import TurnedClock
from tests.integration.orphan import Begin, begin_orphans, own_state_home
from tests.waiting import wait_until

begin, state_home = begin_orphans, own_state_home


def waiting_clock(until: Callable[[], object]) -> Clock:
    """Return a clock on which every pause lasts until something has come true."""
    time_passing = TurnedClock()

    def sleep(seconds: float) -> None:
        wait_until(until, "what the reaper waits for")
        time_passing.advance(seconds)

    return Clock(monotonic=lambda: time_passing.now, sleep=sleep)


def test_workers_of_a_campaign_that_is_over_are_ended_and_its_folder_is_removed(begin: Begin) -> None:
    orphan = begin()
    worker, notes = orphan.start_worker(), orphan.notes
    orphan.finish()
    reaped = orphan.reap()
    assert not worker.is_running()
    (fate,) = reaped.ended
    assert (fate.campaign, fate.worker, fate.reference) == ("demo", "worker-0001", f"process {worker.pid}")
    assert fate.why == "its campaign is over or torn down"
    assert (reaped.removed, notes.exists()) == ([str(notes)], False)
    assert (reaped.left, reaped.site_troubles, reaped.bucket_troubles) == ([], [], [])
    assert orphan.reap() == Reaped()


def test_workers_of_a_campaign_that_its_bucket_does_not_know_are_ended(begin: Begin) -> None:
    orphan = begin()
    worker, notes = orphan.start_worker(), orphan.notes
    orphan.runtime.store.delete([orphan.runtime.keys.identity])
    reaped = orphan.reap()
    assert not worker.is_running()
    assert [each.why for each in reaped.ended] == ["its bucket holds no such campaign"]
    assert not notes.exists()


def test_a_bucket_that_is_away_makes_no_campaign_unknown(begin: Begin, tmp_path: Path) -> None:
    orphan = begin()
    worker = orphan.start_worker()
    worker.suspend()
    orphan.folder.rename(tmp_path / "away")
    reaped = orphan.reap()
    (tmp_path / "away").rename(orphan.folder)
    assert worker.is_running()
    assert reaped.ended == []
    assert [each.worker for each in reaped.left] == ["worker-0001"]
    assert "there is no folder" in reaped.bucket_troubles[0]
    assert orphan.notes.exists()


def test_a_silent_campaign_goes_on_after_its_hung_worker_was_ended(begin: Begin) -> None:
    orphan = begin()
    worker = orphan.start_worker()
    orphan.run_job()
    jobs = worker.children(recursive=True)
    worker.suspend()
    orphan.abandon()

    reaped = orphan.reap()

    assert [each.worker for each in reaped.ended] == ["worker-0001"]
    assert "no sign of life for" in reaped.ended[0].why
    assert not worker.is_running()
    assert jobs
    assert psutil.wait_procs(jobs, timeout=10)[1] == []
    assert orphan.counts() == {JobState.QUEUED: 1}
    assert look(orphan.runtime).sessions == {}
    orphan.gate.touch()
    assert distribute(plan_of(orphan.runtime), lambda _: None)["SUCCEEDED"] == 1
    teardown(plan_of(orphan.runtime))
    assert orphan.processes() == []


def test_a_worker_that_gives_a_sign_of_life_is_left(begin: Begin) -> None:
    orphan = begin()
    worker = orphan.start_worker()
    orphan.abandon()
    heard = len(orphan.runtime.store.list(orphan.runtime.keys.outbox))
    reaped = orphan.reap(waiting_clock(lambda: len(orphan.runtime.store.list(orphan.runtime.keys.outbox)) > heard))
    assert worker.is_running()
    assert (reaped.ended, [each.why for each in reaped.left]) == ([], ["its campaign gives signs of life"])


def test_a_launcher_of_another_machine_that_answers_keeps_its_silent_workers(begin: Begin) -> None:
    orphan = begin()
    worker = orphan.start_worker()
    launcher = orphan.drive()
    worker.suspend()
    launcher.settle({})
    orphan.abandon(host="elsewhere")
    reaped = orphan.reap(waiting_clock(lambda: launcher.follow_requests() or True))
    assert worker.is_running()
    assert (reaped.ended, [each.why for each in reaped.left]) == ([], ["its campaign gives signs of life"])


def test_a_launcher_whose_process_runs_here_keeps_its_silent_workers(begin: Begin) -> None:
    orphan = begin()
    worker = orphan.start_worker()
    worker.suspend()
    orphan.drive()
    reaped = orphan.reap()
    assert worker.is_running()
    assert [each.worker for each in reaped.left] == ["worker-0001"]


def test_the_reaper_asks_once_however_often_it_comes(begin: Begin) -> None:
    orphan = begin()
    orphan.start_worker().suspend()
    orphan.abandon()
    for _ in range(3):
        assert len(orphan.reap(dry_run=True).ended) == 1
    assert len(orphan.runtime.store.list(orphan.runtime.keys.requests)) == 1


def test_the_same_campaign_in_two_buckets_is_two_campaigns(begin: Begin) -> None:
    over, live = begin("one"), begin("two")
    ended, kept = over.start_worker(), live.start_worker()
    over.finish()
    live.drive()
    assert len(over.reap().ended) == 1
    assert not ended.is_running()
    assert live.reap().ended == []
    assert kept.is_running()


def test_a_dry_run_ends_and_removes_nothing(begin: Begin) -> None:
    orphan = begin()
    worker = orphan.start_worker()
    orphan.finish()
    reaped = orphan.reap(dry_run=True)
    assert worker.is_running()
    assert [each.worker for each in reaped.ended] == ["worker-0001"]
    assert reaped.removed == [str(orphan.notes)]
    assert orphan.notes.exists()


def test_the_folder_of_a_campaign_that_rests_stays(begin: Begin, state_home: Path) -> None:
    orphan = begin()
    orphan.start_worker().kill()
    wait_until(lambda: not orphan.processes(), "the worker is gone")
    assert orphan.reap() == Reaped()
    assert list((state_home / "gliderport").iterdir()) == [orphan.notes]


def test_a_worker_whose_notes_are_gone_is_found_all_the_same(begin: Begin) -> None:
    orphan = begin()
    worker = orphan.start_worker()
    orphan.finish()
    for note in orphan.notes.glob("*.json"):
        note.unlink()
    assert len(orphan.reap().ended) == 1
    assert not worker.is_running()


def test_a_process_that_only_looks_like_a_worker_is_left(begin: Begin) -> None:
    orphan = begin()
    orphan.finish()
    words = ["--bucket", orphan.runtime.store.url, "--campaign", "demo", "--name", "worker-0001"]
    program = "import time; time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", program, *words, "--scratch", "x"]) as stranger:
        assert orphan.reap() == Reaped()
        assert stranger.poll() is None
        stranger.kill()


def test_the_command_says_what_it_did_and_why(begin: Begin, capfd: pytest.CaptureFixture[str]) -> None:
    orphan = begin()
    orphan.start_worker()
    orphan.finish()
    capfd.readouterr()
    assert run_command(["reap", "--site", "local", "--bucket", str(orphan.folder), "--dry-run"]) == Exit.SUCCEEDED
    said = capfd.readouterr().out
    assert "would end 1 worker:" in said
    assert "its campaign is over" in said
    assert f"would remove {orphan.notes}" in said
    assert run_command(["reap", "--site", "local", "--bucket", str(orphan.folder), "--json"]) == Exit.SUCCEEDED
    document = json.loads(capfd.readouterr().out)
    assert [(each["worker"], each["why"]) for each in document["ended"]] == [
        ("worker-0001", "its campaign is over or torn down")
    ]
    assert run_command(["reap", "--site", "local", "--bucket", str(orphan.folder)]) == Exit.SUCCEEDED
    assert "no worker was left behind" in capfd.readouterr().out


def test_the_command_tells_of_a_bucket_that_it_cannot_read(
    begin: Begin, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    orphan = begin()
    orphan.start_worker().suspend()
    orphan.folder.rename(tmp_path / "away")
    code = run_command(["reap", "--site", "local", "--bucket", str(orphan.folder)])
    (tmp_path / "away").rename(orphan.folder)
    assert code == Exit.BUCKET
    assert "error: campaign demo in file://" in capfd.readouterr().err
    assert [process.status() for process in orphan.processes()] == [psutil.STATUS_STOPPED]


def test_skypilot_is_asked_only_where_somebody_has_used_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SKYPILOT_API_SERVER_ENDPOINT", raising=False)
    assert sites_used_here() == ["local"]
    (tmp_path / ".sky").mkdir()
    assert sites_used_here() == ["local", "skypilot"]
    (tmp_path / ".sky").rmdir()
    monkeypatch.setenv("SKYPILOT_API_SERVER_ENDPOINT", "http://127.0.0.1:9")
    assert sites_used_here() == ["local", "skypilot"]
