"""The error of this package: babeld refused a command, went away, or could not be reached."""

from re6st_core import errors


class RouterError(errors.RouterError):
    """babeld answered ``no`` or ``bad``, or the connection to it ended before the answer."""
