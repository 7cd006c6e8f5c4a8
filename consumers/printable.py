"""Text from outside, made fit for one line on a terminal: what it holds is shown, never obeyed."""

from pathlib import Path


def printable(text: str) -> str:
    """The text with line breaks, control characters and half characters written as escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def display_name(path: Path) -> str:
    """A path as text that can be printed and encoded, whatever bytes its name is made of."""
    return printable(str(path))
