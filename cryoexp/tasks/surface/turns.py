"""Quarter turns of slices, whose answers are averaged."""

from torch import Tensor

from cryoexp.inference.sliding import Predict

QUARTERS = "rot4"
PLANE = (-2, -1)


def quarter_turned(predict: Predict) -> Predict:
    """Average a predictor of windows over the four quarter turns of their slices, as deep_sxt can.

    For networks that see slices of one axis: what these say must not depend on where the missing wedge is, or have been
    learned for all turns.

    Args:
        predict: maps `(b, c, z, y, x)` to `(b, k, z, y, x)`, each voxel's own answer.
    """

    def averaged(given: Tensor) -> Tensor:
        mean = predict(given).float().clone()
        for quarters in (1, 2, 3):
            mean += predict(given.rot90(quarters, PLANE)).float().rot90(-quarters, PLANE)
        return mean / 4

    return averaged
