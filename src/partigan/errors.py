"""The one exception class of the package, and how texts of others are shown in one line."""

from __future__ import annotations


class PartiganError(Exception):
    """Something that the user can mend: the message says what was wrong, where, and what to do.

    The command line prints it as one line and exits with status 2 (``--debug`` adds the traceback);
    in Python it is raised as it is. Whatever names of files or texts of libraries are in it, it is one line.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message))


def check_number(name: str, value: int, what: str = "", most: int = 10**10) -> None:
    """Raise a `PartiganError` for a number of things that is below 1, or that nobody can mean.

    Args:
        name: of the argument.
        value: of it.
        what: one of the things.
        most: the largest number.
    """
    if not 1 <= value <= most:
        raise PartiganError(f"{name} = {value}; at least one {what}".rstrip() + f" is needed, at most {most:,}")


def printable(text: str) -> str:
    r"""Text as one line that a terminal only shows: control characters and the like become escapes.

    Example:
        >>> print(printable("a\nb\x1b[2J"))
        a\nb\x1b[2J
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def reason(error: Exception) -> str:
    """Why something could not be done, in a line: what a `PartiganError` says, or any other error with its name."""
    text = " ".join(str(error).split())
    return text if isinstance(error, PartiganError) else f"{type(error).__name__}: {text}".rstrip(": ")
