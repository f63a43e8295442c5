"""Places where workers are started. A site does what it is told; `scheduling` decides."""
