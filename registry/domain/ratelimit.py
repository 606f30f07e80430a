"""Token buckets per key, bounded in number; pure: the clock is an argument."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field


@dataclass(slots=True)
class RateLimit:
    """At most ``burst`` events at once per key, then one every ``interval_s``."""

    burst: float
    interval_s: float
    max_keys: int = 10000
    """Above this the key that was used longest ago is forgotten: memory stays bounded."""
    _buckets: OrderedDict[Hashable, tuple[float, float]] = field(default_factory=OrderedDict)

    def wait_s(self, key: Hashable, now: float) -> float:
        """Seconds until the next event is allowed; 0 if it is now.  Takes nothing."""
        level = self._level(key, now)
        return 0.0 if level >= 1 else (1 - level) * self.interval_s

    def take(self, key: Hashable, now: float) -> None:
        """Count one event, allowed or not."""
        self._buckets[key] = max(self._level(key, now) - 1, 0.0), now
        self._buckets.move_to_end(key)
        if len(self._buckets) > self.max_keys:
            self._buckets.popitem(last=False)

    def _level(self, key: Hashable, now: float) -> float:
        level, since = self._buckets.get(key, (self.burst, now))
        return min(self.burst, level + max(now - since, 0) / self.interval_s)  # clocks may be set back
