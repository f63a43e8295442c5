"""obstore's clients for buckets, from plain string options and the environment."""

from __future__ import annotations

import importlib
import importlib.util
import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from gliderport_prefect.errors import UserError
from gliderport_prefect.store.obstore_store import Clients

if TYPE_CHECKING:
    from collections.abc import Callable

    from obstore.store import ObjectStore

    from gliderport_prefect.store.retrying import Patience

_CLIENT_SETTINGS = {"proxy_url", "proxy_excludes", "proxy_ca_certificate", "user_agent", "timeout", "connect_timeout"}
_CLIENT_SWITCHES = {"allow_http", "allow_invalid_certificates"}
_CONTROL_TIMEOUT_S = 30.0
_CONNECT_TIMEOUT_S = 3.0
# boto3 renews keys ten minutes before their end when it is asked; obstore asks five minutes before this has passed.
_LOOK_AT_PROFILE = timedelta(minutes=10)
# A part of 8 MiB, eight at a time: enough for a line of 2 Mbit/s.
_BULK_TIMEOUT_S = 300.0
# Retries reuse the signature, which is good for a few minutes only.
_LONGEST_BULK_RETRY_S = 180.0
ENVIRONMENT_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
"""Variables of which one is enough for obstore to find credentials for S3 by itself."""


@dataclass(frozen=True)
class Root:
    """A bucket and a prefix in it."""

    url: str
    """As people write it."""
    bucket: str
    """The bucket, or Azure's container."""
    prefix: str
    """Without slashes at its ends; may be empty."""
    account: str | None = None
    """Azure's host, when the URL names it."""


def open_s3(root: Root, options: dict[str, str], *, patience: Patience) -> Clients:
    """Connect to S3 or to a server that speaks it."""
    settings: dict[str, Any] = dict(options)
    endpoint = (
        settings.pop("endpoint", None) or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    )
    if endpoint:
        settings["endpoint"] = endpoint
        settings.setdefault("virtual_hosted_style_request", "false")
        _allow_plain_http(settings, endpoint)
    provider = _find_s3_credentials(settings)
    if "region" not in settings and not _find_region(provider):
        settings["region"] = "us-east-1"
    if not (endpoint or "").startswith("http://"):
        # TLS guards what is sent, so AWS's own clients do not hash it either: a quarter less time.
        settings.setdefault("unsigned_payload", "true")
    return _open(S3Store, root, settings=settings, patience=patience, credential_provider=provider)


def open_gcs(root: Root, options: dict[str, str], *, patience: Patience) -> Clients:
    """Connect to Google Cloud Storage."""
    settings = dict(options)
    _allow_plain_http(settings, settings.get("base_url") or os.environ.get("GOOGLE_BASE_URL"))
    return _open(GCSStore, root, settings=settings, patience=patience)


def open_azure(root: Root, options: dict[str, str], *, patience: Patience) -> Clients:
    """Connect to Azure Blob Storage."""
    settings = dict(options)
    if root.account:
        settings.setdefault("account_name", root.account.partition(".")[0])
    named = os.environ.get("AZURE_STORAGE_ENDPOINT") or os.environ.get("AZURE_ENDPOINT")
    _allow_plain_http(settings, settings.get("endpoint") or named)
    return _open(AzureStore, root, settings=settings, patience=patience)


def _allow_plain_http(settings: dict[str, Any], endpoint: str | None) -> None:
    """Whoever names an address without TLS wants it so: a server of one's own, or an emulator."""
    if endpoint and endpoint.startswith("http://"):
        settings.setdefault("allow_http", "true")


def _find_s3_credentials(settings: dict[str, Any]) -> Callable[[], Any] | None:
    """Choose the provider; None leaves the choice to obstore."""
    profile = settings.pop("profile", None)
    if "access_key_id" in settings:
        return _keep_given_key(settings)
    if settings.get("skip_signature") == "true":
        return None
    if profile is None and any(os.environ.get(name) for name in ENVIRONMENT_CREDENTIALS):
        return None
    return read_aws_profile(profile or os.environ.get("AWS_PROFILE"))


def _keep_given_key(settings: dict[str, Any]) -> Callable[[], Any]:
    """Keep a given key together: a session token of the environment is another key's."""
    credential = {
        "access_key_id": settings.pop("access_key_id"),
        "secret_access_key": settings.pop("secret_access_key", None),
        "token": settings.pop("session_token", None),
        "expires_at": None,
    }
    if not credential["secret_access_key"]:
        raise UserError("an access key without its secret is of no use", key="secret_access_key", hint="Give both.")
    return lambda: credential


def read_aws_profile(profile: str | None) -> Callable[[], Any] | None:
    """Return what hands out the credentials of an AWS profile, or None where the files hold none.

    Raises:
        UserError: A profile is named that does not exist, or boto3 is not there to read it.
    """
    has_boto3 = importlib.util.find_spec("boto3") is not None
    if profile and not has_boto3:
        raise UserError(
            f"the AWS profile {profile!r} needs boto3", hint="Run 'pip install boto3', or set AWS_ACCESS_KEY_ID."
        )
    if not has_boto3 or not (profile or _has_aws_files()):
        return None
    boto3 = importlib.import_module("boto3")
    botocore_exceptions = importlib.import_module("botocore.exceptions")
    provider = importlib.import_module("obstore.auth.boto3").Boto3CredentialProvider
    try:
        return provider(boto3.Session(profile_name=profile), ttl=_LOOK_AT_PROFILE)
    except botocore_exceptions.ProfileNotFound as error:
        raise UserError(str(error), key="profile", hint="See 'aws configure list-profiles'.") from error
    except botocore_exceptions.BotoCoreError as error:
        raise UserError(f"the AWS profile gives no credentials: {error}", key="profile", hint="log in again") from error
    except ValueError:
        # The files hold settings but no key: leave it to the machine's role.
        return None


def _has_aws_files() -> bool:
    named = (os.environ.get("AWS_SHARED_CREDENTIALS_FILE"), os.environ.get("AWS_CONFIG_FILE"))
    usual = (Path.home() / ".aws" / name for name in ("credentials", "config"))
    return any(Path(name).is_file() for name in named if name) or any(path.is_file() for path in usual)


def _find_region(provider: Callable[[], Any] | None) -> str | None:
    configured: dict[str, str] = getattr(provider, "config", {})
    return configured.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")


def _open(
    kind: type[Any],
    root: Root,
    *,
    settings: dict[str, Any],
    patience: Patience,
    credential_provider: Callable[[], Any] | None = None,
) -> Clients:
    client_options = _take_client_options(settings)
    more = {"credential_provider": credential_provider} if credential_provider else {}

    def connect(timeout_s: float, retry: dict[str, Any]) -> ObjectStore:
        options = {"timeout": timedelta(seconds=timeout_s), **client_options}
        return kind(
            root.bucket, prefix=root.prefix or None, config=settings, client_options=options, retry_config=retry, **more
        )

    try:
        return Clients(
            control=connect(_bound_request_s(patience), _retry_briefly()),
            bulk=connect(_BULK_TIMEOUT_S, _retry_parts(patience)),
        )
    except (BaseError, ValueError) as error:
        reason = " ".join(str(error).partition("\n\nDebug source")[0].split())
        raise UserError(f"{root.url} cannot be opened: {reason}", hint="Correct the store's options.") from error


def _bound_request_s(patience: Patience) -> float:
    """Leave room for a second and third try within the patience."""
    return min(_CONTROL_TIMEOUT_S, max(1.0, patience.outage_s / 3))


def _take_client_options(settings: dict[str, Any]) -> dict[str, Any]:
    """Move what concerns the connection out of the settings."""
    taken: dict[str, Any] = {"connect_timeout": timedelta(seconds=_CONNECT_TIMEOUT_S)}
    taken.update({name: settings.pop(name) for name in _CLIENT_SETTINGS & settings.keys()})
    taken.update({name: settings.pop(name).lower() == "true" for name in _CLIENT_SWITCHES & settings.keys()})
    if "root_certificate" in settings:
        taken["root_certificate"] = _read_certificate(Path(settings.pop("root_certificate")))
    return taken


def _read_certificate(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}", key="root_certificate") from error


def _retry_briefly() -> dict[str, Any]:
    backoff = {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=1)}
    return {"max_retries": 3, "retry_timeout": timedelta(seconds=2), "backoff": backoff}


def _retry_parts(patience: Patience) -> dict[str, Any]:
    longest_s = min(_LONGEST_BULK_RETRY_S, patience.outage_s)
    backoff = {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=15)}
    return {"max_retries": 10, "retry_timeout": timedelta(seconds=longest_s), "backoff": backoff}
