"""The `backstop` command. Every failure that a user can cause is one line on stderr and exit code 2."""

import signal
from importlib import metadata
from typing import Any

import click

from consumers import diagnostics
from consumers.errors import UsageFailure
from consumers.explain.command import explain
from consumers.generate.command import generate
from consumers.ledger.command import ledger
from consumers.replay.command import replay


class OneLineGroup(click.Group):
    """A command group whose usage errors are one line: click adds two of its own that hide the reason in logs."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            raise _one_line(error) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise _one_line(error) from None
        except KeyboardInterrupt:
            click.echo("Error: interrupted by SIGINT", err=True)
            ctx.exit(128 + signal.SIGINT)


def _one_line(error: click.UsageError) -> UsageFailure:
    command = error.ctx.command_path if error.ctx is not None else "backstop"
    reason = " ".join(error.format_message().split()).rstrip(".")
    return UsageFailure(f"{reason} (see '{command} --help')")


def _version() -> str:
    try:
        return metadata.version("backstop")
    except metadata.PackageNotFoundError:
        return "0 (from source, not installed)"


@click.group(cls=OneLineGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(_version(), prog_name="backstop")
@click.option("-v", "--verbose", is_flag=True, help="Say on stderr what is being done; tracebacks with failures.")
@click.pass_context
def main(context: click.Context, *, verbose: bool) -> None:
    """Liquidation, insurance funds and auto-deleveraging for futures venues, replayable to the last unit."""
    diagnostics.configure(verbose=verbose)
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


main.add_command(replay)
main.add_command(generate)
main.add_command(explain)
main.add_command(ledger)


if __name__ == "__main__":
    main(prog_name="backstop")
