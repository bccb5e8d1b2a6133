"""Datasets on disk -> one Lightning datamodule."""

from cryoexp.data.datamodule import DataModule
from cryoexp.data.description import DataInfo
from cryoexp.data.projections import ProjectionData
from cryoexp.data.subtomograms import SubtomogramData

__all__ = ["DataInfo", "DataModule", "ProjectionData", "SubtomogramData"]
