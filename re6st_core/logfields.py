"""Names of the fields that log records carry; a closed list, so that queries keep working."""

PEER = "peer"
PREFIX = "prefix"
TUNNEL = "tunnel"
TRANSPORT = "transport"
DEVICE = "device"
ENDPOINT = "endpoint"
REASON = "reason"
PROCESS = "process"
PID = "pid"
VERSION = "version"
SERIAL = "serial"
SOURCE = "source"
MTU = "mtu"

FIELDS = (
    PEER, PREFIX, TUNNEL, TRANSPORT, DEVICE, ENDPOINT, REASON, PROCESS, PID, VERSION, SERIAL, SOURCE, MTU,
)  # fmt: skip


def describe(message: str, fields: dict[str, object]) -> str:
    """One log line: the message, then ``name=value`` for each field; ValueError for an unknown name."""
    if unknown := fields.keys() - set(FIELDS):
        raise ValueError(f"unknown log field {sorted(unknown)}")
    return " ".join([message, *(f"{name}={_plain(value)}" for name, value in fields.items())])


def _plain(value: object) -> str:
    """Text that cannot forge another field or line."""
    text = str(value)
    return text if text.isprintable() and " " not in text else ascii(text)
