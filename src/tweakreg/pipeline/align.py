"""The exposures of a run aligned to each other, and to the reference catalog if there is one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tweakreg.alignment.solver import Order
from tweakreg.alignment.stages import align_on_plane
from tweakreg.errors import ServiceError
from tweakreg.observatory.exposure import ExposureImage, common_plane
from tweakreg.parameters import Config
from tweakreg.pipeline.reference import Reference
from tweakreg.plane import TangentPlane, separation
from tweakreg.progress import progress
from tweakreg.records import Alignment, Outcome, PlaneCatalog, ReferenceCatalog
from tweakreg.reference.epochs import at_epochs

log = logging.getLogger(__name__)

#: Beyond this distance from its origin, arcsec, the common plane is too distorted to match on.
_WIDEST_FIELD = 20.0 * 3600.0
#: Stars so far beyond the images are wanted for what moved meanwhile, arcsec.
_SURROUNDINGS = 30.0


def align_exposures(exposures: Sequence[ExposureImage], reference: Reference | None, config: Config) -> Alignment:
    """Align exposures to each other and, if asked for, to the reference catalog.

    Parameters
    ----------
    exposures : sequence of ExposureImage
        With their sources.
    reference : Reference or None
        The reference catalog; None for a relative alignment alone.
    config : Config
        Says how.

    """
    usable = [exposure for exposure in exposures if not exposure.problem]
    if not usable:
        return Alignment(plane=TangentPlane(ra=0.0, dec=0.0), relative={}, absolute={}, corrections={})
    plane = common_plane(usable)
    catalog, on_plane = None, None
    if reference is not None:
        log.info("expand_refcat is switched on, because there is a reference catalog")
        catalog, on_plane = _where_seen(reference, usable, plane, config)
    images = [exposure.on_plane(plane) for exposure in usable]
    with progress(len({image.group for image in images}), "alignment", "group") as count:
        alignment = align_on_plane(
            images,
            plane,
            config.relative,
            config.absolute,
            on_plane,
            order=Order(enforce_user_order=config.enforce_user_order, expand_refcat=config.expand_refcat),
            on_placed=count,
        )
    return replace(alignment, reference=catalog)


def without_distant(exposures: Sequence[ExposureImage]) -> list[ExposureImage]:
    """Refuse exposures that lie too far from most of the others to be on one plane with them.

    Parameters
    ----------
    exposures : sequence of ExposureImage
        Of these, the exposure with most others around it, and of equals the first, is where the others have to be.
    """
    usable = [each for each in exposures if not each.problem]
    if not usable:
        return list(exposures)
    middles = np.array([[each.footprint[0][0], each.footprint[1][0]] for each in usable]).T
    apart = np.array([separation(ra, dec, *middles) for ra, dec in middles.T])
    near = (apart <= _WIDEST_FIELD).sum(axis=1)
    distance = dict(zip(map(id, usable), apart[int(np.argmax(near))] / 3600.0, strict=True))
    nowhere = np.empty(0), np.empty(0)
    return [
        replace(each, problem=f"{away:.0f} degrees away", refused_as=Outcome.FAR_AWAY, footprint=nowhere)
        if (away := distance.get(id(each), 0.0)) > _WIDEST_FIELD / 3600.0
        else each
        for each in exposures
    ]


def _where_seen(
    reference: Reference, exposures: Sequence[ExposureImage], plane: TangentPlane, config: Config
) -> tuple[ReferenceCatalog | None, PlaneCatalog]:
    """The reference catalog where the exposures saw it; a service that does not answer is no reason to stop."""
    assert config.absolute is not None
    margin = (config.absolute.searchrad + config.absolute.tolerance + _SURROUNDINGS) / 3600.0
    try:
        catalog = reference.around([each.footprint for each in exposures], margin)
    except ServiceError as error:
        advice = "The relative solution is kept; `tweakreg refcat fetch` makes a catalog to take along"
        return None, PlaneCatalog(sources=None, problem=f"{error}. {advice}")
    return at_epochs(catalog, exposures, margin, plane)
