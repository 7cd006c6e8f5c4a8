"""The command line of `backstop engine`."""

from typing import Any

import click

from consumers.kafka.start import run_service, service_options


@click.command(short_help="The Kafka service of one shard: matching, liquidation, ADL.")
@click.option("--shard", required=True, metavar="NAME", help="Which of the config's shards.")
@service_options
def engine(*, shard: str, **options: Any) -> None:
    """Run the engine of one shard: orders, prices and decisions in; executions, positions and claims out.

    Exit codes: 0 stopped by a signal, 1 a record or journal that needs a person, 2 cannot start like this, 74 a commit
    without an answer (start it again), 75 replaced by a newer instance (start it again with --standby).
    """
    click.get_current_context().exit(run_service(f"engine:{shard}", **options))
