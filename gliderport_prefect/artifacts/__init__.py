"""What a flow run shows in the Prefect UI: progress that moves, log lines, and a summary at the end."""

from gliderport_prefect.artifacts.logs import show_logs
from gliderport_prefect.artifacts.progress import ProgressArtifact
from gliderport_prefect.artifacts.summary import say_result, show_summary

__all__ = ["ProgressArtifact", "say_result", "show_logs", "show_summary"]
