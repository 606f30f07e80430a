"""What a tunnel costs in Babel's metric, by its measured RTT: babeld's rule for tunnels."""

from dataclasses import dataclass

from re6st_core.netparams import NetworkParameters


@dataclass(frozen=True, slots=True)
class Metric:
    """``base`` up to ``rtt_min_us``, then growing evenly to ``base + penalty`` at ``rtt_max_us``."""

    name: str
    base: int
    rtt_min_us: int
    rtt_max_us: int
    penalty: int

    def cost(self, rtt_us: int) -> int:
        """Cost of a tunnel, a whole number as in babeld."""
        over = min(max(rtt_us - self.rtt_min_us, 0), self.rtt_max_us - self.rtt_min_us)
        return self.base + self.penalty * over // (self.rtt_max_us - self.rtt_min_us)


RE6ST = Metric("re6st", base=96, rtt_min_us=10_000, rtt_max_us=500_000, penalty=5000)
"""babeld's own base and rtt-min, and re6st's ``babel_default``."""


def of_parameters(parameters: NetworkParameters) -> Metric:
    """The metric that our nodes are told to use."""
    return Metric(
        "ours",
        base=parameters.rxcost,
        rtt_min_us=parameters.rtt_min_ms * 1000,
        rtt_max_us=parameters.rtt_max_ms * 1000,
        penalty=parameters.max_rtt_penalty,
    )


OURS = of_parameters(NetworkParameters(version=1))
