"""Campaigns of independent jobs on fleets of cloud machines, driven from Prefect.

Importing the package is light on purpose: it loads neither Prefect nor SkyPilot.
"""

from typing import Final

__version__: Final = "0.1.0"
