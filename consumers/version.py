"""Which code this is."""

from importlib import metadata


def code_version() -> str:
    """The version of the installed distribution."""
    try:
        return metadata.version("backstop")
    except metadata.PackageNotFoundError:
        return "0 (from source, not installed)"
