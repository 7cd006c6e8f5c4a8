"""The broker of the test run."""

from tests.kafka.conftest import broker, prefix

__all__ = ["broker", "prefix"]
