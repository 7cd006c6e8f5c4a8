"""Grants rights on a broker: kafka-acls commands as they stand in the docs, sent as Kafka's own request."""

import shlex
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Int8, Int16, Int32, Schema, String

_RESOURCES: Final = {"--topic": 2, "--transactional-id": 5}
_OPERATIONS: Final = {
    "Read": 3, "Write": 4, "Create": 5, "Alter": 7, "Describe": 8, "DescribeConfigs": 10, "AlterConfigs": 11
}  # fmt: skip
_LITERAL: Final = 3
_ALLOW: Final = 3


class _Answer(Response):
    API_KEY = 30
    API_VERSION = 1
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("results", Array(("error_code", Int16), ("error_message", String("utf-8")))),
    )


class _Question(RequestStruct):
    API_KEY = 30
    API_VERSION = 1
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(
        (
            "creations",
            Array(
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
                ("resource_pattern_type", Int8),
                ("principal", String("utf-8")),
                ("host", String("utf-8")),
                ("operation", Int8),
                ("permission_type", Int8),
            ),
        ),
    )


class CreateAcls(Request[_Question]):
    """CreateAcls, version 1."""

    API_KEY = 30

    def __init__(self, creations: list[tuple[Any, ...]]) -> None:
        self._creations = creations

    def build(self, request_struct_class: type[_Question]) -> Any:
        """As aiokafka's connections send it."""
        return request_struct_class(self._creations)


def read_commands(text: str) -> list[tuple[Any, ...]]:
    """What the `kafka-acls --add` lines of a text grant."""
    creations = []
    for line in text.splitlines():
        if not line.startswith("kafka-acls --add "):
            continue
        words = shlex.split(line)[2:]
        pairs = list(zip(words[::2], words[1::2], strict=True))
        (principal,) = (value for name, value in pairs if name == "--allow-principal")
        operations = [value for name, value in pairs if name == "--operation"]
        resources = [(name, value) for name, value in pairs if name in _RESOURCES]
        assert len(pairs) == 1 + len(operations) + len(resources), line
        creations += [
            (_RESOURCES[kind], name, _LITERAL, principal, "*", _OPERATIONS[operation], _ALLOW)
            for kind, name in resources
            for operation in operations
        ]
    return creations


async def grant(address: str, creations: list[tuple[Any, ...]]) -> None:
    """Let the administrator of the plain listener grant all of them."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    answer = await admin._send_to_controller(CreateAcls(creations))
    await admin.close()
    assert [code for code, _ in answer.results] == [0] * len(creations), answer
