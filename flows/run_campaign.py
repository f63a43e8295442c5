"""Entry point of the deployment `run-campaign`; the flow is in the package, so that a wheel can deploy it too."""

from gliderport_prefect.flows import campaign

__all__ = ["campaign"]

if __name__ == "__main__":
    campaign.serve(name="run-campaign")
