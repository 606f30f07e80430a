"""The tree of errors, by who is at fault; only a ``cli`` turns one into an exit status.

Re6stError
 +-- ConfigError        the operator: option, file, missing program, privileges
 +-- WireError          bytes from outside that are not a valid message
 +-- PeerError          a peer that is valid but refuses, or breaks the protocol
 +-- RegistryError      the registry: unreachable, refuses, or answers garbage
 +-- CertificateError   a certificate, key or CRL that must not be trusted
 +-- RouterError        the kernel or babeld did not do what was asked
"""


class Re6stError(Exception):
    """Root of the tree: ``str()`` is one line for an operator, saying what happened and where."""


class ConfigError(Re6stError):
    """The operator must change something: an option, a file, a package, a privilege.

    ``problems`` lists every mistake found, so that one run shows them all.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class WireError(Re6stError):
    """Bytes from outside are not a valid message: the only error a decoder of untrusted bytes raises."""


class PeerError(Re6stError):
    """A peer is valid but refuses, or does not keep to the protocol."""


class RegistryError(Re6stError):
    """The registry cannot be reached, refuses, or answers garbage."""


class CertificateError(Re6stError):
    """A certificate, key or revocation list must not be trusted."""


class RouterError(Re6stError):
    """The kernel or babeld did not do what was asked."""
