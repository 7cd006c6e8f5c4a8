"""The `backstop` command. Every failure that a user can cause is one line on stderr and exit code 2."""

import signal
from importlib import import_module
from typing import Any, Final

import click

from consumers import diagnostics
from consumers.errors import UsageFailure
from consumers.version import version

COMMANDS: Final = (
    "config",
    "dead-letters",
    "engine",
    "explain",
    "export",
    "generate",
    "ledger",
    "replay",
    "send",
    "settlement",
    "snapshot",
    "tail",
    "topics",
    "verify",
)
"""Each is the command of that name in consumers.<name>.command, with underscores for hyphens."""


class OneLineGroup(click.Group):
    """A command group whose usage errors are one line: click adds two of its own that hide the reason in logs.

    A command is imported when it is asked for, as none needs the libraries of the others.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"consumers.{name}.command"), name)
        return command

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


@click.group(cls=OneLineGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version(), prog_name="backstop")
@click.option("-v", "--verbose", is_flag=True, help="Say on stderr what is being done; tracebacks with failures.")
@click.pass_context
def main(context: click.Context, *, verbose: bool) -> None:
    """Liquidation, insurance funds and auto-deleveraging for futures venues, replayable to the last unit."""
    diagnostics.configure(verbose=verbose)
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


if __name__ == "__main__":
    main(prog_name="backstop")
