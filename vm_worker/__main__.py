"""Starts the worker: `python worker.pyz --bucket URL --campaign ID --name NAME`."""

from vm_worker.main import run_and_exit

run_and_exit()
