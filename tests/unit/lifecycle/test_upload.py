from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from gliderport_prefect.campaign.specs import SpecReader
from gliderport_prefect.errors import UserError
from gliderport_prefect.lifecycle.order import Order
from gliderport_prefect.lifecycle.plan import open_runtime
from gliderport_prefect.lifecycle.prepare import prepare
from gliderport_prefect.lifecycle.specs import Submitted
from gliderport_prefect.lifecycle.upload import upload, with_uploaded_inputs
from gliderport_prefect.protocol.ids import CampaignId, JobId
from gliderport_prefect.protocol.jobspec import Input, JobSpec
from gliderport_prefect.protocol.keys import CampaignKeys
from gliderport_prefect.store import CountingStore, Store, open_store

KEYS = CampaignKeys(CampaignId("c"))


@pytest.fixture
def store() -> Store:
    return open_store("memory://")


def write(path: Path, text: str, *, mode: int = 0o644) -> Path:
    """Write the text and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def job(*inputs: Input, name: str = "a") -> JobSpec:
    """Return a job with these inputs."""
    return JobSpec(JobId(name), run="true", inputs=inputs)


def bring(store: Store, *jobs: JobSpec) -> list[JobSpec]:
    """Upload the inputs of the jobs."""
    return list(with_uploaded_inputs(store, KEYS, jobs=jobs))


def digest(text: str | bytes) -> str:
    """Return the name of the text's blob."""
    return sha256(text if isinstance(text, bytes) else text.encode()).hexdigest()


def content(store: Store, given: Input) -> bytes:
    """Return the uploaded content."""
    kind, _, name = given.source.partition(":")
    assert kind in {"blob", "tree"}
    data = store.get(KEYS.blob(name))
    assert data is not None
    assert digest(data) == name
    return data


def test_a_file_becomes_a_blob_named_by_its_content(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "x.txt", "hello")
    ((given,),) = (each.inputs for each in bring(store, job(Input(str(path)))))
    assert given == Input(f"blob:{digest('hello')}", "x.txt", 5)
    assert content(store, given) == b"hello"


def test_the_executable_bit_and_an_empty_file_are_kept(store: Store, tmp_path: Path) -> None:
    tool, empty = write(tmp_path / "tool", "x", mode=0o755), write(tmp_path / "empty", "")
    (spec,) = bring(store, job(Input(str(tool), "bin/t"), Input(str(empty))))
    assert [(each.target, each.size_bytes, each.executable) for each in spec.inputs] == [
        ("bin/t", 1, True),
        ("empty", 0, False),
    ]


def test_each_match_of_a_glob_is_an_input_of_its_own(store: Store, tmp_path: Path) -> None:
    for name in ("b.gz", "a.gz", "sub/c.gz", "d.txt"):
        write(tmp_path / name, name)
    star, deep = Input(f"{tmp_path}/*.gz"), Input(f"{tmp_path}/**/*.gz", "all/")
    (flat,) = bring(store, job(star))
    (below,) = bring(store, job(deep))
    assert [each.target for each in flat.inputs] == ["a.gz", "b.gz"]
    assert [each.target for each in below.inputs] == ["all/a.gz", "all/b.gz", "all/c.gz"]


def test_a_path_that_exists_is_no_glob(store: Store, tmp_path: Path) -> None:
    write(tmp_path / "a[1].txt", "literal")
    write(tmp_path / "a1.txt", "match")
    (spec,) = bring(store, job(Input(f"{tmp_path}/a[1].txt")))
    assert [content(store, each) for each in spec.inputs] == [b"literal"]


def test_a_folder_becomes_a_tree_of_blobs_with_links_followed(store: Store, tmp_path: Path) -> None:
    write(tmp_path / "data/b/x", "one")
    write(tmp_path / "data/a", "one", mode=0o755)
    write(tmp_path / "elsewhere/y", "two")
    (tmp_path / "data/link").symlink_to(tmp_path / "elsewhere/y")
    (tmp_path / "data/folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/empty").mkdir()
    (spec,) = bring(store, job(Input(f"{tmp_path}/data/")))
    (given,) = spec.inputs
    assert (given.target, given.size_bytes) == ("data", 12)
    entries = json.loads(content(store, given))
    assert [(each["path"], each["sha256"], each.get("executable", False)) for each in entries] == [
        ("a", digest("one"), True),
        ("b/x", digest("one"), False),
        ("folder/y", digest("two"), False),
        ("link", digest("two"), False),
    ]
    assert len(store.list(KEYS.blobs)) == 3


def test_what_jobs_share_is_sent_once_and_what_is_there_not_again(store: Store, tmp_path: Path) -> None:
    path, twin = write(tmp_path / "x", "shared"), write(tmp_path / "twin", "shared")
    jobs = [job(Input(str(path)), Input(str(twin)), name=f"j{n}") for n in range(2_500)]
    counted = CountingStore(store)
    assert len({each.inputs for each in bring(counted, *jobs)}) == 1
    assert counted.counts == {"list": 1, "upload_file": 1}
    bring(counted, *jobs)
    assert counted.counts == {"list": 2, "upload_file": 1}


def test_jobs_without_local_inputs_cost_no_request(store: Store) -> None:
    counted = CountingStore(store)
    given = job(Input("s3://bucket/key"), Input("https://host/x", "y"), Input("file:///etc/hosts"))
    assert bring(counted, given, job()) == [given, job()]
    assert counted.total == 0


def test_a_job_is_handed_on_only_when_all_its_inputs_are_there(store: Store, tmp_path: Path) -> None:
    paths = [write(tmp_path / f"f{n}", f"content {n}") for n in range(1_500)]
    jobs = (job(Input(str(path)), name=f"j{n}") for n, path in enumerate(paths))
    for count, each in enumerate(with_uploaded_inputs(store, KEYS, jobs=jobs)):
        if count in {0, 999, 1_000, 1_499}:
            assert content(store, each.inputs[0]) == f"content {count}".encode()


def test_a_file_that_changes_while_it_is_uploaded_leaves_no_false_blob(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "x", "before")

    class Slow:
        def __getattr__(self, name: str) -> object:
            return getattr(store, name)

        def upload_file(self, source: Path, key: str) -> int:
            source.write_text("after, and longer")
            return store.upload_file(source, key)

    with pytest.raises(UserError, match="changed while it was uploaded"):
        bring(Slow(), job(Input(str(path))))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert store.list() == []


def test_an_input_that_is_gone_since_it_was_checked_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{tmp_path}/x does not exist"):
        bring(store, job(Input(f"{tmp_path}/x")))


# --- the stage --------------------------------------------------------------------------------------------------


@pytest.fixture
def order(tmp_path: Path) -> Order:
    write(tmp_path / "source/x.txt", "hello")
    write(tmp_path / "source/campaign.yaml", "name: c\nworkers: 2\njobs:\n- {id: a, run: cat x.txt, inputs: x.txt}\n")
    return Order(bucket=str(tmp_path / "bucket"), source=str(tmp_path / "source"))


def test_the_stage_brings_identity_inputs_and_specs_into_the_bucket(order: Order) -> None:
    plan = prepare(order)
    assert upload(order, plan) == Submitted(total=1, added=1, skipped=0)
    runtime = open_runtime(plan)
    (spec,) = SpecReader(runtime.store, runtime.keys).specs()
    assert content(runtime.store, spec.inputs[0]) == b"hello"
    assert {stored.key.split("/")[2] for stored in runtime.store.list("campaigns")} == {
        "campaign.json",
        "blobs",
        "specs",
    }
    assert [stored.key for stored in runtime.store.list("index")] == ["index/c"]


def test_the_stage_run_again_adds_what_is_new_and_tells_a_running_launcher(order: Order) -> None:
    upload(order, prepare(order))
    file = Path(order.source or "") / "campaign.yaml"
    assert upload(order, prepare(order)) == Submitted(total=1, added=0, skipped=1)
    runtime = open_runtime(prepare(order))
    assert runtime.store.list(runtime.keys.requests) == []
    file.write_text(file.read_text() + "- {id: b, run: x}\n")
    assert upload(order, prepare(order)) == Submitted(total=2, added=1, skipped=1)
    assert len(runtime.store.list(runtime.keys.requests)) == 1


def test_an_input_with_new_content_is_another_spec_and_refused(order: Order) -> None:
    upload(order, prepare(order))
    (Path(order.source or "") / "x.txt").write_text("changed")
    with pytest.raises(UserError, match="'a' already, with another spec"):
        upload(order, prepare(order))
