"""The records that pass between the rooms of the package."""

from tweakreg.plane import TangentPlane
from tweakreg.records.alignment import GROUP, Alignment, Fit, FitQuality, Match, OffsetPeak, Pattern, StageResult
from tweakreg.records.catalogs import (
    EpochCatalog,
    PlacedCatalog,
    PlaneCatalog,
    PlaneImage,
    ReferenceCatalog,
    SourceCatalog,
    Sources,
    magnitudes,
)
from tweakreg.records.geometry import Affine, affine_design
from tweakreg.records.outcomes import Detail, Outcome, Stage, Status, for_stage, status
from tweakreg.records.pixels import Picture, Pixels
from tweakreg.records.settings import FindConfig, Selection, SipConfig, StageConfig

__all__ = [
    "GROUP",
    "Affine",
    "Alignment",
    "Detail",
    "EpochCatalog",
    "FindConfig",
    "Fit",
    "FitQuality",
    "Match",
    "OffsetPeak",
    "Outcome",
    "Pattern",
    "Picture",
    "Pixels",
    "PlacedCatalog",
    "PlaneCatalog",
    "PlaneImage",
    "ReferenceCatalog",
    "Selection",
    "SipConfig",
    "SourceCatalog",
    "Sources",
    "Stage",
    "StageConfig",
    "StageResult",
    "Status",
    "TangentPlane",
    "affine_design",
    "for_stage",
    "magnitudes",
    "status",
]
