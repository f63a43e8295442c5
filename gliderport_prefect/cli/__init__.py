"""The `gliderport` command. It works on the bucket alone; no command needs a Prefect server."""

from gliderport_prefect.cli.entry import main

__all__ = ["main"]
