"""A store behind a network and a server that fail: nothing is lost, nothing hangs, the message is right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gliderport_prefect.errors import StoreAccessDenied, StoreNotFound, StoreUnreachable, StoreUnsafe
from gliderport_prefect.store import Patience, open_store, probe
from gliderport_prefect.store.bulk import LARGE_BYTES
from tests.careless_s3 import CarelessS3
from tests.faulty_proxy import Fault, FaultyProxy
from tests.s3server import S3Root

_HURRIED = Patience(outage_s=0.5, first_contact_s=0.5)


@pytest.fixture
def proxy(s3_root: S3Root) -> Iterator[FaultyProxy]:
    with FaultyProxy(s3_root.endpoint) as proxy:
        yield proxy


@pytest.mark.s3
def test_a_create_whose_reply_was_lost_is_known_as_ours(s3_root: S3Root, proxy: FaultyProxy) -> None:
    store = open_store(s3_root.url, s3_root.through(proxy.endpoint))
    proxy.fail_next("PUT", Fault.LOSE_REPLY)
    assert store.create("key", b"mine, with a token") is None
    assert open_store(s3_root.url, s3_root.options).get("key") == b"mine, with a token"
    assert proxy.seen.count("PUT") == 2


@pytest.mark.s3
def test_a_lost_reply_does_not_hide_that_another_had_won(s3_root: S3Root, proxy: FaultyProxy) -> None:
    open_store(s3_root.url, s3_root.options).create("key", b"theirs")
    store = open_store(s3_root.url, s3_root.through(proxy.endpoint))
    proxy.fail_next("PUT", Fault.LOSE_REPLY)
    assert store.create("key", b"ours") == b"theirs"


@pytest.mark.s3
def test_a_conflict_without_an_object_is_tried_again(s3_root: S3Root, proxy: FaultyProxy) -> None:
    store = open_store(s3_root.url, s3_root.through(proxy.endpoint))
    proxy.fail_next("PUT", Fault.CONFLICT_409, Fault.CONFLICT_409)
    assert store.create("key", b"ours") is None
    assert store.get("key") == b"ours"


@pytest.mark.s3
@pytest.mark.parametrize("fault", [Fault.REFUSE_503, Fault.REFUSE_500])
def test_a_server_that_refuses_some_requests_is_asked_again(
    s3_root: S3Root, proxy: FaultyProxy, *, fault: Fault
) -> None:
    store = open_store(s3_root.url, s3_root.through(proxy.endpoint))
    for method in ("PUT", "GET", "POST"):
        proxy.fail_next(method, fault, fault, fault)
    assert store.create("key", b"content") is None
    assert store.get("key") == b"content"
    proxy.fail_next("GET", fault)
    assert [stored.key for stored in store.list()] == ["key"]
    store.delete(["key"])
    assert store.get("key") is None


@pytest.mark.s3
def test_a_large_upload_survives_lost_and_refused_parts(s3_root: S3Root, proxy: FaultyProxy, *, tmp_path: Path) -> None:
    store = open_store(s3_root.url, s3_root.through(proxy.endpoint))
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(range(256)) * (LARGE_BYTES // 256 + 1))
    proxy.fail_next("PUT", Fault.REFUSE_503, Fault.LOSE_REPLY)
    store.upload_file(source, "large")
    proxy.fail_next("GET", Fault.REFUSE_500, Fault.LOSE_REPLY)
    store.download_file("large", target)
    assert target.read_bytes() == source.read_bytes()


@pytest.mark.s3
def test_a_stalled_request_is_given_up_and_repeated(s3_root: S3Root, proxy: FaultyProxy) -> None:
    store = open_store(s3_root.url, s3_root.through(proxy.endpoint), patience=Patience(3, first_contact_s=3))
    proxy.fail_next("PUT", Fault.STALL)
    assert store.create("key", b"content") is None


@pytest.mark.s3
def test_an_outage_after_first_contact_is_sat_out(s3_root: S3Root, proxy: FaultyProxy) -> None:
    patience = Patience(outage_s=60, first_contact_s=0)
    store = open_store(s3_root.url, s3_root.through(proxy.endpoint), patience=patience)
    assert store.get("key") is None
    # More than the four tries of one call, so that our own retry must carry it.
    proxy.fail_next("PUT", *[Fault.REFUSE_503] * 6)
    assert store.create("key", b"content") is None


@pytest.mark.s3
def test_a_server_that_only_refuses_ends_in_unreachable(s3_root: S3Root, proxy: FaultyProxy) -> None:
    store = open_store(s3_root.url, s3_root.through(proxy.endpoint), patience=_HURRIED)
    proxy.fail_next("PUT", *[Fault.REFUSE_503] * 100)
    with pytest.raises(StoreUnreachable, match=r"create key in s3://.*503.*gave up after"):
        store.create("key", b"content")


def test_a_refused_connection_says_so_within_seconds() -> None:
    options = {"endpoint": "http://127.0.0.1:1", "access_key_id": "a", "secret_access_key": "b"}
    with pytest.raises(StoreUnreachable, match=r"s3://bucket: the connection was refused: check host and port"):
        probe(open_store("s3://bucket", options, patience=_HURRIED))


def test_an_unknown_host_says_so() -> None:
    options = {"endpoint": "http://no-such-host.invalid", "access_key_id": "a", "secret_access_key": "b"}
    with pytest.raises(StoreUnreachable, match=r"the host name is unknown: check the endpoint"):
        probe(open_store("s3://bucket", options, patience=_HURRIED))


@pytest.mark.s3
@pytest.mark.parametrize("wrong", ["access_key_id", "secret_access_key"])
def test_wrong_credentials_are_named_by_every_call(s3_root: S3Root, tmp_path: Path, *, wrong: str) -> None:
    store = open_store(s3_root.url, {**s3_root.options, wrong: "wrong"})
    (tmp_path / "file").write_bytes(b"")
    calls = (
        lambda: store.create("key", b""),
        lambda: store.get("key"),
        store.list,
        lambda: store.delete(["key"]),
        lambda: store.upload_file(tmp_path / "file", "key"),
        lambda: store.download_file("key", tmp_path / "target"),
        lambda: store.size_bytes_of("key"),
    )
    for call in calls:
        with pytest.raises(StoreAccessDenied, match=r"refuses the credentials \(.*\): check access key, secret"):
            call()


@pytest.mark.s3
def test_a_missing_bucket_is_named_by_every_call_that_can_tell(s3_root: S3Root, tmp_path: Path) -> None:
    store = open_store("s3://no-such-bucket/prefix", s3_root.options)
    (tmp_path / "file").write_bytes(b"")
    calls = (
        lambda: store.create("key", b""),
        lambda: store.get("key"),
        store.list,
        lambda: store.delete(["key"]),
        lambda: store.upload_file(tmp_path / "file", "key"),
        lambda: store.download_file("key", tmp_path / "target"),
    )
    for call in calls:
        with pytest.raises(StoreNotFound, match=r"s3://no-such-bucket/prefix: the bucket does not exist: create it"):
            call()


def test_the_probe_refuses_a_server_that_ignores_create_only() -> None:
    with CarelessS3() as server:
        options = {"endpoint": server.endpoint, "access_key_id": "a", "secret_access_key": "b"}
        with pytest.raises(StoreUnsafe, match="s3://bucket lets a create-only put overwrite"):
            probe(open_store("s3://bucket", options))
        assert server.objects == {}
