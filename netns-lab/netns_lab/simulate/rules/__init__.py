"""The ways of choosing tunnels that the simulator compares."""

from netns_lab.simulate.rules.ours import OurRule
from netns_lab.simulate.rules.re6st import Re6stRule
from netns_lab.simulate.rules.rule import Limits, Rule

RULES: dict[str, type[Rule]] = {"ours": OurRule, "re6st": Re6stRule}

__all__ = ["RULES", "Limits", "OurRule", "Re6stRule", "Rule"]
