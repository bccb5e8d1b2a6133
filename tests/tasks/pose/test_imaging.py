"""CTFs read from RELION's tables are those that the simulator applied."""

import pandas as pd
import pytest
import torch

from cryoexp.errors import DataError
from cryoexp.simulate.projections import ImageOptics
from cryoexp.tasks.pose.imaging import transfer_of_table

OPTICS = pd.DataFrame(
    {"rlnOpticsGroup": [1], "rlnVoltage": [300.0], "rlnSphericalAberration": [2.7], "rlnAmplitudeContrast": [0.1]}
)
ROWS = pd.DataFrame({"rlnOpticsGroup": [1, 1], "rlnDefocusU": [1e4, 2e4], "rlnDefocusV": [1e4, 2e4]})
ROWS = ROWS.assign(rlnDefocusAngle=0.0)


def of(rows, contrast="bright", flipped=False):
    return transfer_of_table(rows, OPTICS, 32, 4.0, contrast=contrast, flipped=flipped)(torch.arange(len(rows)))


def test_they_are_those_of_the_simulator():
    optics = ImageOptics(ctf=True, defocus=[1.0, 2.0], voltage=300.0, cs=2.7, amplitude_contrast=0.1)
    wanted = optics.transfer(64, 4.0, torch.tensor([1e4, 2e4]))
    torch.testing.assert_close(of(ROWS), wanted, atol=2e-5, rtol=0)
    torch.testing.assert_close(of(ROWS, "dark"), -of(ROWS))
    torch.testing.assert_close(of(ROWS, flipped=True), wanted.abs(), atol=2e-5, rtol=0)


def test_one_defocus_is_enough_and_none_leaves_the_sign():
    torch.testing.assert_close(of(ROWS.drop(columns=["rlnDefocusV", "rlnDefocusAngle"])), of(ROWS))
    groups = transfer_of_table(
        ROWS[["rlnOpticsGroup"]], OPTICS.assign(rlnDefocusU=1e4), 32, 4.0, contrast="bright", flipped=False
    )
    torch.testing.assert_close(groups(torch.arange(1)), of(ROWS)[:1])
    bare = ROWS[["rlnOpticsGroup"]]
    assert float(of(bare, "dark").unique()) == -1
    assert of(bare).shape == (2, 64, 33)


def test_astigmatism_follows_its_angle():
    """Across the axis of U the defocus is V."""
    rows = ROWS.assign(rlnDefocusU=2e4, rlnDefocusV=1e4)
    along_x, along_y = of(rows)[0, 0], of(rows)[0, :33, 0]
    round_u, round_v = of(ROWS)[1, 0], of(ROWS)[0, 0]
    torch.testing.assert_close(along_x, round_u, atol=2e-4, rtol=0)
    torch.testing.assert_close(along_y[:32], round_v[:32], atol=2e-4, rtol=0)


def test_half_a_ctf_is_an_error():
    with pytest.raises(DataError, match="rlnVoltage"):
        transfer_of_table(ROWS, OPTICS.drop(columns="rlnVoltage"), 32, 4.0, contrast="bright", flipped=False)
