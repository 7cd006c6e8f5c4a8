"""The command-line options of everything that talks to Kafka."""

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from consumers.kafka.settings import load_settings


def kafka_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --service and --kafka to a click command, and pass it `settings`, a ServiceConfig, in their place."""

    @click.option(
        "--service",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="How to reach Kafka and how to run, as TOML (default: a broker at 127.0.0.1:9092, without login).",
    )
    @click.option(
        "--kafka",
        envvar="BACKSTOP_KAFKA",
        show_envvar=True,
        metavar="HOST:PORT,...",
        help="Brokers to begin with, in place of what FILE says.",
    )
    @wraps(command)
    def with_settings(*args: Any, service: Path | None, kafka: str | None, **kwargs: Any) -> Any:
        settings = load_settings(service, bootstrap=kafka, environment=os.environ)
        return command(*args, settings=settings, **kwargs)

    return with_settings
