"""The stages as Prefect tasks: a table, and nothing else.

Each task is the plain function with its signature, so that it can be read, typed and tested without Prefect. What a
stage returns is stored under the flow run, so that a retried run repeats no stage that has succeeded; the long stage
is repeated, because it re-attaches to what is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import INPUTS, NO_CACHE, RUN_ID

from gliderport_prefect.errors import SiteError, StoreUnreachable
from gliderport_prefect.lifecycle.collect import collect
from gliderport_prefect.lifecycle.distribute import distribute
from gliderport_prefect.lifecycle.launch import launch
from gliderport_prefect.lifecycle.prepare import prepare
from gliderport_prefect.lifecycle.run import Stages
from gliderport_prefect.lifecycle.teardown import teardown
from gliderport_prefect.lifecycle.upload import upload

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

_ONCE = INPUTS + RUN_ID


def is_transient(task: object, task_run: object, state: State) -> bool:  # noqa: ARG001, PLR0917 - Prefect's signature
    """Say whether a stage that failed is worth another try: when the bucket or the site did not do what was asked."""
    return isinstance(state.result(raise_on_failure=False), (StoreUnreachable, SiteError))


def stages() -> Stages:
    """Return the stages of a campaign as tasks."""
    return Stages(
        prepare=task(
            task_run_name="prepare",
            cache_policy=_ONCE,
            persist_result=True,
        )(prepare),
        upload=task(
            task_run_name="upload",
            cache_policy=_ONCE,
            persist_result=True,
            retries=2,
            retry_delay_seconds=10,
            retry_condition_fn=is_transient,
        )(upload),
        launch=task(
            task_run_name="launch",
            cache_policy=NO_CACHE,
            retries=2,
            retry_delay_seconds=30,
            retry_condition_fn=is_transient,
        )(launch),
        distribute=task(
            task_run_name="distribute",
            cache_policy=NO_CACHE,
            persist_result=False,
        )(distribute),
        collect=task(
            task_run_name="collect",
            cache_policy=NO_CACHE,
            retries=2,
            retry_delay_seconds=10,
            retry_condition_fn=is_transient,
        )(collect),
        teardown=task(
            task_run_name="teardown",
            cache_policy=NO_CACHE,
            retries=3,
            retry_delay_seconds=10,
            retry_condition_fn=is_transient,
        )(teardown),
    )
