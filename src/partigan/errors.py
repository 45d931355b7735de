"""The one exception class of the package."""

from __future__ import annotations


class PartiganError(Exception):
    """Something that the user can mend: the message says what was wrong, where, and what to do.

    The command line prints it as one line and exits with status 2 (``--debug`` adds the traceback);
    in Python it is raised as it is.
    """
