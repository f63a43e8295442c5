"""What the tests against a real SkyPilot share: the rig, brought up once, and more time."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.s3server import S3Root
from tests.skypilot.person import Person
from tests.skypilot.rig.folder import RigUnavailable
from tests.skypilot.rig.stand import Rig
from tests.skypilot.rig.tenants import move_in, move_out

_HERE = Path(__file__).parent
# A managed job takes half a minute to start, and a minute to be missed when its node dies.
_TIMEOUT_SECONDS = 600


@pytest.fixture(scope="session")
def rig() -> Iterator[Rig]:
    """Give the running rig; it stays up afterwards when somebody else uses it, or asked for it with `make rig`."""
    rig = Rig.of_checkout()
    try:
        move_in(rig)
    except RigUnavailable as error:
        pytest.fail(str(error), pytrace=False)
    yield rig
    move_out(rig)


@pytest.fixture
def person(rig: Rig, s3_root: S3Root, tmp_path: Path) -> Iterator[Person]:
    """Give somebody who has a bucket; launchers that still run are killed afterwards, and their workers ended."""
    user = Person(rig, tmp_path, s3_root)
    yield user
    user.leave()


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
