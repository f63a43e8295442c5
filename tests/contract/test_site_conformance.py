"""What every site promises, with real processes in place of workers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import psutil
import pytest

from gliderport_prefect.errors import SiteError
from gliderport_prefect.protocol.ids import WorkerName
from gliderport_prefect.sites.local import LocalOptions, LocalSite
from gliderport_prefect.sites.seam import Site, SiteWorker, WorkerState
from gliderport_prefect.sites.watched import Watched
from gliderport_prefect.store import open_store
from tests.waiting import wait_until

ONE, TWO, THREE = WorkerName("worker-0001"), WorkerName("worker-0002"), WorkerName("worker-0003")
BUNDLE = "campaigns/x/bundle/0123456789abcdef/worker.pyz"

MakeSite = Callable[..., Site]


@pytest.fixture(params=["plain", "watched"])
def make_site(tmp_path: Path, request: pytest.FixtureRequest) -> Generator[MakeSite]:
    """Return what opens the site of a campaign; each call is another launcher's view of it."""
    store = open_store(tmp_path / "bucket", makes_root=True)
    store.upload_file(Path(__file__).with_name("site_worker.py"), BUNDLE)
    made: list[LocalSite] = []
    watched: list[Watched] = []

    def make(campaign: str = "calm", **options: float) -> Site:
        given = LocalOptions(**{"grace_seconds": 5.0, **options})  # pyright: ignore[reportArgumentType]
        folder = tmp_path / campaign
        made.append(LocalSite(folder=folder, store=store, bundle_key=BUNDLE, campaign=campaign, options=given))
        if request.param == "plain":
            return made[-1]
        watched.append(Watched(made[-1], every=0.05).open())
        return watched[-1]

    yield make
    for site in watched:
        site.close()
    for site in made:
        site.stop([each.name for each in site.list_workers()])


def states(site: Site) -> dict[str, WorkerState]:
    return {each.name: each.state for each in site.list_workers()}


def start_and_wait(site: Site, tmp_path: Path, *names: WorkerName, campaign: str = "calm") -> None:
    site.start(names)
    for name in names:
        log = tmp_path / campaign / f"{name}.log"
        wait_until(lambda log=log: log.exists() and "is ready" in log.read_text(), f"{name} is ready")
        wait_until(lambda n=name: states(site)[n] is WorkerState.RUNNING, f"{name} is seen")


def pid_of(tmp_path: Path, name: WorkerName, campaign: str = "calm") -> int:
    return json.loads((tmp_path / campaign / f"{name}.json").read_text())["pid"]


def wait_gone(site: Site, name: WorkerName) -> SiteWorker:
    def find() -> SiteWorker:
        return next(each for each in site.list_workers() if each.name == name)

    wait_until(lambda: find().state is WorkerState.GONE, f"{name} is gone")
    return find()


def test_a_site_on_which_nothing_was_started_has_no_workers(make_site: MakeSite) -> None:
    site = make_site()
    assert site.list_workers() == []
    site.stop([ONE])
    site.forget()


def test_started_workers_run(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site()
    start_and_wait(site, tmp_path, ONE, TWO)
    assert states(site) == {ONE: WorkerState.RUNNING, TWO: WorkerState.RUNNING}


def test_a_name_that_is_there_is_left_alone(make_site: MakeSite, tmp_path: Path) -> None:
    first, second = make_site(), make_site()
    start_and_wait(first, tmp_path, ONE)
    before = pid_of(tmp_path, ONE)
    first.start([ONE])
    second.start([ONE])
    wait_until(lambda: states(second) == {ONE: WorkerState.RUNNING}, "the other launcher sees it run")
    assert pid_of(tmp_path, ONE) == before


def test_another_launcher_sees_and_stops_what_runs(make_site: MakeSite, tmp_path: Path) -> None:
    start_and_wait(make_site(), tmp_path, ONE, TWO)
    other = make_site()
    other.stop([ONE])
    assert states(other) == {ONE: WorkerState.GONE, TWO: WorkerState.RUNNING}


def test_workers_outlive_the_process_that_started_them(make_site: MakeSite, tmp_path: Path) -> None:
    make_site()
    program = (
        "import sys; from pathlib import Path; from gliderport_prefect.sites.local import *;"
        "from gliderport_prefect.store import open_store; folder = Path(sys.argv[1]);"
        "LocalSite(folder=folder / 'calm', store=open_store(folder / 'bucket'), bundle_key=sys.argv[2],"
        " campaign='calm', options=LocalOptions()).start(['worker-0001'])"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program, tmp_path, BUNDLE], check=True)
    site = make_site()
    assert states(site) == {ONE: WorkerState.RUNNING}
    site.stop([ONE])
    assert not psutil.pid_exists(pid_of(tmp_path, ONE))


def test_stop_returns_when_all_have_ended(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site()
    start_and_wait(site, tmp_path, ONE, TWO, THREE)
    processes = [psutil.Process(pid_of(tmp_path, name)) for name in (ONE, TWO)]
    site.stop([ONE, TWO])
    assert [process.is_running() for process in processes] == [False, False]
    assert states(site)[THREE] is WorkerState.RUNNING


def test_who_ignores_term_is_killed_with_all_that_it_started(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site("stubborn", grace_seconds=0.2)
    start_and_wait(site, tmp_path, ONE, campaign="stubborn")
    process = psutil.Process(pid_of(tmp_path, ONE, "stubborn"))
    children = process.children()
    site.stop([ONE])
    assert children
    assert not process.is_running()
    assert psutil.wait_procs(children, timeout=10)[1] == []


def test_a_worker_that_is_gone_is_told_with_its_exit_code_and_last_words(make_site: MakeSite) -> None:
    site = make_site("failing")
    site.start([ONE])
    gone = wait_gone(site, ONE)
    assert gone.exit_code == 7
    assert "no room on this machine" in gone.reason
    assert "exit code 7" in gone.reason


def test_another_launcher_knows_the_last_words_too(make_site: MakeSite) -> None:
    first = make_site("failing")
    first.start([ONE])
    wait_gone(first, ONE)
    gone = wait_gone(make_site("failing"), ONE)
    assert gone.exit_code is None
    assert "no room on this machine" in gone.reason


def test_a_worker_that_is_gone_is_not_started_again_under_its_name(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site("failing")
    site.start([ONE])
    wait_gone(site, ONE)
    before = pid_of(tmp_path, ONE, "failing")
    site.start([ONE])
    assert pid_of(tmp_path, ONE, "failing") == before


def test_another_process_under_a_used_again_number_is_not_taken_for_the_worker(
    make_site: MakeSite, tmp_path: Path
) -> None:
    site = make_site()
    start_and_wait(site, tmp_path, ONE)
    site.stop([ONE])
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as stranger:
        note = tmp_path / "calm" / f"{ONE}.json"
        note.write_text(json.dumps({**json.loads(note.read_text()), "pid": stranger.pid, "started_at": 1.0}))
        other = make_site()
        assert states(other) == {ONE: WorkerState.GONE}
        other.stop([ONE])
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("make_site", ["plain"], indirect=True)
def test_what_cannot_be_started_is_said(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site()
    site.start([])
    (tmp_path / "calm" / f"{ONE}.log").mkdir()
    with pytest.raises(SiteError, match="worker-0001 cannot be started on this machine"):
        site.start([ONE])


def test_what_is_forgotten_leaves_nothing(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site()
    start_and_wait(site, tmp_path, ONE)
    site.stop([ONE])
    site.forget()
    assert site.list_workers() == []
    assert not (tmp_path / "calm").exists()
