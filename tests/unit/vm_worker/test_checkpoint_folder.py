"""What a checkpoint folder holds, and copies of one moment of it."""

from __future__ import annotations

import ctypes
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from vm_worker.checkpoint_folder import Quiet, Snapshot, Unusable, survey, take_snapshot


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty checkpoint folder."""
    made = tmp_path / "state"
    made.mkdir()
    return made


def take(folder: Path, quiet: Quiet | None = None) -> Snapshot | None:
    return take_snapshot(str(folder), folder.parent / "staging", known={}, quiet=quiet)


def contents(taken: Snapshot) -> dict[str, bytes]:
    return {path: copy.read_bytes() for path, copy in taken.copies.items()}


@contextmanager
def meanwhile(act: Callable[[int], None]) -> Generator[None]:
    """Do it again and again, with 1, 2, 3 …, in another thread."""
    is_over = threading.Event()

    def run() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            act(number)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def test_files_of_all_depths_are_found_with_their_permissions(folder: Path) -> None:
    (folder / "a/b").mkdir(parents=True)
    (folder / "a/b/tool").write_text("x")
    (folder / "a/b/tool").chmod(0o750)
    (folder / "plain").write_text("xyz")
    (folder / "plain").chmod(0o640)
    files = survey(str(folder)).files
    assert {path: (mark.mode, mark.size_bytes) for path, mark in files.items()} == {
        "a/b/tool": (0o750, 1),
        "plain": (0o640, 3),
    }


def test_unfinished_files_and_what_is_no_file_are_left_out(folder: Path) -> None:
    (folder / "x.tmp").write_text("half")
    (folder / "y.part").write_text("half")
    (folder / "z.tmp").mkdir()
    (folder / "z.tmp/inside").write_text("half")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket"))
        found = survey(str(folder))
    assert found.is_empty


def test_folders_are_kept_when_nothing_is_in_them(folder: Path) -> None:
    (folder / "full/empty").mkdir(parents=True)
    assert survey(str(folder)).folders == ("full/empty",)


@pytest.mark.parametrize(
    ("path", "target", "kept"),
    [
        ("latest", "steps/7", "steps/7"),
        ("latest", "{folder}/steps/7", "steps/7"),
        ("steps/latest", "{folder}/steps/7", "7"),
        ("steps/up", "../steps/7", "../steps/7"),
        ("steps/nowhere", "8", "8"),
        ("here", ".", "."),
        ("again", "steps/../../state/steps/7", "steps/7"),
        ("out", "/etc/passwd", None),
        ("out", "..", None),
        ("out", "../elsewhere", None),
        ("steps/out", "../../elsewhere", None),
        ("out", "here/../elsewhere", None),
    ],
)
def test_links_are_kept_as_long_as_they_stay_within(folder: Path, path: str, target: str, kept: str | None) -> None:
    (folder / "steps").mkdir()
    (folder / "steps/7").write_text("x")
    if target.startswith("here"):
        (folder / "here").symlink_to(".")
    (folder / path).symlink_to(target.format(folder=folder))
    assert survey(str(folder)).links.get(path) == kept


def test_a_folder_that_is_gone_or_a_link_is_none(folder: Path) -> None:
    folder.rename(folder.parent / "other")
    with pytest.raises(Unusable):
        survey(str(folder))
    folder.symlink_to("other")
    with pytest.raises(Unusable):
        survey(str(folder))


def test_what_bears_a_known_mark_is_not_copied(folder: Path) -> None:
    (folder / "old").write_text("1")
    known = survey(str(folder)).files
    (folder / "new").write_text("2")
    taken = take_snapshot(str(folder), folder.parent / "staging", known=known)
    assert taken is not None
    assert contents(taken) == {"new": b"2"}
    assert taken.survey.files.keys() == {"old", "new"}


def test_a_file_that_is_rewritten_in_place_with_the_same_size_is_known_for_another(folder: Path) -> None:
    (folder / "x").write_text("1")
    first = take(folder)
    assert first is not None
    with (folder / "x").open("r+") as file:
        file.write("2")
    second = take_snapshot(str(folder), folder.parent / "staging", known=first.survey.files)
    assert second is not None
    assert contents(second) == {"x": b"2"}


def test_files_that_are_replaced_meanwhile_are_copied_as_they_were_together(folder: Path) -> None:
    names = [f"{number:03}" for number in range(100)]
    turns = threading.Semaphore(0)

    def replace_all() -> None:
        for turn in range(6):
            turns.acquire()
            for name in names:
                (folder / "new.tmp").write_text(str(turn))
                (folder / "new.tmp").rename(folder / name)

    with ThreadPoolExecutor(1) as pool:
        replacing = pool.submit(replace_all)
        for _ in range(6):
            turns.release()
            found = take(folder)
            # At every moment those that are first have the newest content, and the others that before it.
            values = [int(contents(found).get(name, -1)) for name in names] if found is not None else [0]
            assert values == sorted(values, reverse=True)
            assert values[0] - values[-1] in {0, 1}
        replacing.result()
    found = take(folder)
    assert found is not None
    assert set(contents(found).values()) == {b"5"}


def test_a_file_that_is_overwritten_in_place_is_taken_whole_or_once_more(folder: Path) -> None:
    path, size = folder / "x", 1 << 14
    path.write_bytes(bytes(size))
    with path.open("r+b", buffering=0) as file:

        def overwrite(number: int) -> None:
            # In the short time between the first look at the file and its copy.
            if (folder.parent / "staging/0.pin").exists():
                os.pwrite(file.fileno(), bytes([number % 256]) * size, 0)

        with meanwhile(overwrite):
            for _ in range(3):
                found = take(folder)
                assert found is None or len(set(contents(found)["x"])) == 1
    found = take(folder)
    assert found is not None
    assert contents(found) == {"x": path.read_bytes()}


@pytest.mark.parametrize("what", ["file", "sub/folder"])
def test_what_cannot_be_read_keeps_everything_from_being_taken(what: str) -> None:
    # Not in pytest's own folder, which only its owner may enter.
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made, "state")
        (folder / "sub/folder").mkdir(parents=True)
        (folder / "file").write_text("x")
        for path in (Path(made), folder, folder / "sub"):
            path.chmod(0o777)
        (folder / what).chmod(0)
        with ThreadPoolExecutor(1) as pool, pytest.raises(PermissionError):
            pool.submit(_take_as_nobody, folder).result()
        (folder / what).chmod(0o700)


def _take_as_nobody(folder: Path) -> None:
    if os.geteuid() == 0:
        # Of this thread only: root could read everything.
        ctypes.CDLL(None).setfsuid(65534)
    take(folder)


def test_what_was_written_when_its_writer_was_killed_is_doubtful(folder: Path) -> None:
    (folder / "x").write_text("perhaps half")
    written_ns = (folder / "x").stat().st_mtime_ns
    assert take(folder, Quiet(doubt_from_ns=written_ns)) is None
    assert take(folder, Quiet(doubt_from_ns=written_ns + 1)) is not None


def test_when_nobody_writes_any_more_files_are_linked_and_not_copied(folder: Path) -> None:
    (folder / "x").write_text("1")
    taken = take(folder, Quiet())
    assert taken is not None
    assert contents(taken) == {"x": b"1"}
    assert taken.copies["x"].samefile(folder / "x")


def test_nothing_of_the_staging_place_is_left_in_the_way(folder: Path) -> None:
    (folder / "x").write_text("1")
    assert take(folder) is not None
    (folder / "x").write_text("2")
    taken = take(folder)
    assert taken is not None
    assert contents(taken) == {"x": b"2"}
    assert [path.name for path in (folder.parent / "staging").iterdir()] == ["0"]
    assert (folder / "x").stat().st_nlink == 1
