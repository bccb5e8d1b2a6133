"""Datasets on disk -> one Lightning datamodule."""

from cryoexp.data.datamodule import DataModule
from cryoexp.data.description import DataInfo
from cryoexp.data.projections import ProjectionData
from cryoexp.data.projections_mrc import ProjectionMrcData
from cryoexp.data.subtomograms import SubtomogramData
from cryoexp.data.subtomograms_mrc import SubtomogramMrcData
from cryoexp.data.sxt import SxtData
from cryoexp.data.sxt_mrc import SxtMrcData
from cryoexp.data.tomograms import TomogramData
from cryoexp.data.tomograms_mrc import TomogramMrcData

__all__ = [
    "DataInfo",
    "DataModule",
    "ProjectionData",
    "ProjectionMrcData",
    "SubtomogramData",
    "SubtomogramMrcData",
    "SxtData",
    "SxtMrcData",
    "TomogramData",
    "TomogramMrcData",
]
