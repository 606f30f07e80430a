"""The errors of this package: babeld refused a command, went away, could not be reached, or keeps silent."""

from re6st_core import errors


class RouterError(errors.RouterError):
    """babeld answered ``no`` or ``bad``, the connection to it ended first, or the kernel refused a route."""


class NoAnswerError(RouterError):
    """babeld is connected and did not answer a command in time; it may still execute it."""
