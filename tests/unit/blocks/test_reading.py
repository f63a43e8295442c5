"""What blocks say, as variables of the environment: real blocks of prefect-aws, in no server."""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Generator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect_aws import AwsCredentials, MinIOCredentials, S3Bucket
from prefect_aws.assume_role_parameters import AssumeRoleParameters
from prefect_aws.client_parameters import AwsClientParameters
from pydantic import SecretStr

from gliderport_prefect.blocks import amazon, azure, google
from gliderport_prefect.blocks.amazon_role import PROFILE, write_profile
from gliderport_prefect.blocks.loading import open_block
from gliderport_prefect.blocks.opened import OpenedBlock
from gliderport_prefect.blocks.use import put_into_environment
from gliderport_prefect.errors import UserError
from gliderport_prefect.store.cloud import read_aws_profile
from gliderport_prefect.store.environment import bucket_environment

_ROLE = "arn:aws:iam::123456789012:role/lab"
_ASSUMED = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>short</SecretAccessKey><SessionToken>token</SessionToken>
<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""
_REFUSED = """<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>"""


def what_is_set(opened: OpenedBlock) -> dict[str, str]:
    """Return the variables that have a value."""
    return {name: value for name, value in opened.variables.items() if value is not None}


def test_keys_become_variables_and_other_sources_of_keys_are_removed() -> None:
    place = AwsClientParameters(endpoint_url="https://s3.lab")
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": SecretStr("b"), "aws_session_token": "c"}
    opened = amazon.open_block(AwsCredentials(**keys, region_name="eu-west-3", aws_client_parameters=place))  # pyright: ignore[reportArgumentType]
    assert what_is_set(opened) == {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_SESSION_TOKEN": "c",
        "AWS_ENDPOINT_URL_S3": "https://s3.lab",
        "AWS_REGION": "eu-west-3",
        "AWS_DEFAULT_REGION": "eu-west-3",
    }
    assert {"AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"} < opened.variables.keys()
    assert "'b'" not in repr(opened)


def test_a_profile_is_named_and_not_read() -> None:
    opened = amazon.open_block(AwsCredentials(profile_name="lab"))
    assert what_is_set(opened) == {"AWS_PROFILE": "lab"}
    assert opened.variables["AWS_ACCESS_KEY_ID"] is None


def test_a_block_without_keys_leaves_the_role_of_the_machine() -> None:
    assert amazon.open_block(AwsCredentials(region_name="eu-west-3")).variables.keys() == {
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
    }


def test_a_bucket_names_itself_and_brings_its_credentials() -> None:
    place = AwsClientParameters(endpoint_url="http://minio.lab:9000")
    minio = MinIOCredentials(minio_root_user="root", minio_root_password=SecretStr("pw"), aws_client_parameters=place)
    opened = amazon.open_block(S3Bucket(bucket_name="runs", bucket_folder="/deep/er/", credentials=minio))
    assert opened.bucket == "s3://runs/deep/er"
    assert what_is_set(opened) == {
        "AWS_ACCESS_KEY_ID": "root",
        "AWS_SECRET_ACCESS_KEY": "pw",
        "AWS_ENDPOINT_URL_S3": "http://minio.lab:9000",
    }


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (AwsCredentials(aws_access_key_id="a"), "without its secret"),
        (AwsCredentials(aws_client_parameters=AwsClientParameters(verify=False)), "not to verify certificates"),
        (MinIOCredentials(minio_root_user="root", minio_root_password=SecretStr("pw")), "where the server is"),
    ],
)
def test_a_block_that_cannot_be_followed_is_refused(block: AwsCredentials | MinIOCredentials, said: str) -> None:
    with pytest.raises(UserError, match=said):
        amazon.open_block(block)


@pytest.fixture
def token_service(monkeypatch: pytest.MonkeyPatch) -> Generator[list[str]]:
    """Run AWS's token service in small; it answers with what is in the list, once each."""
    answers: list[str] = []

    class Service(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            answer = answers.pop()
            self.send_response(403 if answer == _REFUSED else 200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            del format, args

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{server.server_address[1]}")
    yield answers
    server.shutdown()
    thread.join()
    server.server_close()


def role_block(**arguments: Any) -> AwsCredentials:  # noqa: ANN401 - of AWS's `AssumeRole`
    """Return a block that assumes a role."""
    return AwsCredentials(
        aws_access_key_id="a",
        aws_secret_access_key=SecretStr("b"),
        region_name="eu-west-3",
        assume_role_arn=_ROLE,
        assume_role_kwargs=AssumeRoleParameters(**arguments),
    )


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # boto3 leaves its connections to the garbage collector
def test_a_role_becomes_a_profile_whose_keys_are_renewed_before_they_end(token_service: list[str]) -> None:
    opened = amazon.open_block(role_block(DurationSeconds=3600, ExternalId="lab"))
    ends = datetime.now(UTC) + timedelta(minutes=5)  # boto3 asks anew when ten minutes are left
    token_service += [_ASSUMED.replace("ASIA", "ASIA2"), _ASSUMED.replace("2099-01-01T00:00:00Z", ends.isoformat())]
    with put_into_environment(opened):
        provider = read_aws_profile(os.environ["AWS_PROFILE"])
        assert provider is not None
        assert [provider()["access_key_id"] for _ in range(3)] == ["ASIA", "ASIA2", "ASIA2"]
        file = Path(os.environ["AWS_CONFIG_FILE"])
        assert (file.stat().st_mode & 0o777, "role_arn = arn:aws:iam" in file.read_text()) == (0o600, True)
    assert not file.parent.exists()
    assert "AWS_CONFIG_FILE" not in os.environ


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_workers_elsewhere_get_of_a_role_is_frozen_and_its_end_is_told(token_service: list[str]) -> None:
    token_service.append(_ASSUMED)
    with put_into_environment(amazon.open_block(role_block())):
        sent = bucket_environment("s3://bucket", os.environ)
    assert sent.secret == {"AWS_ACCESS_KEY_ID": "ASIA", "AWS_SECRET_ACCESS_KEY": "short", "AWS_SESSION_TOKEN": "token"}
    assert "expire at 2099-01-01 00:00 UTC" in sent.warning


def test_a_role_can_build_upon_a_profile_of_the_users_own_file(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[profile own]\naws_access_key_id = a")
    block = AwsCredentials(profile_name="own", assume_role_arn=_ROLE)
    text = write_profile(block, {"AWS_CONFIG_FILE": str(tmp_path / "config")})
    assert text == (
        f"[profile own]\naws_access_key_id = a\n[profile {PROFILE}]\nrole_arn = {_ROLE}\nsource_profile = own\n"
    )


def test_the_environment_is_as_before_whatever_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "own")
    before = dict(os.environ)
    opened = OpenedBlock({"AWS_PROFILE": None, "AWS_ACCESS_KEY_ID": "a"})
    seen: list[tuple[str | None, ...]] = []
    with suppress(ZeroDivisionError), put_into_environment(opened):
        seen.append(tuple(map(os.environ.get, opened.variables)))
        raise ZeroDivisionError
    assert seen == [(None, "a")]
    assert dict(os.environ) == before


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_role_that_no_profile_can_describe_is_assumed_once_and_its_end_is_told(token_service: list[str]) -> None:
    token_service.append(_ASSUMED)
    opened = amazon.open_block(role_block(DurationSeconds=7200, SourceIdentity="me"))
    found = what_is_set(opened)
    assert [found[f"AWS_{name}"] for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")] == [
        "ASIA",
        "short",
        "token",
    ]
    ends = datetime.fromisoformat(found["AWS_CREDENTIAL_EXPIRATION"])
    assert 7100 < (ends - datetime.now(UTC)).total_seconds() <= 7200
    assert f"{ends:%Y-%m-%d %H:%M} UTC" in opened.warning
    assert bucket_environment("s3://bucket", found).expires_at == ends


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_role_that_may_not_be_assumed_is_named(token_service: list[str]) -> None:
    token_service.append(_REFUSED)
    with pytest.raises(UserError, match=f"{_ROLE} cannot be assumed: .*not you"):
        amazon.open_block(role_block(SourceIdentity="me"))


# The packages prefect-gcp and prefect-azure are not installed here; these have the fields of their blocks.


def test_a_service_account_of_google_travels_as_its_key() -> None:
    info = SimpleNamespace(get_secret_value=lambda: {"private_key": "k"})
    account = SimpleNamespace(service_account_info=info, service_account_file=None)
    bucket = SimpleNamespace(bucket="runs", bucket_folder="deep/", gcp_credentials=account)
    assert what_is_set(google.open_block(bucket)) == {"GOOGLE_SERVICE_ACCOUNT_KEY": '{"private_key": "k"}'}
    assert google.open_block(bucket).bucket == "gs://runs/deep"


def test_the_file_of_a_service_account_is_named() -> None:
    account = SimpleNamespace(service_account_info=None, service_account_file="/etc/key.json")
    assert what_is_set(google.open_block(account)) == {"GOOGLE_APPLICATION_CREDENTIALS": "/etc/key.json"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "DefaultEndpointsProtocol=https;AccountName=lab;AccountKey=a2V5==;EndpointSuffix=core.windows.net",
            {"AZURE_STORAGE_ACCOUNT_NAME": "lab", "AZURE_STORAGE_ACCOUNT_KEY": "a2V5=="},
        ),
        (
            "BlobEndpoint=https://lab.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=a%3D",
            {"AZURE_STORAGE_ACCOUNT_NAME": "lab", "AZURE_STORAGE_SAS_TOKEN": "sv=1&sig=a%3D"},
        ),
        (
            "AccountName=lab;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:10000/lab",
            {
                "AZURE_STORAGE_ACCOUNT_NAME": "lab",
                "AZURE_STORAGE_ACCOUNT_KEY": "a2V5",
                "AZURE_STORAGE_ENDPOINT": "http://127.0.0.1:10000/lab",
            },
        ),
    ],
)
def test_a_connection_string_of_azure_is_taken_apart(text: str, expected: dict[str, str]) -> None:
    account = SimpleNamespace(connection_string=SecretStr(text), account_url=None)
    box = SimpleNamespace(container_name="box", base_folder="deep", credentials=account)
    assert what_is_set(azure.open_block(box)) == expected
    assert azure.open_block(box).bucket == "az://box/deep"


def test_a_service_principal_of_azure_is_taken_with_its_account() -> None:
    principal = {"client_id": "c", "tenant_id": "t", "client_secret": SecretStr("s")}
    account = SimpleNamespace(connection_string=None, account_url="https://lab.blob.core.windows.net", **principal)
    assert what_is_set(azure.open_block(account)) == {
        "AZURE_STORAGE_ACCOUNT_NAME": "lab",
        "AZURE_CLIENT_ID": "c",
        "AZURE_TENANT_ID": "t",
        "AZURE_CLIENT_SECRET": "s",
    }


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("aws-credentials", "is not the type and the name"),
        ("aws-credentails/lab", r"is no type of block(.|\n)*did you mean `aws-credentials`"),
        ("gcp-credentials/lab", r"need the package prefect-gcp(.|\n)*pip install prefect-gcp"),
        ("azure-blob-storage-container/lab", r"pip install prefect-azure"),
    ],
)
def test_what_names_no_block_that_can_be_had_is_the_users_mistake(reference: str, said: str) -> None:
    before = dict(os.environ)
    with pytest.raises(UserError, match=said):
        open_block(reference)
    assert dict(os.environ) == before
