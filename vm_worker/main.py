"""The worker's command line, and the end of its process."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from gliderport_prefect.errors import GliderportError, StoreUnreachable
from gliderport_prefect.protocol.ids import parse_campaign_id, parse_worker_name
from vm_worker import signals
from vm_worker.exits import Exit
from vm_worker.logbook import note_defect, open_logbook
from vm_worker.machine import Given
from vm_worker.notices_http import DEFAULT_ADDRESS
from vm_worker.notices_watch import CHOICES, NoticeSource
from vm_worker.shift import Orders, work

_NOTICES = "GLIDERPORT_NOTICES"
_PREEMPTIBLE = "GLIDERPORT_PREEMPTIBLE"
_METADATA_ADDRESS = "GLIDERPORT_METADATA_ADDRESS"
_LINGER_SECONDS = 180.0


def run_and_exit() -> NoReturn:
    """Work as the command line says and end the process."""
    signals.block()
    code = run(sys.argv[1:])
    sys.stderr.flush()
    # Not sys.exit: threads may be inside of a request, and the interpreter would stumble over them.
    os._exit(code)


def run(arguments: Sequence[str]) -> int:
    """Work as the arguments say and return the exit code."""
    given = _make_parser().parse_args(arguments)
    open_logbook(sys.stderr, verbose=given.verbose)
    try:
        return work(_read_orders(given))
    except StoreUnreachable as error:
        sys.stderr.write(f"worker: {error}\n")
        return Exit.STORE_LOST
    except GliderportError as error:
        sys.stderr.write(f"worker: {error}\n")
        return Exit.MISTAKE
    except Exception as error:  # noqa: BLE001 - the worker's log is the only place where a defect can be seen
        note_defect(error)
        return Exit.CRASHED


def _read_orders(given: argparse.Namespace) -> Orders:
    return Orders(
        bucket=given.bucket,
        campaign=parse_campaign_id(given.campaign),
        name=parse_worker_name(given.name),
        scratch=Path(given.scratch).absolute(),
        given=Given(
            cpus=given.cpus,
            memory_bytes=given.memory,
            disk_bytes=given.disk,
            gpus=given.gpus,
            gpu_type=given.gpu_type,
            preemptible=given.preemptible,
        ),
        notices=NoticeSource(given.notices, given.metadata_address),
        linger_seconds=given.linger,
    )


def _make_parser() -> argparse.ArgumentParser:
    codes = ", ".join(f"{code.value} {code.name.lower().replace('_', ' ')}" for code in Exit)
    parser = argparse.ArgumentParser(
        prog="worker",
        description="Run the jobs of a Gliderport campaign on this machine.",
        epilog=f"Exit codes: {codes}.",
    )
    parser.add_argument("--bucket", required=True, metavar="URL", help="the runtime bucket")
    parser.add_argument("--campaign", required=True, metavar="ID", help="whose jobs to run")
    parser.add_argument("--name", required=True, help="name of this worker, the same after a restart")
    parser.add_argument("--scratch", default=_default_scratch(), metavar="DIR", help="local disk (default %(default)s)")
    parser.add_argument("--cpus", type=float, metavar="N", help="cores to offer (default: measured)")
    parser.add_argument("--memory", type=int, metavar="BYTES", help="memory to offer (default: measured)")
    parser.add_argument("--disk", type=int, metavar="BYTES", help="scratch space to offer (default: what is free)")
    parser.add_argument("--gpus", type=int, metavar="N", help="GPUs to offer (default: asked of nvidia-smi)")
    parser.add_argument("--gpu-type", metavar="T", help="name of the GPUs as the site calls it")
    parser.add_argument(
        "--preemptible",
        action="store_true",
        default=os.environ.get(_PREEMPTIBLE) == "1",
        help=f"the machine may be taken back at any time: no job that needs a kept one runs here (or {_PREEMPTIBLE}=1)",
    )
    parser.add_argument(
        "--notices",
        default=os.environ.get(_NOTICES, "auto"),
        metavar="CLOUD",
        help=f"whose preemption notices to watch: {', '.join(CHOICES)} (default: {_NOTICES} or auto)",
    )
    parser.add_argument(
        "--metadata-address",
        default=os.environ.get(_METADATA_ADDRESS, DEFAULT_ADDRESS),
        metavar="URL",
        help=f"where the instance's metadata service is (default: {_METADATA_ADDRESS} or {DEFAULT_ADDRESS})",
    )
    parser.add_argument(
        "--linger",
        type=float,
        default=_LINGER_SECONDS,
        metavar="SECONDS",
        help="after a notice stay that much longer than announced, so that nobody starts the worker again on a machine "
        "that is about to go (default %(default)g)",
    )
    parser.add_argument("--verbose", action="store_true", help="log more")
    return parser


def _default_scratch() -> str:
    return os.path.join(tempfile.gettempdir(), f"gliderport-worker-{os.getuid()}")
