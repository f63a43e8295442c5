"""The commands by name, each in a module that is imported when it is called."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

import click

from gliderport_prefect import __version__
from gliderport_prefect.cli.defects import is_debug, start_debugging
from gliderport_prefect.cli.exits import EPILOG
from gliderport_prefect.protocol.notation import unknown_key

if TYPE_CHECKING:
    from collections.abc import Mapping


class _Place(NamedTuple):
    """Where a command is, and the first line of its help, so that `--help` imports none of them."""

    where: str
    summary: str


COMMANDS: Mapping[str, _Place] = {
    "run": _Place("run:run", "Run a campaign from start to end."),
    "validate": _Place("run:validate", "Check a campaign as `run --dry-run` does, and start nothing."),
    "resume": _Place("resume:resume", "Go on with a campaign that nobody drives, or take it over."),
    "status": _Place("status:status", "Show where a campaign stands."),
    "jobs": _Place("jobs:jobs", "List jobs, by state, label or id."),
    "results": _Place("results:results", "Show what the jobs told of themselves, in one table."),
    "logs": _Place("logs:logs", "Show what a job printed; -f follows it."),
    "workers": _Place("workers:workers", "List the workers of a campaign."),
    "cancel": _Place("requests:cancel", "End jobs, or the whole campaign."),
    "retry": _Place("requests:retry", "Run failed jobs again, and nothing else."),
    "collect": _Place("collect:collect", "Write the results tables."),
    "teardown": _Place("teardown:teardown", "Stop all workers of a campaign and remove temporary objects."),
    "reap": _Place("reap:reap", "End workers that nobody needs any more, of all campaigns."),
    "list": _Place("campaigns:campaigns", "List the campaigns of a bucket."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of a campaign's life."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of that name."""
        del ctx
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.where.partition(":")
        return getattr(import_module(f"gliderport_prefect.cli.{module}"), name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one may have been meant."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            hint = unknown_key(args[0], COMMANDS, key="").hint
            ctx.fail(f"there is no command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.summary) for name, place in COMMANDS.items()])


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gliderport")
@click.option("--debug", is_flag=True, help="Log what happens, and show tracebacks.  [env: GLIDERPORT_DEBUG]")
def gliderport(*, debug: bool) -> None:
    """Run large campaigns of independent jobs.

    A campaign lives in a bucket: a folder of this machine, or s3://, gs://, az://. Every command takes it from
    --bucket, else from GLIDERPORT_BUCKET, else uses a folder of yours (~/.local/share/gliderport).
    """
    if debug or is_debug():
        start_debugging()
