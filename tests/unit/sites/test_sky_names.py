"""Names under which SkyPilot knows workers."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from gliderport_prefect.protocol.ids import MAX_ID_LENGTH, WorkerName
from gliderport_prefect.sites.sky_names import Owner, is_job_name

IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._=@+-]*", fullmatch=True).filter(lambda text: len(text) <= MAX_ID_LENGTH)
WORKERS = IDS.filter(lambda text: "." not in text).map(WorkerName)
BUCKETS = st.sampled_from(["s3://bucket/a", "gs://other", "file:///data/runs"]) | st.text(min_size=1, max_size=300)
SKYPILOT = re.compile(r"[a-zA-Z0-9]+(?:[._-]{1,2}[a-zA-Z0-9]+)*")
"""What SkyPilot takes as the name of a job."""
# The strictest of the clouds' rules for labels: Google Cloud's keys and values, Kubernetes' first and last characters.
LABEL_KEY = re.compile(r"[a-z]([a-z0-9_-]{0,61}[a-z0-9])?")
LABEL_VALUE = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")


@given(campaign=IDS, bucket=BUCKETS, worker=WORKERS)
def test_every_worker_has_a_name_that_skypilot_takes(campaign: str, bucket: str, worker: WorkerName) -> None:
    owner = Owner(campaign, bucket)
    name = owner.job_name(worker)
    assert SKYPILOT.fullmatch(name)
    assert len(name) <= 70
    assert name.startswith(owner.name_prefix)
    assert is_job_name(name)


@given(campaign=IDS, bucket=BUCKETS, worker=WORKERS)
def test_labels_are_such_that_every_cloud_takes_them(campaign: str, bucket: str, worker: WorkerName) -> None:
    labels = Owner(campaign, bucket).labels(worker)
    assert all(LABEL_KEY.fullmatch(key) for key in labels)
    assert all(LABEL_VALUE.fullmatch(value) for value in labels.values())


@given(one=st.tuples(IDS, BUCKETS, WORKERS), other=st.tuples(IDS, BUCKETS, WORKERS))
def test_different_workers_have_different_names(
    one: tuple[str, str, WorkerName], other: tuple[str, str, WorkerName]
) -> None:
    names = [Owner(campaign, bucket).job_name(worker) for campaign, bucket, worker in (one, other)]
    assert (names[0] == names[1]) == (one == other)


def test_the_prefix_of_one_campaign_begins_no_name_of_another() -> None:
    short, long = Owner("fit", "s3://b"), Owner("fit-2", "s3://b")
    assert not long.job_name(WorkerName("worker-0001")).startswith(short.name_prefix)


def test_names_of_others_are_no_names_of_ours() -> None:
    assert not is_job_name("gliderport-worker-0001")
    assert not is_job_name("train-0123456789-worker-0001")
    assert not is_job_name("my-gliderport-fit-0123456789-worker-0001")
