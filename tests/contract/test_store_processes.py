"""A folder that several processes share keeps the contract between them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from gliderport_prefect.store import open_store
from tests.contract import store_writer
from tests.contract.store_writer import fill_object

_RACERS = 8
_KEYS = 200


def test_one_of_eight_processes_wins_each_of_200_keys(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    racers = [_start("race", str(tmp_path), f"racer {n}", str(_KEYS)) for n in range(_RACERS)]
    for racer in racers:
        assert _output_of(racer).readline() == "ready\n"
    wins = [(number, win) for number, won in enumerate(_let_go(racers)) for win in won]
    assert sorted(win for _, win in wins) == list(range(_KEYS))
    for number, win in wins:
        assert store.get(f"race/{win:04d}") == f"racer {number} {win}".encode()


@pytest.mark.parametrize("objects_before", [1, 2, 5, 6])
def test_a_killed_writer_leaves_no_torn_object(tmp_path: Path, objects_before: int) -> None:
    (tmp_path / "files").mkdir()
    store = open_store(tmp_path / "store", makes_root=True)
    writer = _start("write", str(tmp_path / "store"), str(tmp_path / "files"))
    for _ in range(objects_before):
        _output_of(writer).readline()
    writer.kill()
    writer.communicate()
    visible = store.list()
    assert len(visible) >= objects_before - 1
    for stored in visible:
        assert store.get(stored.key) == fill_object(int(stored.key[-8:]))


def test_what_a_killed_writer_left_is_no_obstacle_to_the_next(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    store = open_store(tmp_path / "store", makes_root=True)
    writer = _start("write", str(tmp_path / "store"), str(tmp_path / "files"))
    _output_of(writer).readline()
    writer.kill()
    writer.communicate()
    standing = store.create("written/00000000", b"the next writer's")
    assert standing in {None, fill_object(0)}
    assert store.create("written/99999999", b"the next writer's") is None


def _start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(store_writer.__file__), *arguments]
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _output_of(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def _let_go(racers: list[subprocess.Popen[str]]) -> list[list[int]]:
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    return [[int(number) for number in racer.communicate(timeout=60)[0].split()] for racer in racers]
