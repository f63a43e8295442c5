"""From URLs and options to stores, and what is said about wrong ones."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from gliderport_prefect.errors import (
    StoreAccessDenied,
    StoreKeyInvalid,
    StoreNotFound,
    UserError,
)
from gliderport_prefect.store import open_store, probe
from tests.s3server import S3Root

_KEYS = {"access_key_id": "a", "secret_access_key": "b"}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "the store's URL is empty"),
        ("ftp://host/folder", "ftp:// is no kind of store"),
        ("file://folder/below", "not an absolute path"),
        ("s3:///prefix", "names no bucket"),
        ("s3://key:secret@bucket", "a bucket and a prefix only"),
        ("s3://bucket/prefix?versionId=1", "a bucket and a prefix only"),
        ("s3://bucket/" + "x" * 121, "more than 120 bytes"),
        ("az://container/prefix", "Account must be specified"),
    ],
)
def test_a_wrong_url_is_the_users_mistake(url: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        open_store(url)


@pytest.mark.parametrize("url", ["memory://", "/tmp", "s3://bucket", "gs://bucket"])  # noqa: S108 - nothing is written
def test_an_unknown_option_is_named(url: str) -> None:
    with pytest.raises(UserError, match="regoin"):
        open_store(url, {"regoin": "eu-central-1"})


def test_a_key_without_its_secret_is_refused() -> None:
    with pytest.raises(UserError, match="secret_access_key"):
        open_store("s3://bucket", {"access_key_id": "a"})


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("s3://bucket/prefix", _KEYS),
        ("s3a://bucket/prefix", _KEYS),
        ("gs://bucket/prefix", {"skip_signature": "true"}),
        ("az://container/prefix", {"account_name": "account", "account_key": "a2V5"}),
        ("abfss://container@account.dfs.core.windows.net/prefix", {"account_key": "a2V5"}),
    ],
)
def test_the_url_is_kept_as_written(url: str, options: dict[str, str]) -> None:
    assert open_store(url, options).url == url


def test_a_folder_is_opened_by_path_and_by_url(tmp_path: Path) -> None:
    first = open_store(tmp_path / "a b", makes_root=True)
    first.create("key", b"content")
    assert first.url == f"{tmp_path.as_uri()}/a%20b"
    for again in (first.url, str(tmp_path / "a b"), tmp_path / "a b"):
        assert open_store(again).get("key") == b"content"


def test_a_folder_may_be_given_from_the_home_or_the_present_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert open_store("~/runs").url == open_store("runs").url == (tmp_path / "runs").as_uri()


def test_a_missing_folder_is_made_only_when_asked(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound, match=r"there is no folder .*missing: create it"):
        open_store(tmp_path / "missing")
    open_store(tmp_path / "missing" / "deeper", makes_root=True)
    assert (tmp_path / "missing" / "deeper").is_dir()


@pytest.mark.parametrize("makes_root", [False, True])
def test_a_file_is_no_store(tmp_path: Path, *, makes_root: bool) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreNotFound, match="is a file, not a folder"):
        open_store(tmp_path / "file", makes_root=makes_root)


def test_a_key_below_an_object_is_refused_by_a_folder(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.create("a/b", b"")
    with pytest.raises(StoreKeyInvalid, match="a/b/c"):
        store.create("a/b/c", b"")
    with pytest.raises(StoreKeyInvalid, match="folder of other keys"):
        store.create("a", b"")


def test_a_full_disk_is_told_and_what_was_written_stays(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk: it fails the same write."""
    script = (
        "import sys; from gliderport_prefect.store import open_store; from gliderport_prefect.errors import StoreFull\n"
        "store = open_store(sys.argv[1]); store.create('small', b'x')\n"
        "try: store.create('large', bytes(200_000))\n"
        "except StoreFull as error: print(error)\n"
        "print([o.key for o in store.list()])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        cwd=Path(__file__).resolve().parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    message, keys = done.stdout.splitlines()
    assert f"cannot create large in {tmp_path.as_uri()}: the disk or quota is full: free some space" in message
    assert keys == "['small']"


@pytest.mark.s3
def test_endpoint_and_keys_come_from_the_environment(s3_root: S3Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_root.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_root.options["access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_root.options["secret_access_key"])
    probe(open_store(s3_root.url))


@pytest.mark.s3
def test_given_keys_are_not_mixed_with_a_session_token_of_the_environment(
    s3_root: S3Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "another key's")
    probe(open_store(s3_root.url, s3_root.options))


@pytest.mark.s3
def test_keys_come_from_a_profile_where_the_environment_has_none(
    s3_root: S3Root, tmp_path: Path, *, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = "\n".join(f"aws_{name} = {s3_root.options[name]}" for name in ("access_key_id", "secret_access_key"))
    wrong = "aws_access_key_id = x\naws_secret_access_key = y"
    text = f"[default]\n{right}\n[wrong]\n{wrong}\n"
    (tmp_path / "credentials").write_text(text)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    probe(open_store(s3_root.url, {"endpoint": s3_root.endpoint}))
    with pytest.raises(StoreAccessDenied):
        probe(open_store(s3_root.url, {"endpoint": s3_root.endpoint, "profile": "wrong"}))
    with pytest.raises(UserError, match="absent"):
        open_store(s3_root.url, {"endpoint": s3_root.endpoint, "profile": "absent"})


def test_a_profile_whose_login_has_ended_is_told_from_wrong_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "[profile lab]\nsso_start_url = https://lab.example/start\nsso_region = eu-west-3\n"
    text += "sso_account_id = 1\nsso_role_name = r\n[profile broken]\ncredential_process = false\n"
    (tmp_path / "config").write_text(text)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(
        StoreAccessDenied, match=r"profile gives no credentials \(Error loading SSO Token.*log in again"
    ):
        open_store("s3://bucket", {"profile": "lab"}).get("key")
    with pytest.raises(UserError, match=r"profile gives no credentials(.|\n)*log in again"):
        open_store("s3://bucket", {"profile": "broken"})


@pytest.mark.s3
def test_two_prefixes_of_one_bucket_do_not_see_each_other(s3_root: S3Root) -> None:
    outer = open_store(s3_root.url, s3_root.options)
    inner = open_store(f"{s3_root.url}/inner", s3_root.options)
    inner.create("key", b"content")
    assert inner.list()[0].key == "key"
    assert outer.get("inner/key") == b"content"
    assert outer.get("key") is None


def test_a_missing_certificate_file_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="root_certificate"):
        open_store("s3://bucket", {**_KEYS, "root_certificate": str(tmp_path / "missing.pem")})
