"""The worker bundle: everything that a machine needs of us, in one file named by its hash."""

from gliderport_prefect.bundle.building import Bundle, build_bundle, requirements
from gliderport_prefect.bundle.placing import bundle_key, place_bundle
from gliderport_prefect.bundle.starting import WorkerShare, start_script

__all__ = ["Bundle", "WorkerShare", "build_bundle", "bundle_key", "place_bundle", "requirements", "start_script"]
