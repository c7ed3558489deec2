"""The exposures of a run aligned to each other, and to the reference catalog if there is one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from tweakreg.alignment.solver import Order
from tweakreg.alignment.stages import align_on_plane
from tweakreg.errors import InputError, ServiceError
from tweakreg.observatory.exposure import ExposureImage, common_plane
from tweakreg.parameters import Config
from tweakreg.pipeline.reference import Reference
from tweakreg.plane import TangentPlane, separation
from tweakreg.progress import progress
from tweakreg.records import Alignment, PlaneCatalog, ReferenceCatalog
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

    Raises
    ------
    InputError
        An exposure is too far from the others.
    """
    usable = [exposure for exposure in exposures if not exposure.problem]
    plane = common_plane(usable or exposures)
    for exposure in usable:
        if separation(plane.ra, plane.dec, *exposure.footprint).max() > _WIDEST_FIELD:
            far = f"lies more than {_WIDEST_FIELD / 3600.0:.0f} degrees from the middle of all exposures"
            raise InputError(exposure.name, f"{far}: align distant fields in runs of their own")
    catalog, on_plane = None, None
    if reference is not None:
        log.info("expand_refcat is switched on, because there is a reference catalog")
    # No service is asked for stars that nothing could be aligned to.
    if reference is not None and (usable or reference.request.is_local):
        catalog, on_plane = _where_seen(reference, usable or exposures, plane, config)
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
