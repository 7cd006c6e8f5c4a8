"""The one way in which a command of the house gives up on what it was asked to do."""

import click


class UsageFailure(click.ClickException):
    """What was given cannot be used: one clear line on stderr, exit code 2."""

    exit_code = 2
