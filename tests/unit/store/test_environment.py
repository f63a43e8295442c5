"""What travels to a worker on another machine so that it opens the bucket, and what stays here."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gliderport_prefect.errors import StoreAccessDenied, UserError
from gliderport_prefect.store import open_store
from gliderport_prefect.store.environment import BucketEnvironment, bucket_environment, pick_secrets
from tests.s3server import S3Root

_REPOSITORY = Path(__file__).resolve().parents[3]
_NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
_LATER = "2026-11-21T21:30:00Z"
_KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}


@dataclass
class Cloud:
    """An HTTP server in the cloud's place that only keeps what it is asked."""

    url: str
    asked: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Path with query, and the `Authorization` header."""
    answer: tuple[int, bytes] = (404, b"")
    """Status and body of every reply."""


@pytest.fixture
def cloud() -> Generator[Cloud]:
    class Keeper(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keeper.asked.append((self.path, self.headers.get("Authorization") or ""))
            status, body = keeper.answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            del format, args

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keeper)
    keeper = Cloud(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield keeper
    server.shutdown()
    thread.join()
    server.server_close()


def read_elsewhere(url: str, sent: BucketEnvironment) -> subprocess.CompletedProcess[str]:
    """Read an object in a process that has nothing but what was sent: no files, no home."""
    script = "import sys; from gliderport_prefect.store import open_store; print(open_store(sys.argv[1]).get('key'))"
    return subprocess.run(
        [sys.executable, "-c", script, url],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **sent.public, **sent.secret},
        cwd=_REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_folder_needs_nothing() -> None:
    assert bucket_environment("/data/runs", _KEYS) == bucket_environment("file:///data", _KEYS) == BucketEnvironment()


def test_s3_keys_are_secret_and_the_endpoint_is_not() -> None:
    given = {**_KEYS, "AWS_REGION": "eu-central-1", "AWS_ENDPOINT_URL": "https://s3.example", "HOME": "/root"}
    sent = bucket_environment("s3://bucket/prefix", given)
    assert sent == BucketEnvironment({"AWS_REGION": "eu-central-1", "AWS_ENDPOINT_URL": "https://s3.example"}, _KEYS)


def test_a_secret_is_not_shown_when_the_environment_is_printed() -> None:
    assert "topsecret" not in repr(bucket_environment("s3://bucket", {**_KEYS, "AWS_SECRET_ACCESS_KEY": "topsecret"}))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token", "AWS_ROLE_ARN": "arn:aws:iam::1:role/launcher"},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials"},
    ],
)
def test_a_role_of_this_machine_does_not_travel(
    given: Mapping[str, str], tmp_path: Path, *, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert bucket_environment("s3://bucket", given) == BucketEnvironment()


def test_a_session_token_whose_end_is_not_known_is_warned_of() -> None:
    sent = bucket_environment("s3://bucket", {**_KEYS, "AWS_SESSION_TOKEN": "c"})
    assert sent.secret == {**_KEYS, "AWS_SESSION_TOKEN": "c"}
    assert "expire" in sent.warning
    assert "role" in sent.warning


def test_the_end_of_temporary_keys_is_named() -> None:
    given = {**_KEYS, "AWS_SESSION_TOKEN": "c", "AWS_CREDENTIAL_EXPIRATION": _LATER}
    sent = bucket_environment("s3://bucket", given, now=_NOW)
    assert sent.expires_at == datetime(2026, 11, 21, 21, 30, tzinfo=UTC)
    assert "expire at 2026-11-21 21:30 UTC" in sent.warning


def test_expired_keys_are_refused() -> None:
    given = {**_KEYS, "AWS_SESSION_TOKEN": "c", "AWS_CREDENTIAL_EXPIRATION": "2026-11-21T08:59:00+00:00"}
    with pytest.raises(UserError, match="expired at 2026-11-21 08:59 UTC"):
        bucket_environment("s3://bucket", given, now=_NOW)


@pytest.mark.s3
def test_the_keys_of_a_profile_open_the_bucket_where_no_profile_is(
    s3_root: S3Root, tmp_path: Path, *, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = "\n".join(f"aws_{name} = {s3_root.options[name]}" for name in ("access_key_id", "secret_access_key"))
    (tmp_path / "credentials").write_text(f"[lab]\n{keys}\nregion = eu-west-3\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    sent = bucket_environment(s3_root.url, {"AWS_PROFILE": "lab", "AWS_ENDPOINT_URL": s3_root.endpoint})
    assert sent.public == {"AWS_ENDPOINT_URL": s3_root.endpoint, "AWS_REGION": "eu-west-3"}
    done = read_elsewhere(s3_root.url, sent)
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr


def test_a_profile_whose_program_hands_out_temporary_keys_tells_their_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    keys = {"AccessKeyId": "a", "SecretAccessKey": "b", "SessionToken": "c", "Expiration": ends.isoformat()}
    (tmp_path / "keys.json").write_text(json.dumps({"Version": 1, **keys}))
    (tmp_path / "config").write_text(f"[profile sso]\ncredential_process = cat {tmp_path}/keys.json\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    sent = bucket_environment("s3://bucket", {"AWS_PROFILE": "sso"})
    assert (sent.secret, sent.expires_at) == ({**_KEYS, "AWS_SESSION_TOKEN": "c"}, ends)
    assert f"expire at {ends:%Y-%m-%d %H:%M} UTC" in sent.warning


def test_a_profile_that_gives_no_keys_any_more_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "[profile sso]\nsso_start_url = https://x.example/start\nsso_region = eu-west-3\n"
    text += "sso_account_id = 1\nsso_role_name = r\n"
    (tmp_path / "config").write_text(text)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"AWS profile 'sso' gives no credentials(.|\n)*aws sso login --profile sso"):
        bucket_environment("s3://bucket", {"AWS_PROFILE": "sso"})


@pytest.mark.parametrize("name", ["GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "SERVICE_ACCOUNT"])
def test_the_file_of_a_service_account_travels_as_its_content(cloud: Cloud, tmp_path: Path, *, name: str) -> None:
    # With `disable_oauth` the address below is asked without a token; no other content of the environment names it.
    key = {
        "type": "service_account",
        "private_key": "",
        "private_key_id": "",
        "client_email": "",
        "disable_oauth": True,
    }
    (tmp_path / "key.json").write_text(json.dumps({**key, "gcs_base_url": cloud.url}, indent=2))
    sent = bucket_environment("gs://bucket/prefix", {name: str(tmp_path / "key.json")})
    assert (set(sent.public), set(sent.secret)) == (set(), {"GOOGLE_SERVICE_ACCOUNT_KEY"})
    assert "\n" not in sent.secret["GOOGLE_SERVICE_ACCOUNT_KEY"]
    sent = BucketEnvironment({"GOOGLE_BASE_URL": cloud.url}, sent.secret)
    assert read_elsewhere("gs://bucket/prefix", sent).stdout == "None\n"
    assert [path for path, _ in cloud.asked] == ["/bucket/prefix%2Fkey"]


def test_a_bearer_token_of_google_travels_with_a_warning(cloud: Cloud) -> None:
    sent = bucket_environment("gs://bucket", {"GOOGLE_BEARER_TOKEN": "abc", "GOOGLE_BASE_URL": cloud.url})
    assert read_elsewhere("gs://bucket", sent).stdout == "None\n"
    assert cloud.asked == [("/bucket/key", "Bearer abc")]
    assert "expires within the hour" in sent.warning


def test_the_login_of_a_person_stays_here(tmp_path: Path) -> None:
    login = tmp_path / ".config/gcloud/application_default_credentials.json"
    login.parent.mkdir(parents=True)
    login.write_text(json.dumps({"type": "authorized_user", "refresh_token": "personal"}))
    sent = bucket_environment("gs://bucket", {"HOME": str(tmp_path)})
    assert (sent.public, sent.secret) == ({}, {})
    assert "service account of their own machine" in sent.warning


def test_a_file_of_credentials_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"GOOGLE_APPLICATION_CREDENTIALS: .*absent.json cannot be read"):
        bucket_environment("gs://bucket", {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "absent.json")})


@pytest.mark.parametrize(
    ("secret", "asked"),
    [
        ({"AZURE_STORAGE_ACCOUNT_KEY": "a2V5"}, ("/box/prefix/key", "SharedKey lab:")),
        ({"AZURE_STORAGE_SAS_TOKEN": "sv=1&sig=abc"}, ("/box/prefix/key?sv=1&sig=abc", "")),
        ({"AZURE_STORAGE_TOKEN": "abc"}, ("/box/prefix/key", "Bearer abc")),
    ],
)
def test_what_opens_an_azure_container_here_opens_it_there(
    cloud: Cloud, secret: dict[str, str], *, asked: tuple[str, str]
) -> None:
    public = {"AZURE_STORAGE_ACCOUNT_NAME": "lab", "AZURE_STORAGE_ENDPOINT": cloud.url}
    sent = bucket_environment("az://box/prefix", {**public, **secret, "HOME": "/root"})
    assert (sent.public, sent.secret) == (public, secret)
    read_elsewhere("az://box/prefix", sent)
    path, authorization = cloud.asked[0]
    assert (path, authorization[: len(asked[1])]) == asked


def test_a_service_principal_of_azure_travels_with_its_tenant() -> None:
    who = {"AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": "t"}
    sent = bucket_environment("az://box", {**who, "AZURE_CLIENT_SECRET": "s"})
    assert sent == BucketEnvironment(who, {"AZURE_CLIENT_SECRET": "s"})


def test_a_workload_identity_of_azure_stays_with_this_machine() -> None:
    token = {"AZURE_FEDERATED_TOKEN_FILE": "/var/run/token", "AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": "t"}
    assert bucket_environment("az://box", token) == BucketEnvironment()


def test_a_signature_of_azure_tells_its_end() -> None:
    given = {"AZURE_STORAGE_SAS_TOKEN": "?sv=1&se=2026-11-21T21%3A30%3A00Z&sig=abc"}
    assert "expire at 2026-11-21 21:30 UTC" in bucket_environment("az://box", given, now=_NOW).warning
    with pytest.raises(UserError, match="expired at 2026-11-21 21:30 UTC"):
        bucket_environment("az://box", given, now=_NOW + timedelta(days=1))


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (400, "ExpiredToken", r"credentials have expired \(ExpiredToken\): get new ones"),
        (403, "InvalidAccessKeyId", r"refuses the credentials \(InvalidAccessKeyId\)"),
    ],
)
def test_keys_that_have_expired_are_told_from_wrong_ones(cloud: Cloud, status: int, *, code: str, said: str) -> None:
    cloud.answer = (status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())
    options = {"endpoint": cloud.url, "access_key_id": "a", "secret_access_key": "b", "session_token": "c"}
    with pytest.raises(StoreAccessDenied, match=said):
        open_store("s3://bucket", options).get("key")


def test_secrets_of_jobs_are_picked_by_name() -> None:
    assert pick_secrets(["TOKEN", "TOKEN"], {"TOKEN": "t", "OTHER": "o"}) == {"TOKEN": "t"}


def test_secrets_that_have_no_value_here_are_named() -> None:
    with pytest.raises(UserError, match=r"secrets: jobs of the campaign need A, B(.|\n)*export A=…; export B=…"):
        pick_secrets(["B", "A", "C"], {"C": "c"})
