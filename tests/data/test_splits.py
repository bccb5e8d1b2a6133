import numpy as np

from cryoexp.data.splits import first_of


def test_equal_shares_of_every_class_and_nested():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 7], [40, 40, 40, 20]))
    before = set()
    for count in (4, 14, 70, 140):
        some = first_of(labels, count)
        assert len(set(some)) == count
        assert before <= set(some)
        assert (np.diff(some) > 0).all()
        before = set(some)
        shares = np.bincount(labels[some], minlength=8)[[0, 1, 2, 7]] / count
        np.testing.assert_allclose(shares, [2 / 7, 2 / 7, 2 / 7, 1 / 7], atol=1 / count)
