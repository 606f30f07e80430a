"""The tables of the registry's database.

Prefixes are keyed by their bits, ``"0010"``, whose text order is the order of addresses.  Times are Unix
times in seconds.  ``VERSION`` grows with each change of the tables, together with a migration from the last.
"""

from sqlalchemy import (
    DDL,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    event,
)

VERSION = 1

metadata = MetaData()

registry = Table(  # one row: what holds for the whole network
    "registry",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True),
    Column("schema_version", Integer, nullable=False),
    Column("network", Text, nullable=False),
    Column("registry_prefix", Text),  # bits of the first node, which is the registry's own
    Column("last_serial", Integer, nullable=False),  # of certificates; never used again
    Column("next_number", Integer, nullable=False),  # subject serialNumber, when none is free
    Column("crl_number", Integer, nullable=False),
)

publication = Table(  # one row: the newest signed documents, kept so that a restart gives the same bytes
    "publication",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True),
    Column("version", Integer, nullable=False),  # of the parameters; grows exactly when they change
    Column("crl_number", Integer, nullable=False),
    Column("parameters", Text, nullable=False),  # JSON of NetworkParameters
    Column("signed", Text, nullable=False),  # JSON of SignedParameters
    Column("crl", Text, nullable=False),  # PEM
    Column("due", Integer, nullable=False),  # when it must be made again though nobody changes anything
)

space = Table(  # the partition of the network in prefixes: no overlap, no gap
    "space",
    metadata,
    Column("bits", Text, primary_key=True),
    Column("length", Integer, nullable=False),
    Column("state", Text, nullable=False),  # free, used or reserved
    CheckConstraint("length(bits) = length"),
    Index("space_free", "state", "length", "bits"),
)

# The last line of defence: whatever the program does, the database refuses a block inside another.  Between
# blocks that do not overlap, only the neighbours in text order can.
event.listen(
    space,
    "after_create",
    DDL(  # type: ignore[no-untyped-call]  # SQLAlchemy left this one out
        """
        CREATE TRIGGER space_overlap BEFORE INSERT ON space
        WHEN EXISTS (
            SELECT 1 FROM (SELECT bits FROM space WHERE bits <= NEW.bits ORDER BY bits DESC LIMIT 1) AS before
            WHERE substr(NEW.bits, 1, length(before.bits)) = before.bits
        ) OR EXISTS (
            SELECT 1 FROM (SELECT bits FROM space WHERE bits >= NEW.bits ORDER BY bits LIMIT 1) AS after
            WHERE substr(after.bits, 1, length(NEW.bits)) = NEW.bits
        )
        BEGIN SELECT RAISE(ABORT, 'overlapping prefixes'); END
        """
    ),
)

free_number = Table(  # subject serialNumbers given back
    "free_number",
    metadata,
    Column("number", Integer, primary_key=True),
)

token = Table(
    "token",
    metadata,
    Column("token", Text, primary_key=True),
    Column("email", Text, nullable=False),
    Column("prefix_length", Integer, nullable=False),
    Column("created", Integer, nullable=False),
    Column("used_at", Integer),
    Column("used_by", Text),  # bits of the node, which may be forgotten since
    Column("used_key", LargeBinary),  # SHA-256 of the key that used it, which may ask again
)

node = Table(
    "node",
    metadata,
    Column("bits", Text, ForeignKey("space.bits"), primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
    Column("created", Integer, nullable=False),
    Column("expires", Integer, nullable=False, index=True),  # of its last certificate
    Column("email", Text),
    Column("location", Text),
    Column("subject", Text, nullable=False),  # as requested; certified by nobody
    Column("endpoints", Text, nullable=False, default=""),
    Column("seen", Integer, index=True),
)

certificate = Table(
    "certificate",
    metadata,
    Column("serial", Integer, primary_key=True),
    Column("bits", Text, ForeignKey("node.bits", ondelete="CASCADE"), nullable=False, index=True),
    Column("key", LargeBinary, nullable=False, index=True),  # SHA-256 of the public key
    Column("pem", Text, nullable=False),
    Column("issued", Integer, nullable=False),
    Column("expires", Integer, nullable=False),
    Column("revoked", Integer),  # time of revocation
    Index("certificate_revoked", "revoked", "expires"),
)
