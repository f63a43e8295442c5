"""Workers that nobody wrote down are found by their command line, and nothing else is."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliderport_prefect.protocol.ids import CampaignId, WorkerName
from gliderport_prefect.protocol.resources import Offer
from gliderport_prefect.sites.local import LocalOptions, LocalSite, LocalWorkers
from gliderport_prefect.sites.notes import Notes, list_notes
from gliderport_prefect.sites.seam import WorkerState
from gliderport_prefect.sites.started import Started
from gliderport_prefect.sites.worker_process import WorkerCommand, bundle_name, find_worker_processes, read_command
from gliderport_prefect.store import Store, open_store
from tests.waiting import wait_until

ONE, TWO = WorkerName("worker-0001"), WorkerName("worker-0002")
BUNDLE = "campaigns/x/bundle/0123456789abcdef/worker.pyz"
OFFER = Offer(cpus=1.0, memory_bytes=1, disk_bytes=1)
_STAND_IN = Path(__file__).parents[2] / "contract" / "site_worker.py"

# Ends the launcher at the given moment of its start of a worker, as kill -9 would.
_KILLED_LAUNCHER = """
import os, signal, sys
from pathlib import Path
from gliderport_prefect.sites.local import LocalOptions, LocalSite
from gliderport_prefect.store import open_store

def die(event, arguments):
    if event == sys.argv[3] and str(arguments[0]).endswith(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)

store = open_store(sys.argv[1])
site = LocalSite(folder=Path(sys.argv[2]), store=store, bundle_key=sys.argv[5], campaign="calm", options=LocalOptions())
sys.addaudithook(die)
site.start(["worker-0001"])
"""
BEFORE_PROCESS, AFTER_PROCESS = ("subprocess.Popen", sys.executable), ("os.rename", "worker-0001.json.part")


@pytest.fixture
def store(tmp_path: Path) -> Generator[Store]:
    """Give a bucket with a stand-in for the worker; what runs for it is ended afterwards."""
    bucket = open_store(tmp_path / "bucket", makes_root=True)
    bucket.upload_file(_STAND_IN, BUNDLE)
    yield bucket
    stop_all(bucket)


def stop_all(store: Store) -> None:
    LocalWorkers(grace_seconds=5).stop_started(started_in(store))


def started_in(store: Store) -> list[Started]:
    return [each for each in LocalWorkers().find_started() if each.bucket == store.url]


def open_local(folder: Path, store: Store, campaign: str = "calm") -> LocalSite:
    options = LocalOptions(grace_seconds=5)
    return LocalSite(folder=folder, store=store, bundle_key=BUNDLE, campaign=campaign, options=options)


def states(site: LocalSite) -> dict[WorkerName, WorkerState]:
    return {each.name: each.state for each in site.list_workers()}


def wait_ready(folder: Path, name: WorkerName) -> None:
    wait_until(lambda: "is ready" in (folder / f"{name}.log").read_text(), f"{name} is ready")


def killed_launcher(store: Store, folder: Path, moment: tuple[str, str]) -> None:
    """Let a launcher start a worker and be killed at that moment."""
    command = [sys.executable, "-c", _KILLED_LAUNCHER, store.url, folder, *moment, BUNDLE]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL


def test_a_worker_whose_launcher_was_killed_before_it_noted_the_process_is_seen_and_stopped(
    store: Store, tmp_path: Path
) -> None:
    killed_launcher(store, tmp_path / "site", AFTER_PROCESS)
    site = open_local(tmp_path / "site", store)
    assert states(site) == {ONE: WorkerState.RUNNING}
    site.start([ONE])
    assert len(started_in(store)) == 1
    site.stop([ONE])
    assert (states(site), started_in(store)) == ({ONE: WorkerState.GONE}, [])


def test_a_worker_whose_launcher_was_killed_before_its_process_began_is_gone_for_good(
    store: Store, tmp_path: Path
) -> None:
    killed_launcher(store, tmp_path / "site", BEFORE_PROCESS)
    site = open_local(tmp_path / "site", store)
    (gone,) = site.list_workers()
    assert (gone.name, gone.state) == (ONE, WorkerState.GONE)
    assert "its launcher ended before it could start it" in gone.reason
    site.start([ONE, TWO])
    assert states(site) == {ONE: WorkerState.GONE, TWO: WorkerState.RUNNING}


def test_a_worker_that_is_just_being_started_is_not_taken_for_gone(store: Store, tmp_path: Path) -> None:
    site, notes = open_local(tmp_path / "site", store), Notes(tmp_path / "site")
    with notes.held():
        assert notes.announce(ONE)
        assert states(site) == {ONE: WorkerState.STARTING}
    assert states(site) == {ONE: WorkerState.GONE}


def test_workers_are_seen_and_stopped_when_the_folder_of_their_site_is_gone(store: Store, tmp_path: Path) -> None:
    open_local(tmp_path / "site", store).start([ONE, TWO])
    for name in (ONE, TWO):
        wait_ready(tmp_path / "site", name)
    shutil.rmtree(tmp_path / "site")
    site = open_local(tmp_path / "elsewhere", store)
    assert states(site) == {ONE: WorkerState.RUNNING, TWO: WorkerState.RUNNING}
    site.stop([ONE])
    assert [each.worker for each in started_in(store)] == [TWO]


def test_workers_of_another_campaign_or_bucket_are_not_taken_for_ones_own(store: Store, tmp_path: Path) -> None:
    other = open_store(tmp_path / "other", makes_root=True)
    other.upload_file(_STAND_IN, BUNDLE)
    open_local(tmp_path / "site", store).start([ONE])
    try:
        assert open_local(tmp_path / "a", store, campaign="busy").list_workers() == []
        assert open_local(tmp_path / "b", other).list_workers() == []
        open_local(tmp_path / "b", other).start([ONE])
        LocalWorkers(grace_seconds=5).stop_started(started_in(store))
        assert (len(started_in(store)), len(started_in(other))) == (0, 1)
    finally:
        stop_all(other)


def test_a_worker_is_told_with_all_that_names_it(store: Store, tmp_path: Path) -> None:
    open_local(tmp_path / "site", store).start([ONE])
    (found,) = started_in(store)
    assert (found.site, found.campaign, found.worker, found.state) == ("local", "calm", ONE, WorkerState.RUNNING)
    assert found.user == ""
    assert psutil.pid_exists(int(found.reference.rpartition(" ")[2]))


def test_the_worker_of_another_user_is_told_as_such(store: Store, tmp_path: Path) -> None:
    open_local(tmp_path / "site", store).start([ONE])
    (process,) = [each for each in find_worker_processes(os.getuid() + 1) if each.command.bucket == store.url]
    assert process.user == psutil.Process().username()


def test_who_ignores_term_is_killed(store: Store, tmp_path: Path) -> None:
    site = open_local(tmp_path / "site", store, campaign="stubborn")
    site.start([ONE])
    wait_ready(tmp_path / "site", ONE)
    LocalWorkers(grace_seconds=0.2).stop_started(started_in(store))
    assert started_in(store) == []


def test_a_folder_says_whose_it_is(store: Store, tmp_path: Path) -> None:
    root = tmp_path / "state"
    open_local(root / "new", store).start([])
    (root / "old").mkdir()
    (root / "file").touch()
    assert [(each.folder.name, each.identity()) for each in list_notes(root)] == [
        ("new", ("calm", store.url)),
        ("old", None),
    ]
    assert list(list_notes(tmp_path / "nowhere")) == []


_PATHS = st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: text not in {".", ".."}
)


@given(bucket=st.text(min_size=1), folder=_PATHS, sha256=st.from_regex(r"[0-9a-f]{64}", fullmatch=True))
def test_a_worker_is_recognised_by_the_command_that_started_it(bucket: str, folder: str, sha256: str) -> None:
    command = WorkerCommand(bucket, CampaignId("c"), ONE, Path("/state") / folder)
    assert read_command(command.words(command.folder / bundle_name(sha256), OFFER)) == command


@pytest.mark.parametrize(
    "changed",
    [
        {1: "/state/c/worker.pyz"},
        {1: "/elsewhere/worker-0123456789abcdef.pyz"},
        {2: "--store"},
        {9: "/scratch"},
        {9: "/state/c/scratch/worker-0002"},
    ],
)
def test_what_only_looks_like_a_worker_is_none(changed: dict[int, str]) -> None:
    command = WorkerCommand("b", CampaignId("c"), ONE, Path("/state/c"))
    words = command.words(Path("/state/c/worker-0123456789abcdef.pyz"), OFFER)
    assert read_command(words) == command
    assert read_command([changed.get(at, word) for at, word in enumerate(words)]) is None
    assert read_command(words[:9]) is None
