"""The number that two peers compare before they trust each other's records."""

PROTOCOL_VERSION = 1
"""Raised when a record changes so that an older reader would act wrongly on it.

New optional fields do not raise it: a reader ignores keys that it does not know.
"""
