"""What is uploaded of a checkpoint folder, what is kept, and what the next attempt gets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gliderport_prefect.errors import StoreError, StoreUnreachable
from gliderport_prefect.protocol.codec import encode
from gliderport_prefect.protocol.ids import AttemptId, SessionId
from gliderport_prefect.protocol.records import SavedCheckpoint, SavedFile, SavedLink
from gliderport_prefect.store import Store, open_store
from gliderport_prefect.store.counting import CountingStore
from tests.checkpoint_rig import JOB, KEYS, Machine
from vm_worker.checkpoint_save import Interrupted
from vm_worker.checkpoint_shelf import Stale


@pytest.fixture
def counted() -> CountingStore:
    return CountingStore(open_store("memory://"))


@pytest.fixture
def machine(tmp_path: Path, counted: CountingStore) -> Machine:
    return Machine(tmp_path, counted)


def uploads(store: CountingStore) -> int:
    return store.counts["upload_file"]


def test_the_next_attempt_finds_the_folder_as_it_was(machine: Machine) -> None:
    first = machine.begin("1.1")
    first.write(weights="12", log="a")
    (first.folder / "tool").write_text("#!/bin/sh")
    (first.folder / "tool").chmod(0o755)
    (first.folder / "latest").symlink_to("weights")
    (first.folder / "new/empty").mkdir(parents=True)
    before = (first.folder / "weights").stat().st_mtime_ns
    assert first.saver.save()

    second = machine.begin("2.1")

    assert second.restored is not None
    assert second.restored.size_bytes == first.saver.saved_bytes == 12
    assert second.look() == first.look()
    assert len(second.look()) == 5
    assert (second.folder / "weights").stat().st_mtime_ns == before


def test_an_empty_folder_is_not_saved(machine: Machine, counted: CountingStore) -> None:
    assert machine.begin("1.1").saver.save()
    assert machine.numbers() == []
    assert set(counted.counts) == {"list"}, "only the look for an earlier checkpoint"


def test_what_has_not_changed_costs_no_request(machine: Machine, counted: CountingStore) -> None:
    run = machine.begin("1.1")
    run.write(x="1")
    run.saver.save()
    before = counted.total
    assert run.saver.save()
    assert counted.total == before


def test_a_file_that_was_only_touched_is_not_saved_again(machine: Machine, counted: CountingStore) -> None:
    run = machine.begin("1.1")
    run.write(x="1")
    run.saver.save()
    before = counted.total
    run.write(x="1")
    assert run.saver.save()
    assert counted.total == before


def test_what_was_restored_and_has_not_changed_is_not_saved(machine: Machine, counted: CountingStore) -> None:
    run = machine.begin("1.1")
    run.write(x="1")
    run.saver.save()
    second = machine.begin("2.1")
    before = counted.total
    assert second.saver.save()
    assert counted.total == before


def test_only_files_that_are_new_are_uploaded(machine: Machine, counted: CountingStore) -> None:
    run = machine.begin("1.1")
    run.write(a="1", b="2", same="2")
    run.saver.save()
    assert uploads(counted) == 2, "two of the three have the same content"
    run.write(a="3")
    (run.folder / "b").rename(run.folder / "c")
    run.saver.save()
    assert uploads(counted) == 3
    assert machine.read() == run.look()


def test_an_object_that_a_kept_checkpoint_names_stays(machine: Machine, counted: CountingStore) -> None:
    run = machine.begin("1.1")
    run.write(old="old")
    for step in range(5):
        run.write(step=str(step))
        run.saver.save()
        assert machine.read() == run.look()
    assert uploads(counted) == 6
    assert machine.numbers() == [4, 5]
    assert machine.objects() == 3


def test_a_content_that_comes_back_is_uploaded_again_once_it_was_deleted(machine: Machine) -> None:
    run, keys = machine.begin("1.1"), set[str]()
    for content in "abcda":
        run.write(x=content)
        run.saver.save()
        keys |= {each.key for each in machine.store.list(KEYS.saved_files(JOB))}
    assert machine.read() == run.look()
    assert machine.objects() == 2
    assert len(keys) == 5, "under another key, which a late delete of the first does not hit"


def test_a_folder_that_was_emptied_is_saved_as_empty(machine: Machine) -> None:
    run = machine.begin("1.1")
    run.write(x="1")
    run.saver.save()
    (run.folder / "x").unlink()
    run.saver.save()
    assert machine.read() == {}


def test_a_changed_mode_or_link_is_a_change(machine: Machine) -> None:
    run = machine.begin("1.1")
    run.write(x="1")
    run.saver.save()
    (run.folder / "x").chmod(0o755)
    run.saver.save()
    assert machine.read() == {"x": "755 1"}
    (run.folder / "link").symlink_to("x")
    run.saver.save()
    assert machine.read() == {"x": "755 1", "link": "-> x"}


def test_of_two_attempts_that_save_the_later_one_counts_and_the_other_stops(machine: Machine) -> None:
    lost = machine.begin("1.1")
    lost.write(x="lost 1")
    lost.saver.save()
    new = machine.begin("2.1")
    lost.write(x="lost 2")
    lost.saver.save()
    new.write(x="new")
    new.saver.save()
    lost.write(x="lost 3")
    with pytest.raises(Stale):
        lost.saver.save()
    assert machine.read() == {"x": "644 new"}


def test_the_same_try_by_a_later_launcher_is_the_later_one(machine: Machine) -> None:
    for attempt in ("10.2", "9.3", "10.1"):
        run = machine.begin(attempt)
        run.write(x=attempt)
        if attempt == "10.2":
            run.saver.save()
        else:
            with pytest.raises(Stale):
                run.saver.save()
    assert machine.read() == {"x": "644 10.2"}


def test_a_later_attempt_names_nothing_that_an_earlier_one_may_delete(machine: Machine) -> None:
    lost = machine.begin("1.1")
    lost.write(big="big", x="1")
    lost.saver.save()
    new = machine.begin("2.1")
    new.write(x="2")
    new.saver.save()
    for each in machine.store.list(KEYS.saved_files(JOB)):
        if KEYS.saved_by(JOB, each.key) == "1.1":
            machine.store.delete([each.key])
    assert machine.read() == new.look()
    assert len(new.look()) == 2


def test_what_a_later_attempt_has_uploaded_so_far_is_not_touched(machine: Machine) -> None:
    lost = machine.begin("1.1")
    store = _Refusing(machine.store)
    new = machine.begin("2.1", store)  # pyright: ignore[reportArgumentType]
    new.write(x="new")
    with pytest.raises(StoreError):
        new.saver.save()
    lost.write(x="lost")
    lost.saver.save()
    store.refuses = False
    new.saver.save()
    assert machine.read() == new.look()
    assert new.saver.saved_bytes == 3, "what had arrived was not sent again"


def test_what_is_older_goes_but_not_what_the_attempt_began_with_before_it_has_two_of_its_own(machine: Machine) -> None:
    first = machine.begin("1.1")
    for step in range(3):
        first.write(x=f"first {step}")
        first.saver.save()
    second = machine.begin("2.1")
    second.write(x="second 1")
    second.saver.save()
    assert machine.numbers() == [3, 4]
    second.write(x="second 2")
    second.saver.save()
    assert machine.numbers() == [4, 5]
    assert machine.objects() == 2


def test_a_checkpoint_that_was_passed_over_goes_before_the_one_that_was_restored(machine: Machine) -> None:
    first = machine.begin("1.1")
    for step in range(2):
        first.write(x=f"first {step}")
        first.saver.save()
    lost = machine.shelf().list_newest_first()[0].record.files[0].key
    machine.store.delete([lost])
    second = machine.begin("2.1")
    assert second.look() == {"x": "644 first 0"}
    second.write(x="second")
    second.saver.save()
    assert machine.numbers() == [1, 3]


def test_a_save_that_is_given_up_leaves_the_last_one_and_is_made_up_for(
    machine: Machine, counted: CountingStore
) -> None:
    run = machine.begin("1.1")
    run.write(x="1")
    run.saver.save()
    run.write(**{f"f{number}": f"content {number}" for number in range(20)})
    checks = iter(range(10))

    def give_up() -> None:
        if next(checks, None) is None:
            raise Interrupted

    run.saver.check = give_up
    with pytest.raises(Interrupted):
        run.saver.save()
    assert machine.read() == {"x": "644 1"}
    assert 0 < uploads(counted) - 1 < 20

    run.saver.check = lambda: None
    run.saver.save()
    assert machine.read() == run.look()
    assert uploads(counted) == 21, "what had arrived was not sent again"


class _Refusing:
    """A store that takes no more records, or says so although it does."""

    def __init__(self, inner: Store, *, lies: bool = False) -> None:
        self._inner = inner
        self._lies = lies
        self.refuses = True

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def create(self, key: str, data: bytes) -> bytes | None:
        if self.refuses and not self._lies:
            raise StoreUnreachable("no")
        standing = self._inner.create(key, data)
        if self.refuses:
            raise StoreUnreachable("the reply was lost")
        return standing


def test_files_without_their_record_are_no_checkpoint(machine: Machine) -> None:
    store = _Refusing(machine.store)
    run = machine.begin("1.1", store)  # pyright: ignore[reportArgumentType]
    run.write(x="1")
    with pytest.raises(StoreError):
        run.saver.save()
    assert (machine.objects(), machine.read()) == (1, None)
    store.refuses = False
    run.saver.save()
    assert (machine.objects(), machine.read()) == (1, run.look())


def test_after_a_record_whose_reply_was_lost_the_folder_is_saved_even_as_it_was_before(machine: Machine) -> None:
    store = _Refusing(machine.store, lies=True)
    store.refuses = False
    run = machine.begin("1.1", store)  # pyright: ignore[reportArgumentType]
    run.write(x="1")
    run.saver.save()
    store.refuses = True
    run.write(y="2")
    with pytest.raises(StoreError):
        run.saver.save()
    store.refuses = False
    (run.folder / "y").unlink()
    run.saver.save()
    assert machine.read() == run.look()


def test_clearing_leaves_nothing(machine: Machine) -> None:
    run = machine.begin("1.1")
    run.write(x="1")
    run.saver.save()
    machine.shelf().clear()
    assert machine.store.list(KEYS.checkpoints) == []
    machine.shelf().clear()


# --- what cannot be restored --------------------------------------------------------------------------------------

FIRST = AttemptId("1.1")
KEY = KEYS.saved_file(JOB, FIRST, "1-a")
GOOD = SavedFile("x", 1, "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b", KEY)
RECORD = SavedCheckpoint("t", FIRST, SessionId("w.1"), "now", (GOOD,))


def shelve(machine: Machine, number: int, record: SavedCheckpoint) -> None:
    """Put a record as some worker might have written it, and a file of content `1`."""
    machine.store.create(KEY, b"1")
    machine.store.create(f"{KEYS.saved(JOB)}/{number:08d}", encode(record))


@pytest.mark.parametrize(
    "broken",
    [
        replace(RECORD, files=(replace(GOOD, key=f"{KEY}-gone"),)),
        replace(RECORD, files=(replace(GOOD, size_bytes=2),)),
        replace(RECORD, files=(replace(GOOD, sha256="0" * 64),)),
        replace(RECORD, files=(replace(GOOD, path="../x"),)),
        replace(RECORD, files=(replace(GOOD, path="a/../../x"),)),
        replace(RECORD, files=(replace(GOOD, path="/x"),)),
        replace(RECORD, files=(replace(GOOD, path=""),)),
        replace(RECORD, files=(GOOD, GOOD)),
        replace(RECORD, files=(GOOD, replace(GOOD, path="x/y"))),
        replace(RECORD, folders=("../f",)),
        replace(RECORD, folders=("x",)),
        replace(RECORD, links=(SavedLink("../l", "x"),)),
        replace(RECORD, links=(SavedLink("x", "y"),)),
        replace(RECORD, links=(SavedLink("x/y", "z"),)),
        replace(RECORD, links=(SavedLink("l", "/etc/passwd"),)),
        replace(RECORD, links=(SavedLink("l", "../../x"),)),
        replace(RECORD, links=(SavedLink("a", "."), SavedLink("b", "a/../../x"))),
        replace(RECORD, attempt=AttemptId("no attempt")),
    ],
)
def test_a_broken_checkpoint_is_passed_over_for_the_one_before(machine: Machine, broken: SavedCheckpoint) -> None:
    shelve(machine, 1, RECORD)
    shelve(machine, 2, replace(broken, files=(*broken.files, replace(GOOD, path="second"))))
    run = machine.begin("2.1")
    assert run.look() == {"x": "644 1"}
    assert sorted(path.name for path in (machine.disk / "2.1").iterdir()) == ["state"]


def test_a_later_try_goes_before_a_higher_number(machine: Machine) -> None:
    shelve(machine, 4, replace(RECORD, attempt=AttemptId("10.1")))
    shelve(machine, 5, replace(RECORD, attempt=AttemptId("9.1"), files=()))
    assert machine.read() == {"x": "644 1"}


def test_a_record_that_is_none_is_passed_over(machine: Machine) -> None:
    shelve(machine, 1, RECORD)
    machine.store.create(f"{KEYS.saved(JOB)}/00000002", b"{")
    assert machine.read() == {"x": "644 1"}


def test_without_a_whole_checkpoint_the_folder_stays_as_it_is(machine: Machine) -> None:
    shelve(machine, 1, replace(RECORD, files=(replace(GOOD, size_bytes=2),)))
    (machine.disk / "2.1/state").mkdir(parents=True)
    (machine.disk / "2.1/state/seed").write_text("from an input")
    run = machine.begin("2.1")
    assert run.restored is None
    assert run.look() == {"seed": "644 from an input"}


def test_a_record_that_is_deleted_while_it_is_listed_gives_way_to_the_newer_one(machine: Machine) -> None:
    lost = machine.begin("1.1")
    for step in range(2):
        lost.write(x=str(step))
        lost.saver.save()

    class Overtaking:
        """A store behind which the lost worker saves again before the last record is read."""

        def __getattr__(self, name: str) -> object:
            return getattr(machine.store, name)

        def get(self, key: str) -> bytes | None:
            if key.endswith("00000002") and lost.look() == {"x": "644 1"}:
                for step in range(2, 4):
                    lost.write(x=str(step))
                    lost.saver.save()
            return machine.store.get(key)

    new = machine.begin("2.1", Overtaking())  # pyright: ignore[reportArgumentType]
    assert new.look() == {"x": "644 3"}


def test_a_checkpoint_that_is_deleted_while_it_is_read_gives_way_to_the_newer_one(machine: Machine) -> None:
    lost = machine.begin("1.1")
    lost.write(x="1")
    lost.saver.save()

    class Overtaking:
        """A store behind which the lost worker saves three times more before the first file is read."""

        def __getattr__(self, name: str) -> object:
            return getattr(machine.store, name)

        def download_file(self, key: str, path: Path) -> int:
            for step in range(2, 5) if lost.look() == {"x": "644 1"} else ():
                lost.write(x=str(step))
                lost.saver.save()
            return machine.store.download_file(key, path)

    new = machine.begin("2.1", Overtaking())  # pyright: ignore[reportArgumentType]
    assert new.look() == {"x": "644 4"}
