"""The stages of a campaign as plain functions: prepare, upload, launch, distribute, collect, teardown."""
