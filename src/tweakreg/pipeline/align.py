"""The exposures of a run aligned to each other, and to the reference catalog if there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tweakreg.alignment.solver import Order
from tweakreg.alignment.stages import align_on_plane
from tweakreg.errors import ServiceError, logger
from tweakreg.observatory.exposure import ExposureImage, common_plane
from tweakreg.parameters import Config
from tweakreg.pipeline.reference import Reference
from tweakreg.plane import TangentPlane, separation
from tweakreg.progress import progress
from tweakreg.records import Alignment, Outcome, PlaneCatalog, ReferenceCatalog
from tweakreg.reference.epochs import at_epochs

log = logger(__name__)

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
    near, on_plane = at_epochs(catalog, exposures, margin, plane)
    if len(near) or not len(catalog):
        return near, on_plane
    return near, PlaneCatalog(sources=None, problem=_where_instead(catalog, plane), outcome=Outcome.ELSEWHERE)


def _where_instead(catalog: ReferenceCatalog, plane: TangentPlane) -> str:
    """How far away a catalog is none of whose stars lies on the exposures, and what would bring it there."""
    from astropy.coordinates import FK4, SkyCoord

    away = separation(plane.ra, plane.dec, catalog.ra, catalog.dec) / 3600.0
    nearest = int(np.argmin(away))
    place = f"RA {catalog.ra[nearest]:.4f}, Dec {catalog.dec[nearest]:+.4f}"
    text = f"the nearest of its {len(catalog)} stars is {away[nearest]:.3g} degrees away, at {place}"
    others = {}
    if np.abs(catalog.ra).max() <= 90.0:
        others["its first two columns were Dec and RA: set refxcol and refycol"] = catalog.dec, catalog.ra
    hours = catalog.ra / 15.0, 15.0 * catalog.ra
    others["RA were in hours: refxyunits=hours"] = hours[1] % 360.0, catalog.dec
    others["RA were in degrees, not in hours: refxyunits=degrees"] = hours[0], catalog.dec
    old = SkyCoord(catalog.ra, catalog.dec, unit="deg", frame=FK4(equinox="B1950")).icrs
    others["its positions were of B1950: convert them to ICRS"] = old.ra.deg, old.dec.deg
    for what, (ra, dec) in others.items():
        if separation(plane.ra, plane.dec, ra, dec).min() / 3600.0 < min(0.1, 0.3 * away[nearest]):
            return f"{text}; it would lie here if {what}"
    return text
