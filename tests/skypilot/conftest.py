"""What the tests against a real SkyPilot share: the rig, brought up once, and more time."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.skypilot.rig.folder import RigUnavailable
from tests.skypilot.rig.stand import Rig

_HERE = Path(__file__).parent
# A managed job takes half a minute to start, and a minute to be missed when its node dies.
_TIMEOUT_SECONDS = 600


@pytest.fixture(scope="session")
def rig() -> Iterator[Rig]:
    """Give the running rig; one that was up before, by `make rig`, stays up afterwards."""
    rig = Rig.of_checkout()
    was_up = rig.is_up
    try:
        rig.up()
    except RigUnavailable as error:
        pytest.fail(str(error), pytrace=False)
    yield rig
    if not was_up:
        rig.down()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None]:
    """Mark the tests of this folder, and put them first: nothing takes as long."""
    ours = [item for item in items if item.path.is_relative_to(_HERE)]
    for item in ours:
        item.add_marker(pytest.mark.skypilot)
        item.add_marker(pytest.mark.timeout(_TIMEOUT_SECONDS))
    yield
    items.sort(key=lambda item: not item.path.is_relative_to(_HERE))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what SkyPilot has on record, and where its logs are."""
    report = yield
    if report.failed and item.path.is_relative_to(_HERE):
        report.sections.append(("SkyPilot", Rig.of_checkout().describe()))
    return report
