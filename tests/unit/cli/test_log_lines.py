"""What of the log a person at a terminal is shown."""

from __future__ import annotations

import logging
import subprocess
import sys

from gliderport_prefect.cli.log_lines import show_log


def test_troubles_are_shown_and_what_sites_do_and_nothing_else() -> None:
    said: list[str] = []
    with show_log(said.append):
        logging.getLogger("gliderport_prefect.lifecycle.launch").info("not for everybody")
        logging.getLogger("gliderport_prefect.lifecycle.launch").warning("the bucket is slow")
        logging.getLogger("gliderport_prefect.sites.skypilot").info("worker-0001: Launching\x1b[2J")
        logging.getLogger("somebody.else").warning("not ours")
    logging.getLogger("gliderport_prefect.sites.skypilot").warning("over")
    assert said == ["the bucket is slow", "worker-0001: Launching\\x1b[2J"]


def test_the_import_of_sky_leaves_the_root_logger_as_it_was() -> None:
    program = (
        "import logging; from gliderport_prefect.sites import skypilot; skypilot._import_sky();"
        "print(logging.getLogger().handlers, logging.getLogger().level)"
    )
    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True, timeout=100
    )
    assert said.stdout.splitlines()[-1] == "[] 30"
