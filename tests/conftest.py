"""What holds for the whole test session: nothing reports home, nothing touches the user's own state."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import hypothesis
import pytest

# Set before anything imports Prefect or sky, which read them at import. Child processes inherit them.
_PRIVATE_HOME = Path(tempfile.mkdtemp(prefix="gliderport-tests-"))
os.environ |= {
    "AWS_EC2_METADATA_DISABLED": "true",
    "DO_NOT_TRACK": "1",
    "PREFECT_HOME": str(_PRIVATE_HOME / "prefect"),
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "SKYPILOT_DISABLE_USAGE_COLLECTION": "1",
}
# A server, a profile or credentials of the developer's must never be what a test talks to.
for _name in list(os.environ):
    _is_foreign = _name.startswith(("AWS_ACCESS_", "AWS_SECRET_", "AWS_SESSION_", "AWS_PROFILE", "AWS_ENDPOINT_"))
    if _is_foreign or (_name.startswith("GLIDERPORT_") and not _name.endswith("_EXAMPLES")):
        del os.environ[_name]
# Nor the metadata service of the machine that runs the tests.
os.environ["GLIDERPORT_NOTICES"] = "off"
os.environ.pop("PREFECT_API_URL", None)
os.environ.pop("PREFECT_API_KEY", None)

# A shell without job control starts its background jobs deaf to Ctrl-C, and what tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Two shared cores: how long an example takes says nothing about it.
hypothesis.settings.register_profile("shared machine", deadline=None)
hypothesis.settings.load_profile("shared machine")

pytest_plugins = ["tests.s3server"]

# Features whose servers are costly to start: all their tests run in one process, so that one server is started.
# A test that needs several goes with the costliest.
_ONE_PROCESS_EACH = ("skypilot", "s3", "prefect")


def pytest_configure(config: pytest.Config) -> None:
    """Remove the session's private folder when the session is over."""
    config.add_cleanup(lambda: shutil.rmtree(_PRIVATE_HOME, ignore_errors=True))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a costly server together."""
    for item in items:
        needed = (feature for feature in _ONE_PROCESS_EACH if item.get_closest_marker(feature))
        if costliest := next(needed, None):
            item.add_marker(pytest.mark.xdist_group(costliest))
