"""Base of immutable values that travel as text (not dataclasses: their JSON would be an object)."""

from functools import total_ordering
from typing import Any, NoReturn


@total_ordering
class Value:
    """Compared, ordered and hashed by the fields named in ``__slots__``; ``str()`` is the wire form."""

    __slots__: tuple[str, ...] = ()

    def _set(self, **fields: Any) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def _key(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._key() == other._key()

    def __lt__(self, other: "Value") -> bool:
        return self._key() < other._key() if type(self) is type(other) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._key()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"
