"""What the modules of the command line share."""

import argparse

import pytest

from netns_lab.cli.parsers import add_internet
from tests.helpers.lab_command import netns_lab


def test_the_kind_of_internet_is_chosen_or_left_to_the_lab() -> None:
    parser = argparse.ArgumentParser()
    add_internet(parser)
    assert parser.parse_args([]).internet is None
    assert parser.parse_args(["--internet", "switch"]).internet == "switch"
    with pytest.raises(SystemExit):
        parser.parse_args(["--internet", "carrier pigeon"])


@pytest.mark.root
def test_a_kind_that_the_kernel_lacks_is_refused_not_replaced() -> None:
    done = netns_lab("up", "demo", "--bare", "--name", "by-netem", "--internet", "netem")
    if done.returncode == 0:
        netns_lab("down", "by-netem")
    else:
        assert done.returncode == 2
        assert "this kernel has no netem" in done.stderr
