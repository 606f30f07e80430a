"""How often each peer may make us work: a token bucket for each, bounded in number.  Pure."""

from collections import OrderedDict

from re6st_core.prefix import Prefix


class Budgets:
    """``burst`` at once and one more every ``every_s``; at most ``most`` peers are remembered."""

    def __init__(self, burst: float, every_s: float, *, most: int) -> None:
        self._burst = burst
        self._every_s = every_s
        self._most = most
        self._tokens: OrderedDict[Prefix, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tokens)

    def spend(self, peer: Prefix, *, now: float) -> bool:
        """Whether this peer may do it now."""
        tokens, since = self._tokens.pop(peer, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) / self._every_s)
        allowed = tokens >= 1
        self._tokens[peer] = (tokens - allowed, now)
        if len(self._tokens) > self._most:
            self._tokens.popitem(last=False)
        return allowed
