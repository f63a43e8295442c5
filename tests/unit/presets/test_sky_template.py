"""Sky templates: what is stored of them with the campaign."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gliderport_prefect.errors import UserError
from gliderport_prefect.presets.sky_template import parse_sky_template, read_sky_template

FOLDER = Path("/home/me/films")


def parse(**template: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever SkyPilot takes
    return parse_sky_template(template, folder=FOLDER)[0]


def test_paths_begin_in_the_templates_folder() -> None:
    template = parse(
        workdir=".",
        file_mounts={
            "/data": "./films",
            "/conf": "~/conf",
            "/there": "/abs",
            "/bucket": "s3://b/p",
            "/var": "$HERE/x",
            "/store": {"source": "../cuts", "mode": "COPY"},
            "/several": {"name": "n", "source": ["a", "gs://b"]},
        },
    )
    assert template["workdir"] == "/home/me/films"
    assert template["file_mounts"] == {
        "/data": "/home/me/films/films",
        "/conf": "~/conf",
        "/there": "/abs",
        "/bucket": "s3://b/p",
        "/var": "$HERE/x",
        "/store": {"source": "/home/me/films/../cuts", "mode": "COPY"},
        "/several": {"name": "n", "source": ["/home/me/films/a", "gs://b"]},
    }


def test_a_template_in_a_file_begins_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "SKY_TEMPLATE.yaml").write_text("file_mounts: {/data: films}\n")
    assert read_sky_template(tmp_path / "SKY_TEMPLATE.yaml")[0]["file_mounts"] == {"/data": str(tmp_path / "films")}


def test_a_workdir_that_is_cloned_stays_as_it_is() -> None:
    assert parse(workdir={"url": "https://x/y.git"})["workdir"] == {"url": "https://x/y.git"}


def test_the_value_of_a_secret_is_refused() -> None:
    with pytest.raises(UserError) as refused:
        parse(secrets={"GOOD": None, "TOKEN": "t0ps3cret"})
    assert refused.value.key == "secrets.TOKEN"
    assert "export TOKEN=" in str(refused.value)
    assert "t0ps3cret" not in str(refused.value)


@pytest.mark.parametrize("secrets", [{"TOKEN": None}, ["secrets:TOKEN"]])
def test_a_secret_may_be_named(secrets: object) -> None:
    assert parse(secrets=secrets)["secrets"] == secrets


def test_what_is_written_wrong_is_left_for_skypilot_to_refuse() -> None:
    assert parse(file_mounts=["a"], secrets="x") == {"file_mounts": ["a"], "secrets": "x"}
