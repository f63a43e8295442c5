"""The optimizer's table, as SkyPilot 0.14.1 prints it."""

from __future__ import annotations

import pytest

from gliderport_prefect.protocol.resources import Resources
from gliderport_prefect.sites.seam import Market
from gliderport_prefect.sites.sky_prices import UNKNOWN_BYTES, derive_offer, read_choice

_GIB = 2**30
SLURM = (
    "\x1b[33mSome Slurm cluster(s) do not track memory as a consumable resource: rig (CR_CPU).\x1b[0m\n"
    "Considered resources (1 node):\n"
    "-----------------------------------------------------------------------\n"
    " INFRA         INSTANCE   vCPUs   Mem(GB)   GPUS   COST ($)   CHOSEN   \n"
    "-----------------------------------------------------------------------\n"
    " Slurm (rig)   -          2       0         -      0.00       \x1b[32m   ✔\x1b[0m     \n"
    "-----------------------------------------------------------------------\n"
)
SPOT = (
    "Considered resources (1 node):\n"
    "-----------------------------------------------------------------------------------------------\n"
    " INFRA                 INSTANCE            vCPUs   Mem(GB)   GPUS     COST ($)   CHOSEN   \n"
    "-----------------------------------------------------------------------------------------------\n"
    " AWS (us-east-2)       m6i.xlarge          4       16        -        0.19                \n"
    " AWS (us-east-1b)      g5.2xlarge[Spot]    8       32        A10G:1   1.21          ✔     \n"
    "-----------------------------------------------------------------------------------------------\n"
)


def test_a_part_of_a_slurm_node() -> None:
    choice = read_choice(SLURM)
    assert choice is not None
    assert (choice.infra, choice.instance_type, choice.cpus, choice.memory_bytes) == ("slurm/rig", "", 2.0, None)
    assert (choice.price_per_hour, choice.is_shared, choice.kind) == (0.0, True, "slurm/rig")


def test_the_chosen_machine_of_several() -> None:
    choice = read_choice(SPOT)
    assert choice is not None
    assert choice.kind == "g5.2xlarge in aws/us-east-1b"
    assert (choice.cpus, choice.memory_bytes, choice.gpus, choice.gpu_type) == (8.0, 32 * _GIB, 1, "A10G")
    assert (choice.price_per_hour, choice.market, choice.is_shared) == (1.21, Market.SPOT, False)


@pytest.mark.parametrize("text", ["", "nothing of the kind\n", SLURM.replace("✔", " ")])
def test_without_a_chosen_machine_nothing_is_known(text: str) -> None:
    assert read_choice(text) is None


def test_what_is_not_known_refuses_no_job() -> None:
    offer = derive_offer(read_choice(SLURM), [{}])
    assert offer.fits(Resources(cpus=2, memory_bytes=500 * _GIB, disk_bytes=2000 * _GIB))
    assert not offer.fits(Resources(cpus=3))
    assert not offer.fits(Resources(gpus=1))
    assert derive_offer(None, [{}]).memory_bytes == UNKNOWN_BYTES


@pytest.mark.parametrize(("sizes", "disk_gb"), [([None], 236), ([100], 80), (["60GB", 90], 40)])
def test_the_disk_of_a_rented_machine_is_what_the_template_asks_for(sizes: list[object], disk_gb: int) -> None:
    machines = [{"disk_size": size} for size in sizes]
    assert derive_offer(read_choice(SPOT), machines).disk_bytes == disk_gb * _GIB
