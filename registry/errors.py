"""What the registry says no with, and what its clients see.

RegistryError (re6st_core)
 +-- UnreachableError       client: no answer; worth another try later
 +-- RefusedError           client: the registry answered with a problem document; ``status`` says which
 +-- RejectedError          server: the request cannot be granted
      +-- BadRequestError      the message makes no sense                         400
      +-- NotAllowedError      token, certificate or network settings forbid it   403
      +-- NoPrefixError        no prefix of the wanted length is free             409
      +-- TooManyError         again later: a rate or number is exceeded          429
      +-- StoreFailedError     the database cannot be read or written now         503
      +-- StoreFullError       the disk is full                                   507
"""

from re6st_core.errors import RegistryError


class UnreachableError(RegistryError):
    """The registry did not answer, or its TLS is not what it must be."""


class RefusedError(RegistryError):
    """The registry answered, with an HTTP status that is not success."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class RejectedError(RegistryError):
    """A request that the server does not grant."""


class BadRequestError(RejectedError):
    """The message makes no sense."""


class NotAllowedError(RejectedError):
    """The token, the certificate or the settings of the network forbid it."""


class TooManyError(RejectedError):
    """A rate or a number is exceeded; ``retry_s`` is when to come again."""

    def __init__(self, message: str, retry_s: float) -> None:
        super().__init__(message)
        self.retry_s = retry_s


class NoPrefixError(RejectedError):
    """No prefix of the wanted length is free."""


class StoreFullError(RejectedError):
    """The disk is full: nothing was changed."""


class StoreFailedError(RejectedError):
    """The database cannot be read or written now: nothing was changed."""
