"""The request that changes some settings of a topic and leaves the others as they are.

aiokafka has only the older one, which forgets every setting that is not in it. The new one is described here for its
protocol layer: IncrementalAlterConfigs, version 0.
"""

from collections.abc import Mapping
from typing import Any, Final

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int8, Int16, Int32, Schema, String

_API_KEY: Final = 44
_SET: Final = 0
_TOPIC: Final = 2


class _Answer(Response):
    API_KEY = _API_KEY
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "resources",
            Array(
                ("error_code", Int16),
                ("error_message", String("utf-8")),
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
            ),
        ),
    )


class _Question(RequestStruct):
    API_KEY = _API_KEY
    API_VERSION = 0
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(
        (
            "resources",
            Array(
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
                (
                    "config_entries",
                    Array(
                        ("config_name", String("utf-8")),
                        ("config_operation", Int8),
                        ("config_value", String("utf-8")),
                    ),
                ),
            ),
        ),
        ("validate_only", Boolean),
    )


class AlterTopicConfigs(Request[_Question]):
    """Set settings of topics: {topic: {setting: value}}. The answer has an error code per topic."""

    API_KEY = _API_KEY

    def __init__(self, changes: Mapping[str, Mapping[str, str]]) -> None:
        self._changes = changes

    def build(self, request_struct_class: type[_Question]) -> Any:
        """As aiokafka's connections send it."""
        resources = [
            (_TOPIC, topic, [(name, _SET, value) for name, value in settings.items()])
            for topic, settings in self._changes.items()
        ]
        return request_struct_class(resources, False)  # noqa: FBT003 (a field by position)
