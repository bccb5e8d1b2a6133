"""Real soft X-ray tomograms with labels, whole or on a few slices: TIFF, MRC, HDF5, and images of single slices."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from cryoexp.data.label_grey import LabelValues
from cryoexp.data.tomograms_mrc import RealTomogramData
from cryoexp.data.tomograms_mrc_find import Asked
from cryoexp.data.tomograms_mrc_open import Annotated, RealTomograms
from cryoexp.data.tomograms_mrc_splits import Split
from cryoexp.errors import ConfigError
from cryoexp.io.guard import SIZES

ANGSTROM = 10.0  # a nanometre
UNLABELLED = ("images", "skip", "refuse")


class SxtMrcData(RealTomogramData):
    """Soft X-ray tomograms and labels of others, in the batches of `SxtData`. No noise is added; snr does not apply.

    Args:
        path: folder, table (tomograms.star, .csv) or glob of tomograms or of images of single slices.
        labels: folder, glob or pattern with {name}, for masks also {class}; None: the table's, or beside the tomograms.
        label_values: see `cryoexp.data.label_grey.label_file`.
        roi: where voxels count (above 0), given in the same ways as labels.
        instances: object numbers, given in the same ways.
        classes: names in the order of their numbers from 1; a drawing in greys is the first of them.
        remap: class names by the numbers in the files; background and ignore are names too.
        priority: classes whose masks win, the strongest first; None: in the order of the classes.
        annotated: auto (slices without any label are not, where others have some), all, a list of slices, or such
            lists by tomogram.
        z_range: first slice to use and the one before which to end; None: all.
        min_variance: share of the median slice variance below which slices at top and bottom are empty; 0: none are.
        group: regular expression whose first group names the tomogram that a file shows a part of; None: for images of
            single slices what stands before the number of the slice.
        unlabelled: what becomes of tomograms without labels: images (training may learn from these alone), skip, or
            refuse.
        voxel_size: nm; None: the files'.
        hdf5_key: of the volume in HDF5 files; None: t0/channel0, or the only one.
        split: shares of train, val and test, numbers of tomograms, or three lists of names.
        allow_slabs: with fewer than three tomograms, cut one along z.
        seed: of the split and of the slices that keep labels.
        shared: see `RealTomogramData`.

    Raises:
        ConfigError: with the key.
    """

    kind = "sxt"
    shows = "membranes"

    def __init__(
        self,
        *,
        path: str,
        labels: str | None,
        label_values: LabelValues,
        roi: str | None,
        instances: str | None,
        classes: list[str] | None,
        remap: Mapping[int, str | int] | None,
        priority: list[str] | None,
        annotated: Annotated,
        z_range: list[int] | None,
        min_variance: float,
        group: str | None,
        unlabelled: Literal["images", "skip", "refuse"],
        voxel_size: float | None,
        hdf5_key: str | None,
        split: Split,
        allow_slabs: bool,
        seed: int,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        if label_values not in ("auto", "grey", "numbers"):
            raise ConfigError(f"dataset.label_values={label_values}: choose one of auto, grey, numbers")
        if unlabelled not in UNLABELLED:
            raise ConfigError(f"dataset.unlabelled={unlabelled}: choose one of {', '.join(UNLABELLED)}")
        low, high = (size / ANGSTROM for size in SIZES)
        if voxel_size is not None and not low <= voxel_size <= high:
            raise ConfigError(f"dataset.voxel_size={voxel_size}: give nm, from {low:g} to {high:g}, or null")
        files = Asked(
            Path(path).expanduser(),
            labels,
            roi,
            instances,
            classes,
            group,
            skip_unlabelled=unlabelled == "skip",
            by_slices=True,
            use_unlabelled=unlabelled == "images",
            how_to_skip="dataset.unlabelled=skip",
        )
        self.asked = RealTomograms(
            files=files,
            remap=remap,
            priority=priority,
            annotated=annotated,
            z_range=None if z_range is None else tuple(z_range),
            min_variance=min_variance,
            voxel_size=None if voxel_size is None else voxel_size * ANGSTROM,
            split=split,
            allow_slabs=allow_slabs,
            seed=seed,
            unit="nm",
            label_values=label_values,
            hdf5_key=hdf5_key,
        )
