"""Price alarms ring as if every range were looked at."""

from hypothesis import given
from hypothesis import strategies as st

from consumers.generate.alarms import Alarms

steps = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 8), st.integers(1, 60), st.integers(40, 100)),
        st.integers(1, 100),
    ),
    max_size=200,
)


@given(steps)
def test_ring_finds_exactly_those_whose_range_the_mark_has_left(steps: list[tuple[int, int, int] | int]) -> None:
    """Each once, also after ranges were set anew many times."""
    alarms = Alarms()
    ranges: dict[int, tuple[int, int]] = {}
    for step in steps:
        if isinstance(step, tuple):
            key, below, above = step
            alarms.set(key, below, above)
            ranges[key] = (below, above)
            continue
        expected = sorted(key for key, (below, above) in ranges.items() if step <= below or step >= above)
        assert sorted(alarms.ring(step)) == expected
        for key in expected:
            del ranges[key]
