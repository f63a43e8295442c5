"""SkyPilot's own optimizer over catalogs of our own, as a program without an API server and without a network.

It reads tasks from its input, a JSON list, and prints the optimizer's table, or its error, for each. SkyPilot takes the
place of its settings from HOME when it is imported; HOME must be an empty folder.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
from pathlib import Path
from typing import Any

_CLOUDS = ["AWS", "GCP", "Azure"]
_AWS = (
    "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,AvailabilityZone,Arch"
)
_GCP = "InstanceType,vCPUs,MemoryGiB,AcceleratorName,AcceleratorCount,GpuInfo,Region,AvailabilityZone,Price,SpotPrice"
_AZURE = "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,Generation"
_IMAGES = "Tag,Region,OS,OSVersion,ImageId,CreationDate"
_GPU = "\"{'Gpus': [{'Name': 'A10G', 'Manufacturer': 'NVIDIA', 'Count': 1.0, 'MemoryInfo': {'SizeInMiB': 24576}}]}\""
_CATALOGS = {
    "common/accelerators.csv": ["AcceleratorName,Clouds", '"A10G","[\'aws\']"', '"H100","[\'aws\']"'],
    "aws/vms.csv": [
        _AWS,
        "m6i.xlarge,,,4,16,,0.192,0.07,us-east-1,us-east-1a,x86_64",
        "m6i.xlarge,,,4,16,,0.192,0.06,us-east-1,us-east-1b,x86_64",
        "t3.nano,,,2,0.5,,0.0052,0.0016,us-east-1,us-east-1b,x86_64",
        f"g5.xlarge,A10G,1,4,16,{_GPU},1.006,0.4,us-east-1,us-east-1a,x86_64",
    ],
    "aws/images.csv": [
        f"{_IMAGES},BaseImageId",
        "skypilot:cpu-ubuntu-2204,us-east-1,ubuntu,22.04,ami-1,20240101,ami-0",
        "skypilot:gpu-ubuntu-2204,us-east-1,ubuntu,22.04,ami-2,20240101,ami-0",
    ],
    "aws/instance_quota_mapping.csv": ["InstanceType,OnDemandQuotaCode,SpotQuotaCode"],
    "gcp/vms.csv": [
        _GCP,
        "n2-standard-4,4,16,,,,us-central1,us-central1-a,0.1942,0.047",
        "g2-standard-4,4,16,L4,1,,us-central1,us-central1-a,0.7068,0.28",
    ],
    "gcp/images.csv": [_IMAGES, "skypilot:cpu-debian-11,,debian,11,projects/x,20240101"],
    "gcp/accelerator_quota_mapping.csv": ["Accelerator,OnDemandCode,SpotCode"],
    "azure/vms.csv": [
        _AZURE,
        "Standard_D4s_v5,,,4,16,,0.192,0.04,eastus,V2",
        "Standard_NC24ads_A100_v4,A100-80GB,1,24,220,,3.673,1.5,eastus,V2",
    ],
    "azure/images.csv": [_IMAGES, "skypilot:v1-ubuntu-2004,,ubuntu,20.04,x:y:z:1,20240101"],
}


def main() -> None:
    """Write the catalogs, say that the clouds may be used, and ask the optimizer."""
    catalogs = Path.home() / ".sky" / "catalogs" / "v8"
    for name, lines in _CATALOGS.items():
        (catalogs / name).parent.mkdir(parents=True, exist_ok=True)
        (catalogs / name).write_text("\n".join([*lines, ""]))
    _enable_clouds()
    print(json.dumps([_optimize(task) for task in json.load(sys.stdin)]))


def _enable_clouds() -> None:
    """Put into SkyPilot's state what `sky check` would have put there."""
    from sky import check, global_user_state  # noqa: PLC0415
    from sky.clouds import cloud  # noqa: PLC0415

    allowed: Any = check._get_workspace_allowed_clouds("default")  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    global_user_state.set_allowed_clouds(allowed, "default")
    for capability in cloud.CloudCapability:
        global_user_state.set_enabled_clouds(_CLOUDS, capability, "default")


def _optimize(task: dict[str, Any]) -> dict[str, str]:
    import sky  # noqa: PLC0415
    from sky.optimizer import Optimizer  # noqa: PLC0415

    said = io.StringIO()
    handler = logging.StreamHandler(said)
    logger = logging.getLogger("sky")
    logger.addHandler(handler)
    try:
        with contextlib.redirect_stdout(io.StringIO()), sky.Dag() as dag:
            dag.add(sky.Task.from_yaml_config(task))
            Optimizer.optimize(dag, quiet=False)  # pyright: ignore[reportUnknownMemberType]
    except Exception as error:  # noqa: BLE001 - the answer, whatever it is
        return {"error": type(error).__name__, "said": str(error)}
    finally:
        logger.removeHandler(handler)
    return {"table": said.getvalue()}


if __name__ == "__main__":
    main()
