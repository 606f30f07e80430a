"""The version grows exactly when the content changes."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from re6st_core.netparams import NetworkParameters
from registry.domain.publishing import next_parameters

WANTED = st.builds(NetworkParameters, version=st.just(1), client_count=st.integers(1, 3))
REVOKED = st.lists(st.integers(1, 4), unique=True)


def test_the_first_version_is_one() -> None:
    assert next_parameters(None, NetworkParameters(version=9), [3, 1]) == NetworkParameters(
        version=1, revoked=(1, 3)
    )


@given(st.lists(st.tuples(WANTED, REVOKED), min_size=1, max_size=20))
def test_any_history(history: list[tuple[NetworkParameters, list[int]]]) -> None:
    current: NetworkParameters | None = None
    for wanted, revoked in history:
        new = next_parameters(current, wanted, revoked)
        assert replace(new, version=1) == replace(wanted, version=1, revoked=tuple(sorted(revoked)))
        if current:
            changed = replace(new, version=1) != replace(current, version=1)
            assert new.version == current.version + changed
        current = new
