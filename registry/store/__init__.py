"""What the registry keeps: SQLite through SQLAlchemy Core, durable before any answer leaves."""
