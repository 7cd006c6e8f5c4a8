"""The command line of `backstop settlement`."""

from typing import Any

import click

from consumers.kafka.start import run_service, service_options


@click.command(short_help="The Kafka service of one asset: insurance funds and their decisions.")
@click.option("--asset", required=True, metavar="NAME", help="Which of the config's assets.")
@service_options
def settlement(*, asset: str, **options: Any) -> None:
    """Run the settlement of one asset: claims of its shards in, decisions and fund movements out.

    Exit codes: 0 stopped by a signal, 1 a record or journal that needs a person, 2 cannot start like this, 74 a commit
    without an answer (start it again), 75 replaced by a newer instance (start it again with --standby).
    """
    click.get_current_context().exit(run_service(f"settlement:{asset}", **options))
