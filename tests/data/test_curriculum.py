import pytest

from cryoexp.data.curriculum import Curriculum
from cryoexp.errors import ConfigError


def test_snr_comes_down_evenly_on_a_log_scale():
    c = Curriculum(snr=0.01, start=1.0, share=0.5)
    snr = [0.01 / c.scale(epoch, 20) ** 2 for epoch in range(20)]
    assert snr[0] == pytest.approx(1.0)
    assert snr[5] == pytest.approx(0.1)
    assert snr[10:] == pytest.approx([0.01] * 10)
    assert snr == sorted(snr, reverse=True)


@pytest.mark.parametrize(("snr", "start"), [(0.01, None), (2.0, 1.0), (float("inf"), 1.0)])
def test_no_curriculum(snr, start):
    assert Curriculum(snr, start, 0.5).scale(0, 20) == 1


@pytest.mark.parametrize(("start", "share"), [(-1.0, 0.5), (1.0, 0.0), (1.0, 2.0)])
def test_bad_values(start, share):
    with pytest.raises(ConfigError, match="curriculum"):
        Curriculum(0.1, start, share)
