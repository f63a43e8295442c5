"""A real SkyPilot on the loopback: API server, jobs controller, and a Slurm cluster of virtual nodes."""
