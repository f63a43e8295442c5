"""Sources of jobs: a folder, a campaign file, a command with a table. Each becomes a `Submission`."""
