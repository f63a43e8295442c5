"""SkyPilot itself: its API server with the managed-jobs controller inside, from our `.venv`, with a home of its own."""

from __future__ import annotations

import os
import sys
import urllib.request
from pathlib import Path

from tests.skypilot.rig.folder import RigFolder
from tests.skypilot.rig.processes import Daemon

_BIN = Path(sys.executable).parent
_OFFLINE_NETWORK = Path(__file__).with_name("offline_network")
_FOREIGN = ("AWS_", "AZURE_", "GOOGLE_", "CLOUDSDK_", "GLIDERPORT_", "KUBE", "PREFECT_", "PYTHON", "SKYPILOT_")
# Slurm cannot host a jobs controller of its own, so the controller lives in the API server.
_CONFIG = """\
jobs:
  controller:
    consolidation_mode: true
"""


def make_client_environment(folder: RigFolder) -> dict[str, str]:
    """Give the environment in which `sky`, the SDK and our programs talk to the rig's API server."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return inherited | {
        "HOME": str(folder.home),
        "PATH": f"{_BIN}:{os.environ['PATH']}",
        "SLURM_CONF": str(folder.slurm_conf),
        "SKYPILOT_API_SERVER_LOCAL_PORT": str(folder.read_port("api-server")),
        "SKYPILOT_DISABLE_USAGE_COLLECTION": "1",
        # A client that finds no API server starts one; the rig would know nothing of it.
        "SKYPILOT_DISABLE_LOCAL_API_SERVER": "1",
    }


def make_api_server(folder: RigFolder) -> Daemon:
    """Write SkyPilot's configuration and prepare its API server."""
    config = folder.home / ".sky" / "config.yaml"
    if not config.exists():
        config.write_text(_CONFIG)
    environment = make_client_environment(folder)
    del environment["SKYPILOT_DISABLE_LOCAL_API_SERVER"]
    environment |= {
        "PYTHONPATH": str(_OFFLINE_NETWORK),
        "GLIDERPORT_RIG_NETWORK": f"http://127.0.0.1:{folder.read_port('network')}",
        # SkyPilot sizes its pools by these: 2 processes for long requests and 1 jobs controller, instead of 4 and 10.
        "SKYPILOT_POD_CPU_CORE_LIMIT": "1",
        "SKYPILOT_POD_MEMORY_GB_LIMIT": "6",
        "SPT_NOENV": "1",  # titles of processes are not written over their environment, by which the rig knows them
    }
    start = (str(_BIN / "sky"), "api", "start", "--foreground")
    return Daemon("api-server", folder.root, ("env", "--chdir", str(folder.home), *start), environment)


def make_network(folder: RigFolder) -> Daemon:
    """Prepare the address that answers when SkyPilot asks whether there is a network."""
    empty = folder.run / "network"
    empty.mkdir(exist_ok=True)
    port = str(folder.read_port("network"))
    serve = (sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(empty), port)
    return Daemon("network", folder.root, serve, dict(os.environ))


def answers(folder: RigFolder) -> bool:
    """Say whether the API server is up."""
    address = f"http://127.0.0.1:{folder.read_port('api-server')}/api/health"
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False
