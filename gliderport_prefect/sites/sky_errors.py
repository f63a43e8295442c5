"""SkyPilot's errors as ours: what a person can mend in a template, and what is wrong between here and the machines.

Errors are told apart by the names of their classes, so that nobody needs SkyPilot to read this.
"""

from __future__ import annotations

from gliderport_prefect.errors import GliderportError, SiteError, UserError
from gliderport_prefect.sites.sky_prices import strip_escapes

TEMPLATE = "sky_template"
_LONGEST_MESSAGE = 2000
_NO_CLOUD = "run `sky check`: it says which clouds SkyPilot can use, and what each of the others lacks"
_SITE = {
    "ApiServerConnectionError": "start it with `sky api start`, or set where it is: `sky api login -e URL`",
    "ServerTemporarilyUnavailableError": "try again in a minute",
    "ApiServerAuthenticationError": "log in again: `sky api login`",
    "PermissionDeniedError": "log in as somebody who may use it: `sky api login`",
    "APIVersionMismatchError": "install the same version of SkyPilot here as on the API server",
    "APINotSupportedError": "install the same version of SkyPilot here as on the API server",
    "ClusterNotUpError": "`sky jobs queue --refresh` starts the jobs controller again",
    "CloudUserIdentityError": "renew the cloud's credentials on the API server, then run `sky check`",
    "ClusterOwnerIdentityMismatchError": "use the cloud's identity with which the workers were started",
    "KubeAPIUnreachableError": "see whether the Kubernetes cluster answers: `sky check kubernetes`",
    "ConnectionError": "see whether SkyPilot's API server runs: `sky api info`",
    "Timeout": "see whether SkyPilot's API server runs: `sky api info`",
}
_USER = {
    "NoCloudAccessError": _NO_CLOUD,
    "InvalidCloudCredentials": _NO_CLOUD,
    "InvalidCloudConfigs": _NO_CLOUD,
    "NotImplementedError": _NO_CLOUD,
    "ResourcesUnavailableError": "ask for other resources, or see with `sky check` whether the cloud is enabled",
    "ResourcesMismatchError": "correct the template's `resources`",
    "ProvisionPrechecksError": _NO_CLOUD,
    "KubernetesValidationError": "correct the template",
    "NotSupportedError": "correct the template",
    "UserRequestRejectedByPolicy": "ask those who run the API server",
    "StorageError": "correct the template's `file_mounts`",
    "UsageError": "correct the template",
    "ValueError": "correct the template",
    "TypeError": "correct the template",
    "AssertionError": "correct the template",
}


def translate_error(error: BaseException, doing: str) -> GliderportError:
    """Return our error for one of SkyPilot's.

    Args:
        error: What SkyPilot raised.
        doing: What was asked of it, such as `SkyPilot cannot start worker-0001`.
    """
    said = say_error(error)
    for kind in type(error).__mro__:
        if kind.__name__ in _SITE:
            return SiteError(f"{doing}: {said}\n  {_SITE[kind.__name__]}")
        if kind.__name__ in _USER:
            return UserError(f"{doing}: {said}", key=TEMPLATE, hint=_USER[kind.__name__])
    return SiteError(f"{doing}: {said}")


def says_no_jobs(error: BaseException) -> bool:
    """Say whether SkyPilot's queue cannot be read because no managed job is in progress.

    Its jobs controller is a machine of its own, which does not exist before the first job, and sleeps when the last one
    has ended. One that is just coming up is another matter: somebody has asked for jobs.
    """
    if type(error).__name__ != "ClusterNotUpError":
        return False
    status = getattr(error, "cluster_status", None)
    return status is None or str(getattr(status, "value", status)).upper() == "STOPPED"


def say_error(error: BaseException) -> str:
    """Return what SkyPilot says, without colours, and its kind when it says nothing."""
    said = strip_escapes(str(error)).strip()
    return said[:_LONGEST_MESSAGE] if said else type(error).__name__
