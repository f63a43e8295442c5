"""What obstore's errors mean in our own tree.

obstore reports most failures as one class with a long text. The text is the
only source of the HTTP status, the service's error code and the errno, so
this is the one module that reads it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from obstore.exceptions import NotSupportedError, PermissionDeniedError, UnauthenticatedError

from gliderport_prefect.errors import (
    StoreAccessDenied,
    StoreError,
    StoreFull,
    StoreKeyInvalid,
    StoreNotFound,
    StoreUnreachable,
    StoreUnsafe,
)

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_ERRNO = re.compile(r"\(os error (\d+)\)")
_MISSING_BUCKET = re.compile(r"NoSuchBucket|ContainerNotFound|specified bucket does not exist")
_NO_CREDENTIALS = re.compile(r"169\.254\.169\.254|metadata\.google|InstanceCredentials|MissingCredential")
_PROVIDER_SAYS = re.compile(r"External AWS credential provider: (?:\w+: )?(.+)")
_NONSENSE = re.compile(r"invalid \w+ response")
_QUOTA_CODES = {"QuotaExceeded", "InsufficientCapacity", "AccountStorageLimitExceeded"}
_REGION_CODES = {"AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException"}
_EXPIRED_CODES = {"ExpiredToken", "TokenRefreshRequired"}
_STALE_CREDENTIAL_CODES = {*_EXPIRED_CODES, "InvalidToken", "RequestTimeTooSkewed"}
_TRANSIENT_STATUSES = {408, 409, 425, 429}
_NOT_FOUND = 404
_SERVER_ERRORS = 500
_INSUFFICIENT_STORAGE = 507

_DENIED_ERRNOS = {1, 13, 30}
_FULL_ERRNOS = {27, 28, 122}
_NAME_ERRNOS = {20, 21, 36}

# What a network failure is called by hyper and rustls, and what a person calls it.
_CAUSES = (
    (re.compile(r"dns error"), "the host name is unknown: check the endpoint"),
    (re.compile(r"Connection refused|ConnectionRefused"), "the connection was refused: check host and port"),
    (
        re.compile(r"InvalidCertificate|invalid peer certificate"),
        "its TLS certificate is not trusted: set root_certificate",
    ),
    (re.compile(r"InvalidMessage|corrupt message"), "it does not speak TLS: use an http:// endpoint"),
    (re.compile(r"TimedOut|timed out|Timeout"), "no answer came in time: check network and endpoint"),
    (re.compile(r"[Nn]etwork is unreachable|NetworkUnreachable"), "the network is unreachable"),
    (re.compile(r"Connection reset|ConnectionReset|IncompleteMessage"), "the connection broke off"),
)


@dataclass(frozen=True)
class Failure:
    """A failed call and what it was about."""

    error: Exception
    """What obstore raised."""
    url: str
    """The store's root, as people write it."""
    action: str
    """The verb and the key, for example `read ledger/00000001`."""
    is_folder: bool
    """Whether the store is a local folder, so that errno values count."""

    @property
    def text(self) -> str:
        """Everything obstore says, the dump of the sources included."""
        return str(self.error)

    @property
    def summary(self) -> str:
        """The first paragraph of the text, without the dump."""
        return " ".join(self.text.partition("\n\nDebug source")[0].split())[:400]

    def say(self, reason: str) -> str:
        """Compose the message: what failed, where, why."""
        return f"cannot {self.action} in {self.url}: {reason}"


def is_missing_bucket(error: FileNotFoundError) -> bool:
    """Tell a missing bucket from a missing object."""
    return bool(_MISSING_BUCKET.search(str(error)))


def translate(failure: Failure) -> StoreError:
    """Find the error of our tree that says what happened."""
    if _MISSING_BUCKET.search(failure.text):
        return StoreNotFound(failure.say("the bucket does not exist: create it or correct the URL"))
    if isinstance(failure.error, NotSupportedError):
        return StoreUnsafe(failure.say("the store does not offer create-only puts: use another one"))
    if failure.is_folder:
        return _translate_errno(failure)
    return _translate_status(failure)


def _translate_errno(failure: Failure) -> StoreError:
    match = _ERRNO.search(failure.summary)
    errno = int(match[1]) if match else 0
    if errno in _FULL_ERRNOS:
        return StoreFull(failure.say(f"the disk or quota is full: free some space ({failure.summary})"))
    if errno in _DENIED_ERRNOS:
        return StoreAccessDenied(
            failure.say(f"permission is missing: check the folder's owner and mode ({failure.summary})")
        )
    if errno in _NAME_ERRNOS:
        return StoreKeyInvalid(failure.say(f"the folder cannot hold such a key ({failure.summary})"))
    return StoreUnreachable(failure.say(failure.summary))


def _translate_status(failure: Failure) -> StoreError:
    status, code = _read_status(failure)
    if code in _QUOTA_CODES or status == _INSUFFICIENT_STORAGE:
        return StoreFull(failure.say(f"a quota is used up ({code or status}): free some space or raise it"))
    if code in _REGION_CODES:
        return StoreError(
            failure.say(f"the bucket is in another region ({code}): set AWS_REGION or the option 'region'")
        )
    if _lacks_credentials(failure, status=status, code=code):
        return StoreAccessDenied(failure.say(_describe_denial(failure, status=status, code=code)))
    if status is None and _NONSENSE.search(failure.text):
        return StoreError(failure.say(f"the answer makes no sense: is this such a store? ({failure.summary})"))
    if status is None:
        return StoreUnreachable(failure.say(_describe_cause(failure)))
    return _translate_answer(failure, status=status, code=code)


def _translate_answer(failure: Failure, *, status: int, code: str) -> StoreError:
    if status in _TRANSIENT_STATUSES or status >= _SERVER_ERRORS:
        return StoreUnreachable(failure.say(f"the server answers {status} {code}".rstrip()))
    if status == _NOT_FOUND:
        return StoreNotFound(failure.say("the server knows no such bucket: check endpoint and bucket"))
    return StoreError(failure.say(failure.summary))


def _read_status(failure: Failure) -> tuple[int | None, str]:
    status, code = _STATUS.search(failure.text), _CODE.search(failure.text)
    return int(status[1]) if status else None, code[1] if code else ""


def _lacks_credentials(failure: Failure, *, status: int | None, code: str) -> bool:
    return (
        status in {401, 403}
        or code in _STALE_CREDENTIAL_CODES
        or isinstance(failure.error, (PermissionDeniedError, UnauthenticatedError))
        or bool(_NO_CREDENTIALS.search(failure.text))
    )


def _describe_denial(failure: Failure, *, status: int | None, code: str) -> str:
    if _NO_CREDENTIALS.search(failure.text):
        return "no credentials were found: set the access key in the environment, or attach a role to this machine"
    if code == "RequestTimeTooSkewed":
        return "the clock of this machine is wrong: correct it"
    if code in _EXPIRED_CODES:
        return f"the credentials have expired ({code}): get new ones, or attach a role to this machine"
    if said := _PROVIDER_SAYS.search(failure.summary):
        return f"the AWS profile gives no credentials ({said[1].rstrip('.')}): log in again"
    named = code or status or "denied"
    return f"the store refuses the credentials ({named}): check access key, secret and permissions"


def _describe_cause(failure: Failure) -> str:
    reasons = (reason for pattern, reason in _CAUSES if pattern.search(failure.text))
    return next(reasons, failure.summary)
