"""`gliderport list`: the campaigns of a bucket."""

from __future__ import annotations

import click

from gliderport_prefect.board.wording import say_place
from gliderport_prefect.campaign.identity import list_campaigns
from gliderport_prefect.cli.opening import bucket_option, default_bucket, json_option, open_bucket
from gliderport_prefect.cli.tables import write_json, write_table

_SHOWN = ("campaign", "created_at", "site", "origin")


@click.command()
@bucket_option
@json_option
def campaigns(*, bucket: str | None, as_json: bool) -> None:
    """List the campaigns of a bucket."""
    store = open_bucket(bucket)
    found = list_campaigns(store) if store is not None else []
    where = store.url if store is not None else default_bucket()
    if as_json:
        rows = [{name: getattr(each, name) for name in _SHOWN} for each in found]
        write_json({"bucket": where, "campaigns": rows})
    elif found:
        write_table(_SHOWN, ([getattr(each, name) for name in _SHOWN] for each in found))
    else:
        click.echo(f"there is no campaign in {say_place(where)}", err=True)
