"""The compose file goes with the tree: its commands are ours, its files are there, its broker is that of the tests.

That containers come up is not tried here: a test machine need not have Docker.
"""

import re
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from consumers.cli import main
from consumers.kafka.connection import client_options
from consumers.kafka.settings import load_settings

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
OURS = {name: service for name, service in COMPOSE["services"].items() if "command" in service}


def test_the_services_are_those_of_the_example_venue() -> None:
    """Topics first, then one engine and one settlement."""
    assert set(OURS) == {"topics", "engine", "settlement"}


@pytest.mark.parametrize("name", OURS)
def test_each_command_is_one_of_ours(name: str) -> None:
    """With options that it takes; files at the places where the volumes put them."""
    command, *arguments = OURS[name]["command"]
    mounted = dict(volume.split(":")[1::-1] for volume in OURS[name]["volumes"])
    arguments = [str(DEPLOY / mounted[each]) if each in mounted else each for each in arguments]
    found = main.get_command(click.Context(main), command)
    assert found is not None
    context = found.make_context(command, arguments)
    for path in (context.params["config"], context.params["service"]):
        assert path.is_file()
    settings = load_settings(context.params["service"], bootstrap=OURS[name]["environment"]["BACKSTOP_KAFKA"])
    (address,) = client_options(settings)["bootstrap_servers"]
    assert f"//{address}," in COMPOSE["services"]["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]


def test_the_broker_is_the_one_that_is_tested_against() -> None:
    """The image's tag is the version in deploy/kafka/pom.xml."""
    version = re.search(r"kafka_2\.13</artifactId>\s*<version>([0-9.]+)<", (DEPLOY / "kafka/pom.xml").read_text())
    assert version is not None
    assert COMPOSE["services"]["kafka"]["image"] == f"apache/kafka:{version[1]}"


def test_the_image_gets_what_it_copies() -> None:
    """Every path of COPY is in the tree."""
    for line in (DEPLOY / "Dockerfile").read_text("utf-8").splitlines():
        if line.startswith("COPY "):
            *sources, _ = line.split()[1:]
            assert all((DEPLOY.parent / source).exists() for source in sources)
