"""Command line of the rig: `python -m tests.skypilot.rig up`, `down`, `env`, `node-kill n1`, `node-up n1`."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time

from tests.skypilot.rig.folder import NODES, RigUnavailable
from tests.skypilot.rig.stand import Rig
from tests.skypilot.rig.tenants import move_in_person


def main() -> int:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m tests.skypilot.rig", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start what does not run")
    commands.add_parser("down", help="end everything").add_argument(
        "--forget", action="store_true", help="remove state, caches and the Unix user, too"
    )
    commands.add_parser("env", help="print what a shell must export to use the rig")
    for name, meaning in (("node-kill", "kill a node and all that runs on it"), ("node-up", "bring a node back")):
        commands.add_parser(name, help=meaning).add_argument("node", choices=NODES)
    arguments = parser.parse_args()
    rig = Rig.of_checkout()
    try:
        _run(rig, arguments)
    except RigUnavailable as error:
        print(f"The SkyPilot rig: {error}", file=sys.stderr)
        return 1
    return 0


def _run(rig: Rig, arguments: argparse.Namespace) -> None:
    match arguments.command:
        case "up":
            began = time.monotonic()
            move_in_person(rig)
            print(f"SkyPilot is up after {time.monotonic() - began:.0f} s; state and logs: {rig.folder.root}")
            print(f'In a shell: eval "$({sys.executable} -m tests.skypilot.rig env)"; sky check slurm; sky jobs queue')
        case "down":
            rig.down(forget=arguments.forget)
        case "env":
            changed = {name: value for name, value in rig.environment.items() if os.environ.get(name) != value}
            print("\n".join(f"export {name}={shlex.quote(value)}" for name, value in changed.items()))
        case "node-kill":
            rig.kill_node(arguments.node)
        case _:
            rig.start_node(arguments.node)


if __name__ == "__main__":
    sys.exit(main())
