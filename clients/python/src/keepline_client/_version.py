"""What the client says of itself in `User-Agent`; the same as in pyproject.toml, as a test sees to."""

__version__ = "0.1.0"
