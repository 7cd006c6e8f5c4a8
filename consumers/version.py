"""Which Backstop this is."""

from importlib import metadata


def version() -> str:
    """The version that is installed."""
    try:
        return metadata.version("backstop")
    except metadata.PackageNotFoundError:
        return "0 (from source, not installed)"
