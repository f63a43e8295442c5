"""Credentials that somebody keeps in Prefect: a block by its name opens the bucket, here and for the workers.

Only the name is passed on and stored. Importing this package imports Prefect: do it when a block is named.
"""

from gliderport_prefect.blocks.use import use_block

__all__ = ["use_block"]
