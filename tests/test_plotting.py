import pytest

from cryoexp import plotting


@pytest.mark.parametrize(
    ("length", "rounded"), [(1, 1), (1.99, 1), (2, 2), (4.9, 2), (5, 5), (99, 50), (100, 100), (0.03, 0.02)]
)
def test_lengths_of_bars_are_round(length, rounded):
    assert plotting.round_length(length) == pytest.approx(rounded)
