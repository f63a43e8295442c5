"""The tests: `fundamentals` shows how things are meant, `unit` mirrors the package."""
