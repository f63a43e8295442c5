"""Decisions about jobs and workers: pure functions over state, told everything, touching nothing."""
