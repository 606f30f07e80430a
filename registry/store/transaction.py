"""One transaction's view of the tables, in the domain's words; every query uses an index."""

from datetime import UTC, datetime

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update

from re6st_core.prefix import Network, Prefix
from registry.domain.allocation import State
from registry.domain.records import Held, Node, Token
from registry.store.schema import VERSION, certificate, free_number, node, publication, registry, space, token


class Transaction:
    """Reads and writes; what is written is there for others when the transaction ends."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # The whole network

    def initialise(self, network: Network) -> None:
        """Fill new tables: one free block, no node."""
        values = {"schema_version": VERSION, "network": str(network)}
        counters = {"last_serial": 0, "next_number": 0, "crl_number": 0}
        self._connection.execute(insert(registry).values(id=1, **values, **counters))
        self._connection.execute(insert(space).values(bits="", length=0, state=State.FREE.value))

    def identity(self) -> tuple[int, str]:
        """Version of the schema, and the network."""
        row = self._connection.execute(select(registry.c.schema_version, registry.c.network)).one()
        return row.schema_version, row.network

    def registry_prefix(self) -> Prefix | None:
        """Prefix of the first node."""
        bits = self._connection.execute(select(registry.c.registry_prefix)).scalar_one()
        return None if bits is None else Prefix.from_bits(bits)

    def next_serial(self, reserved: int) -> int:
        """A serial number that no certificate has had; never ``reserved`` (the CA's own)."""
        last: int = self._connection.execute(select(registry.c.last_serial)).scalar_one()
        serial = last + 1 + (last + 1 == reserved)
        self._connection.execute(update(registry).values(last_serial=serial))
        return serial

    def next_crl_number(self) -> int:
        """One more than that of the last revocation list."""
        number: int = self._connection.execute(select(registry.c.crl_number)).scalar_one() + 1
        self._connection.execute(update(registry).values(crl_number=number))
        return number

    # Space: what registry.domain.allocation works on

    def lowest_free(self, length: int, within: Prefix) -> Prefix | None:
        """First free block of exactly this length inside ``within``."""
        query = (
            select(space.c.bits)
            .where(space.c.state == State.FREE.value, space.c.length == length)
            .where(space.c.bits >= within.bits, space.c.bits < within.bits + "2")
            .order_by(space.c.bits)
            .limit(1)
        )
        bits = self._connection.execute(query).scalar()
        return None if bits is None else Prefix.from_bits(bits)

    def block_over(self, prefix: Prefix) -> tuple[Prefix, State] | None:
        """The block that contains ``prefix``; None if smaller blocks share it."""
        query = select(space.c.bits, space.c.state).where(space.c.bits <= prefix.bits)
        row = self._connection.execute(query.order_by(space.c.bits.desc()).limit(1)).first()
        if row is None or not prefix.bits.startswith(row.bits):
            return None
        return Prefix.from_bits(row.bits), State(row.state)

    def replace(self, old: tuple[Prefix, ...], new: dict[Prefix, State]) -> None:
        """Put ``new`` blocks in the place of ``old`` ones."""
        for block in old:
            self._connection.execute(delete(space).where(space.c.bits == block.bits))
        rows = [{"bits": b.bits, "length": b.length, "state": state.value} for b, state in new.items()]
        self._connection.execute(insert(space), rows)

    def blocks(self) -> list[tuple[Prefix, State]]:
        """The whole partition, in the order of addresses; for inspection only."""
        rows = self._connection.execute(select(space.c.bits, space.c.state).order_by(space.c.bits))
        return [(Prefix.from_bits(row.bits), State(row.state)) for row in rows]

    # Tokens

    def add_token(self, new: Token) -> None:
        """Store a token that nobody has used."""
        values = {"token": new.text, "email": new.email, "prefix_length": new.prefix_length}
        self._connection.execute(insert(token).values(**values, created=_unix(new.created)))

    def token(self, text: str) -> Token | None:
        """The token, used or not."""
        row = self._connection.execute(select(token).where(token.c.token == text)).mappings().first()
        return None if row is None else _token(row)

    def tokens(self) -> list[Token]:
        """All, oldest first; for the operator."""
        return [
            _token(row)
            for row in self._connection.execute(select(token).order_by(token.c.created)).mappings()
        ]

    def delete_token(self, text: str) -> bool:
        """Whether there was such a token."""
        return bool(self._connection.execute(delete(token).where(token.c.token == text)).rowcount)

    def use_token(self, text: str, prefix: Prefix, key: bytes, now: datetime) -> None:
        """Note who used a token."""
        values = {"used_at": _unix(now), "used_by": prefix.bits, "used_key": key}
        self._connection.execute(update(token).where(token.c.token == text).values(**values))

    def delete_tokens_before(self, when: datetime) -> None:
        """Forget old tokens, used or not."""
        self._connection.execute(delete(token).where(token.c.created < _unix(when)))

    # Nodes and certificates

    def add_node(
        self, prefix: Prefix, *, email: str | None, location: str | None, subject: str, now: datetime
    ) -> int:
        """Store a node that has no certificate yet; return its number (``re6st-protocol.md`` §1.4)."""
        number: int | None = self._connection.execute(select(func.min(free_number.c.number))).scalar()
        if number is None:
            number = self._connection.execute(select(registry.c.next_number)).scalar_one()
            self._connection.execute(update(registry).values(next_number=number + 1))
        else:
            self._connection.execute(delete(free_number).where(free_number.c.number == number))
        values = {"email": email, "location": location, "subject": subject}
        times = {"created": _unix(now), "expires": _unix(now)}
        self._connection.execute(insert(node).values(bits=prefix.bits, number=number, **values, **times))
        first = update(registry).where(registry.c.registry_prefix.is_(None))
        self._connection.execute(first.values(registry_prefix=prefix.bits))
        return number

    def node(self, prefix: Prefix) -> Node | None:
        """The member with this prefix."""
        row = self._connection.execute(_NODES.where(node.c.bits == prefix.bits)).mappings().first()
        return None if row is None else _node(row)

    def nodes(self) -> list[Node]:
        """All, in the order of addresses; for the operator."""
        return [_node(row) for row in self._connection.execute(_NODES.order_by(node.c.bits)).mappings()]

    def nodes_seen_since(self, when: datetime) -> list[tuple[Node, int]]:
        """Nodes that called since, with the serial number of their newest certificate."""
        newest = select(func.max(certificate.c.serial)).where(certificate.c.bits == node.c.bits)
        query = _NODES.add_columns(newest.scalar_subquery().label("serial")).where(node.c.seen >= _unix(when))
        return [(_node(row), row["serial"]) for row in self._connection.execute(query).mappings()]

    def last_seen(self, count: int, now: datetime) -> list[Node]:
        """The nodes that called last, neither revoked nor expired; however long ago that was."""
        of_node = select(certificate.c.serial).where(
            certificate.c.bits == node.c.bits, certificate.c.revoked.is_not(None)
        )
        query = _NODES.where(node.c.seen.is_not(None), node.c.expires > _unix(now), ~of_node.exists())
        rows = self._connection.execute(query.order_by(node.c.seen.desc()).limit(count))
        return [_node(row) for row in rows.mappings()]

    def see_node(self, prefix: Prefix, endpoints: str | None, now: datetime) -> str:
        """Store that a node called, and where it can be reached if it said so; return where that is."""
        values = {"seen": _unix(now)} | ({} if endpoints is None else {"endpoints": endpoints})
        of_node = node.c.bits == prefix.bits
        self._connection.execute(update(node).where(of_node).values(**values))
        return self._connection.execute(select(node.c.endpoints).where(of_node)).scalar() or ""

    def expired_nodes(self, before: datetime) -> list[Prefix]:
        """Nodes whose last certificate ended before this time."""
        rows = self._connection.execute(select(node.c.bits).where(node.c.expires < _unix(before)))
        return [Prefix.from_bits(row.bits) for row in rows]

    def delete_node(self, prefix: Prefix) -> None:
        """Forget a node and its certificates; its number may be used again."""
        number = select(node.c.number).where(node.c.bits == prefix.bits)
        self._connection.execute(insert(free_number).from_select(["number"], number))
        self._connection.execute(delete(node).where(node.c.bits == prefix.bits))

    def add_certificate(self, held: Held) -> None:
        """Store a certificate; its node lives at least as long."""
        values = {"serial": held.serial, "bits": held.prefix.bits, "key": held.key, "pem": held.pem}
        times = {"issued": _unix(held.issued), "expires": _unix(held.expires)}
        self._connection.execute(insert(certificate).values(**values, **times))
        of_node = update(node).where(node.c.bits == held.prefix.bits)
        self._connection.execute(of_node.values(expires=func.max(node.c.expires, _unix(held.expires))))

    def certificate_of_key(self, key: bytes) -> Held | None:
        """The newest certificate for a public key with this digest."""
        query = select(certificate).where(certificate.c.key == key).order_by(certificate.c.serial.desc())
        row = self._connection.execute(query.limit(1)).mappings().first()
        return None if row is None else _held(row)

    def certificates_of_node(self, prefix: Prefix) -> list[Held]:
        """All that have not been forgotten, newest first."""
        query = select(certificate).where(certificate.c.bits == prefix.bits)
        rows = self._connection.execute(query.order_by(certificate.c.serial.desc()))
        return [_held(row) for row in rows.mappings()]

    def revoke(self, prefix: Prefix, now: datetime) -> int:
        """Revoke all certificates of a node; return how many were not revoked yet."""
        of_node = update(certificate).where(
            certificate.c.bits == prefix.bits, certificate.c.revoked.is_(None)
        )
        return self._connection.execute(of_node.values(revoked=_unix(now))).rowcount

    def revoked(self, now: datetime) -> list[tuple[int, datetime, datetime]]:
        """Serial number, time of revocation and expiry of all revoked certificates that live on, in order."""
        query = select(certificate.c.serial, certificate.c.revoked, certificate.c.expires).where(
            certificate.c.revoked.is_not(None), certificate.c.expires > _unix(now)
        )
        rows = self._connection.execute(query)
        # Sorted here: for that order SQLite would walk all certificates.
        return sorted((row.serial, _time(row.revoked), _time(row.expires)) for row in rows)

    # What is published

    def publication_key(self) -> tuple[int, int] | None:
        """Version and CRL number: whether anything was published since."""
        row = self._connection.execute(select(publication.c.version, publication.c.crl_number)).first()
        return None if row is None else (row.version, row.crl_number)

    def publication(self) -> RowMapping | None:
        """The newest signed documents."""
        return self._connection.execute(select(publication)).mappings().first()

    def publish(self, values: dict[str, object]) -> None:
        """Replace the signed documents."""
        self._connection.execute(delete(publication))
        self._connection.execute(insert(publication).values(id=1, **values))


_NODES = select(
    node,
    select(func.count())
    .where(certificate.c.bits == node.c.bits, certificate.c.revoked.is_not(None))
    .scalar_subquery()
    .label("revoked"),
)


def _token(row: RowMapping) -> Token:
    return Token(
        text=row["token"],
        email=row["email"],
        prefix_length=row["prefix_length"],
        created=_time(row["created"]),
        used_at=None if row["used_at"] is None else _time(row["used_at"]),
        used_by=None if row["used_by"] is None else Prefix.from_bits(row["used_by"]),
        used_key=row["used_key"],
    )


def _held(row: RowMapping) -> Held:
    return Held(
        serial=row["serial"],
        prefix=Prefix.from_bits(row["bits"]),
        key=row["key"],
        pem=row["pem"],
        issued=_time(row["issued"]),
        expires=_time(row["expires"]),
        revoked=None if row["revoked"] is None else _time(row["revoked"]),
    )


def _node(row: RowMapping) -> Node:
    return Node(
        prefix=Prefix.from_bits(row["bits"]),
        number=row["number"],
        created=_time(row["created"]),
        expires=_time(row["expires"]),
        revoked=bool(row["revoked"]),
        email=row["email"],
        location=row["location"],
        subject=row["subject"],
        endpoints=row["endpoints"],
        seen=None if row["seen"] is None else _time(row["seen"]),
    )


def _unix(when: datetime) -> int:
    return int(when.timestamp())


def _time(unix: int) -> datetime:
    return datetime.fromtimestamp(unix, UTC)
