"""A campaign as it lies in the bucket: its records, its specs, its state folded from them, requests to it."""
