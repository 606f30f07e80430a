"""When to probe each tunnel, and when to call it silent.  Pure; times are integers, microseconds.

    quiet --answer--> answering --no answer in time--> in doubt: a burst --none answered--> silent
      ^ probed ever more rarely    ^------------any answer------------+                       |
      +---------------------------------------------------------------------------------------+

The time-out follows the tunnel's own round trips (RFC 6298 section 2), the length of a burst its own loss.
A silence counts as the tunnel's only if another tunnel was answered meanwhile ("witnessed"): a probe that was
sent when the first missing answer should have been here.  One sent earlier may have been back before our own
link died, while the answer from farther away was still on it.  Else the fault may be ours, and it is verified
again as soon as another one is heard.  If this code itself runs late, nothing that should have been answered
meanwhile is held against anybody.

The daemon runs ``re6stnet/_native/probing.c``, which does the same in a thread without the GIL; tests hold it
to this.
"""

from dataclasses import dataclass, field

IN_USE_US, IDLE_US = 250_000, 1_000_000
"""Interval of probes of a tunnel that carries packets, and of one that carries nothing."""
BUDGET_MHZ = 60_000
"""Probes per 1000 s of all tunnels: with their answers 15 kB/s of WireGuard's packets of 124 bytes."""
FIRST_US, LAST_US = 100_000, 1_000_000
"""Intervals of probes of a tunnel that does not answer: doubled each time."""
BURST_US = 25_000
FIRST_TIMEOUT_US, MARGIN_US, LAST_TIMEOUT_US = 1_000_000, 100_000, 2_000_000
NEED, NEED_MAX = 4, 16
"""Probes that must stay without answer; more where the loss is high."""
LEAST_LOSS, ONE = 1024, 1 << 16
"""Loss is counted in 65536ths; less than 1024 of them (1.6 %) cannot be told from none."""
LATE_US = 150_000
SLOW_US, SLOW_FACTOR, SLOW_MOST_US, CALM_US = 20_000, 2, 500_000, 10_000_000
"""A step that is later than the first shows a busy machine, whose tunnels are late, too: the margin of all
time-outs grows by so many times that, to the third at most, for so long."""
WITNESSES, WITNESS_AGAIN_US = 3, 50_000
RING = 32
MAX_TARGETS = 64


@dataclass(slots=True)
class Target:
    """One tunnel; ``silent`` also before its first answer."""

    tag: int
    next_at: int
    traffic: bool = False
    interval: int = IDLE_US
    silent: bool = True
    declared: bool = False
    """The silence was reported."""
    witnessed: bool = False
    doubt: bool = False
    again: int = FIRST_US
    seq: int = 0
    """Of the next probe."""
    ring: list[int] = field(default_factory=lambda: [0] * RING)
    """When each of the last probes was sent; 0: answered, or never sent."""
    sent_at: int = 0
    heard_seq: int = 0
    """One more than the sequence number of the newest answered probe; 0: none."""
    heard_sent: int = 0
    """When that one was sent."""
    since: int = 0
    """When the oldest probe after that one was sent; 0: none."""
    forgiven: int = 0
    """Probes before this sequence number are not held against the tunnel."""
    asked: int = 0
    """A tunnel answered a probe sent since then: a witness."""
    waiting: int = 0
    """How many probes were sent since ``since``."""
    burst: int = 0
    burst_at: int = 0
    srtt: int = -1
    rttvar: int = 0
    loss: int = 0
    sent: int = 0
    answered: int = 0
    news: bool = False

    def timeout(self, margin: int) -> int:
        """RFC 6298 section 2, with a margin for what a busy machine takes."""
        if self.srtt < 0:
            return FIRST_TIMEOUT_US
        return min(self.srtt + max(4 * self.rttvar, margin), LAST_TIMEOUT_US)

    @property
    def need(self) -> int:
        """How many probes in a row are lost by chance less than once in 16 million times."""
        n, chance, loss = 0, 1 << 24, max(self.loss, LEAST_LOSS)
        while chance > 1 and n < NEED_MAX:
            chance = chance * loss >> 16
            n += 1
        return max(n, NEED)

    def due(self, margin: int) -> int:
        """When this tunnel needs attention."""
        if self.doubt:
            return self.burst_at if self.burst else self.sent_at + self.timeout(margin)
        if self.silent or not self.since:
            return self.next_at
        return min(self.next_at, self.since + self.timeout(margin))

    def measure(self, rtt: int) -> None:
        """Take in a round trip."""
        if self.srtt < 0:
            self.srtt, self.rttvar = rtt, rtt // 2
        else:
            self.rttvar = (3 * self.rttvar + abs(self.srtt - rtt)) // 4
            self.srtt = (7 * self.srtt + rtt) // 8


class Probing:
    """All tunnels of a node; ``step`` says what to send now, ``due`` when to call it again."""

    def __init__(self) -> None:
        self.targets: list[Target] = []
        self.late = 0
        """The most that ``step`` came too late since the last ``take``."""
        self.margin = MARGIN_US
        self._calm_at = 0

    def add(self, tag: int, now: int) -> bool:
        """Probe one more tunnel; False if there are too many."""
        if len(self.targets) >= MAX_TARGETS:
            return False
        self.targets.append(Target(tag, now))
        self._share(now)
        return True

    def remove(self, tag: int, now: int) -> None:
        """Probe it no more."""
        self.targets = [t for t in self.targets if t.tag != tag]
        self._share(now)

    def use(self, tag: int, now: int, *, traffic: bool) -> None:
        """Whether packets of others go through the tunnel."""
        for t in self.targets:
            if t.tag == tag:
                t.traffic = traffic
                self._share(now)

    def _share(self, now: int) -> None:
        """Divide the budget: one probe per second each, the rest to those with traffic."""
        left = max(BUDGET_MHZ - 1000 * len(self.targets), 0)
        with_traffic = sum(t.traffic for t in self.targets)
        first = min(3000, left // with_traffic) if with_traffic else 0
        for t in self.targets:
            t.interval = 1_000_000_000 // (1000 + (first if t.traffic else 0))
            if not t.silent:
                t.next_at = min(t.next_at, now + t.interval)

    @property
    def due(self) -> int | None:
        """When the next step is due; None: never."""
        return min((t.due(self.margin) for t in self.targets), default=None)

    def step(self, now: int) -> list[tuple[int, int]]:
        """Do what is due; return the probes to send now, as (tag, sequence number)."""
        due = self.due
        if due is None:
            return []
        if now - due > SLOW_US:
            slow = min(MARGIN_US + SLOW_FACTOR * (now - due), SLOW_MOST_US)
            self.margin, self._calm_at = max(self.margin, slow), now + CALM_US
        elif now >= self._calm_at:
            self.margin = MARGIN_US
        if now - due > LATE_US:
            self.late = max(self.late, now - due)
            self._forgive(now)
        sends: list[tuple[int, int]] = []
        for t in self.targets:
            if t.doubt:
                self._burst(t, now, sends)
            elif not t.silent and t.since and t.since + t.timeout(self.margin) <= now:
                t.doubt, t.asked = True, t.since + t.srtt
                t.burst, t.burst_at = max(t.need - t.waiting, 1), now
                self._burst(t, now, sends)
                self._ask_witnesses(t, now, sends)
            elif t.next_at <= now:
                self._send(t, now, sends)
                if t.silent:
                    t.next_at, t.again = now + t.again, min(2 * t.again, LAST_US)
                else:
                    t.next_at = max(t.next_at + t.interval, now + t.interval // 2)
        return sends

    def _forgive(self, now: int) -> None:
        for t in self.targets:
            t.doubt, t.since, t.waiting, t.forgiven = False, 0, 0, t.seq
            if not t.silent:
                t.next_at = now

    def _send(self, t: Target, now: int, sends: list[tuple[int, int]]) -> None:
        t.ring[t.seq % RING] = now
        if not t.since:
            t.since = now
        t.waiting += 1
        t.sent_at = now
        t.sent += 1
        sends.append((t.tag, t.seq))
        t.seq += 1

    def _burst(self, t: Target, now: int, sends: list[tuple[int, int]]) -> None:
        if t.burst and t.burst_at <= now:
            self._send(t, now, sends)
            t.burst -= 1
            t.burst_at = now + BURST_US
        elif not t.burst and t.sent_at + t.timeout(self.margin) <= now:
            t.doubt = False
            t.witnessed = any(o is not t and o.heard_sent >= t.asked for o in self.targets)
            t.silent = t.declared = t.news = True
            t.again = FIRST_US
            t.next_at = now

    def _ask_witnesses(self, t: Target, now: int, sends: list[tuple[int, int]]) -> None:
        left = WITNESSES
        for other in self.targets:
            fit = other is not t and not other.silent and not other.doubt
            if fit and left and other.sent_at + WITNESS_AGAIN_US <= now < other.next_at:
                self._send(other, now, sends)
                other.next_at = now + other.interval
                left -= 1

    def answer(self, tag: int, seq: int, now: int) -> bool:
        """An answer has arrived; False if no such probe is waited for."""
        t = next((t for t in self.targets if t.tag == tag), None)
        if t is None or not t.seq - RING <= seq < t.seq or not t.ring[seq % RING]:
            return False
        sent = t.ring[seq % RING]
        t.ring[seq % RING] = 0
        t.answered += 1
        t.measure(max(now - sent, 0))
        if seq < t.heard_seq:
            return True  # overtaken on its way: nothing new
        self._count(t, 0 if t.silent else min(seq - t.heard_seq, 8))
        t.heard_seq, t.heard_sent = seq + 1, sent
        first = max(seq + 1, t.forgiven)
        t.waiting = t.seq - first
        t.since = t.ring[first % RING] if t.waiting else 0
        t.doubt = False
        if t.silent:
            t.silent = t.declared = t.witnessed = False
            t.news = True
            t.next_at = now + t.interval
        self._verify(t, now)
        return True

    def _count(self, t: Target, misses: int) -> None:
        for _ in range(misses):
            t.loss += (ONE - t.loss) >> 5
        t.loss -= t.loss >> 5

    def _verify(self, heard: Target, now: int) -> None:
        """A tunnel is heard: those whose silence may have been our fault get another chance."""
        for t in self.targets:
            if t.declared and not t.witnessed and not t.doubt:
                t.doubt, t.asked = True, heard.heard_sent
                t.since, t.waiting, t.forgiven = 0, 0, t.seq
                t.burst, t.burst_at = t.need, now

    def take(self) -> list[tuple[int, bool, bool]]:
        """What is new of each tunnel since the last call: tag, whether it is silent, and witnessed."""
        news = [(t.tag, t.silent, t.witnessed) for t in self.targets if t.news]
        for t in self.targets:
            t.news = False
        self.late = 0
        return news
