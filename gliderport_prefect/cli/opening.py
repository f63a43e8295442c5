"""From what the command line names to a campaign in a bucket."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gliderport_prefect.campaign.identity import list_campaigns
from gliderport_prefect.campaign.replay import read_campaign
from gliderport_prefect.campaign.runtime import Runtime
from gliderport_prefect.cli.credentials import (
    VARIABLE,
    bucket_of_block,
    credentials_option,
    use_credentials,
    used_credentials,
)
from gliderport_prefect.errors import StoreNotFound, UserError
from gliderport_prefect.lifecycle.plan import Plan, plan_of
from gliderport_prefect.protocol.ids import parse_campaign_id
from gliderport_prefect.protocol.keys import CampaignKeys
from gliderport_prefect.protocol.quantities import parse_dollars
from gliderport_prefect.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from gliderport_prefect.store import Store

Command = Any


class _Dollars(click.ParamType):
    """An amount of US dollars above 0."""

    name = "dollars"

    def convert(  # noqa: PLR0917 - click's signature
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the amount."""
        try:
            return parse_dollars(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


DOLLARS = _Dollars()


def bucket_option(command: Command) -> Command:
    """Add `--bucket`, and `--credentials`, which may name a bucket, too."""
    return click.option(
        "--bucket",
        metavar="URL",
        envvar="GLIDERPORT_BUCKET",
        callback=_or_that_of_the_block,
        help="Where the campaign lives: a folder, s3://, gs://, az://.  [env: GLIDERPORT_BUCKET]",
    )(credentials_option(command))


def _or_that_of_the_block(context: click.Context, option: click.Parameter, value: str | None) -> str | None:  # noqa: PLR0917 - click's signature
    del context, option
    return value or bucket_of_block()


def json_option(command: Command) -> Command:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")(command)


def campaign_argument(command: Command) -> Command:
    """Add the optional `[CAMPAIGN]`."""
    return click.argument("campaign", required=False)(command)


def default_bucket() -> str:
    """Return the folder of this user that is the bucket when none is named."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return str(Path(data) / "gliderport")


def open_bucket(bucket: str | None) -> Store | None:
    """Open the bucket that is named, or this user's own; None when that one was never used."""
    try:
        return open_store(bucket or default_bucket())
    except StoreNotFound:
        if bucket:
            raise
        return None


def open_campaign(bucket: str | None, campaign: str | None) -> Runtime:
    """Return the campaign that is named, or the one of the bucket that was begun last.

    Raises:
        UserError: There is no such campaign, or none at all.
    """
    store = open_bucket(bucket)
    if store is None:
        raise UserError(
            f"no campaign was begun in {default_bucket()} yet",
            hint="name another bucket with --bucket or GLIDERPORT_BUCKET, or begin one with `gliderport run`",
        )
    runtime = Runtime(store, CampaignKeys(parse_campaign_id(campaign or _newest(store))))
    read_campaign(runtime)
    return runtime


def _newest(store: Store) -> str:
    found = list_campaigns(store)
    if not found:
        raise UserError(f"there is no campaign in {store.url}", hint="begin one with `gliderport run`")
    newest = found[0].campaign
    if len(found) > 1:
        click.echo(f"campaign {newest} (the newest of {len(found)})", err=True)
    return newest


def plan_to_drive(runtime: Runtime) -> Plan:
    """Return the campaign's plan, with the credentials of its block for the workers that will be started."""
    plan = plan_of(runtime)
    if plan.credentials:
        use_credentials(plan.credentials)
    return replace(plan, credentials=used_credentials() or "")


def say_command(verb: str, campaign: str, *, bucket: str) -> str:
    """Return the command line that does something with the campaign, to be typed as it is."""
    usual = os.environ.get("GLIDERPORT_BUCKET") or default_bucket()
    named = "" if _as_url(bucket) == _as_url(usual) else f" --bucket {shlex.quote(bucket)}"
    block = used_credentials()
    named += f" --credentials {shlex.quote(block)}" if block and block != os.environ.get(VARIABLE) else ""
    return f"gliderport {verb} {campaign}{named}"


def _as_url(bucket: str) -> str:
    return bucket if "://" in bucket else Path(bucket).expanduser().absolute().as_uri()


def parse_pairs(texts: tuple[str, ...], option: str) -> dict[str, str]:
    """Return what was given as `KEY=VALUE`, several times.

    Raises:
        BadParameter: One has no `=`.
    """
    pairs: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint=option)
        pairs[key] = value
    return pairs


def states_option(help_text: str) -> Callable[[Command], Command]:
    """Add `--state`, which can be given several times and in any case of letters."""
    return click.option("--state", "states", multiple=True, metavar="STATE", help=help_text)
