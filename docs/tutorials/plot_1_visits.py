"""
Three visits and a skew
=======================

Three visits to a star field, at different orientations, are to be added up. Users of HST know the story: a first
alignment looks good, its residuals do not, and a more general fit removes what they show. Here it is told with
simulated exposures, so that the truth is known as well.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from astropy.table import Table

from tweakreg import ModelLibrary, TweakRegStep, read_correction
from tweakreg.corrections.change import apply_to
from tweakreg.report import plots
from tweakreg.simulate import SceneConfig, make_scene, score
from tweakreg.simulate.models import make_models, write_scene

# %%
# The data
# --------
# The telescope was rolled by −125.24°, −88.60° and −31.45°. The axes of the real detector are 0.02° from being
# perpendicular, and the distortion in the files does not know this: in the corners stars are 0.09 pixels from where
# their WCS puts them.

config = SceneConfig(
    size=512, pixel_scale=0.05, n_exposures=3, n_visits=3, visit_rolls=(-125.24, -88.60, -31.45), skew=0.02,
    ra=5.6604, dec=-72.0678, n_stars=800, visit_error=0.05, seed=47,
)  # fmt: skip
scene = make_scene(config)
folder = Path(tempfile.mkdtemp())
association = write_scene(scene, folder / "data")


def align(name, **parameters):
    """Align without changing anything; the table of fits and the matches of the two visits that were fitted."""
    output = folder / name
    TweakRegStep.call(association, dry_run=True, save_results=True, save_matches=True, output_dir=str(output),
                      configure_log=False, **parameters)  # fmt: skip
    fits = Table.read(next(output.glob("*_fits.ecsv")))
    matches = [Table.read(path) for path in sorted(output.glob("*_matches.ecsv"))]
    return fits, [table for table in matches if len(table)]


def show(fits):
    """The columns that one looks at first."""
    fits = fits["image", "outcome", "n_matched", "n_used", "rms_ra", "rms_dec", "scale_x", "scale_y", "skew"]
    digits = {"n_matched": 0, "n_used": 0, "rms_ra": 2, "rms_dec": 2, "scale_x": 6, "scale_y": 6, "skew": 4}
    for name, number in digits.items():
        fits[name].format = f".{number}f"
    fits["image"] = [name[:13] for name in fits["image"]]
    fits.pprint(max_width=-1)


# %%
# First try: the defaults
# -----------------------
# ``dry_run`` does everything but change exposures: it is the way to try parameters. What nobody sets comes from a
# parameter reference file for the filter, which is packaged.

fits, _ = align("defaults")
show(fits)

# %%
# Second try: more stars
# ----------------------
# It works at once, with the 200 brightest sources of each exposure. The field has more, and shift, rotation and one
# scale can be fitted to all that stand well above the noise:

chosen = {"brightest": None, "snr_threshold": 20.0}
fits, matches = align("rscale", fitgeometry="rscale", **chosen)
show(fits)

# %%
# That looks excellent: six hundred stars and an rms below a tenth of a pixel. But are the residuals random? In the
# third visit:

rscale = matches[1]
_ = plots.plot_residuals(rscale, figure=plt.figure(figsize=(6, 6)))

# %%
# They are not: all four slopes are ten times their errors. The same as arrows on the sky, each the mean of the stars
# around it:


def mean_vectors(table, n=6):
    """The table with a row for each of n x n cells, with the mean residual of the stars in it."""
    columns = ("ref_plane_x", "ref_plane_y", "residual_ra", "residual_dec")
    used = np.column_stack([table[name] for name in columns])[~np.asarray(table["clipped"])]
    cells = [np.digitize(axis, np.linspace(axis.min(), axis.max(), n + 1)[1:-1]) for axis in used[:, :2].T]
    groups = [used[(cells[0] == i) & (cells[1] == j)] for i in range(n) for j in range(n)]
    means = np.array([group.mean(axis=0) for group in groups if len(group) > 3])
    return Table([*means.T, np.zeros(len(means), dtype=bool)], names=[*columns, "clipped"])


_, axes = plt.subplots(figsize=(5, 5))
_ = plots.plot_vectors(mean_vectors(rscale), axes=axes)

# %%
# A pattern: the field is sheared. A rotation and one scale cannot describe it.
#
# Third try: a general fit
# ------------------------

fits, matches = align("general", fitgeometry="general", **chosen)
show(fits)
general = matches[1]
_ = plots.plot_residuals(general, figure=plt.figure(figsize=(6, 6)))

# %%
# The slopes are gone, and the arrows, drawn to their own scale, point anywhere:

_, axes = plt.subplots(figsize=(5, 5))
_ = plots.plot_vectors(mean_vectors(general), axes=axes)

# %%
# As a number: the largest slope over its error, and the rms.


def systematics(table):
    """Largest slope over its error, and rms (mas), of the residuals that were used."""
    used = table[~np.asarray(table["clipped"])]
    lines = [plots.slope(used[axis], used[name]) for axis in "xy" for name in ("residual_ra", "residual_dec")]
    rms = np.sqrt(np.mean(used["residual_ra"] ** 2 + used["residual_dec"] ** 2))
    return max(abs(value) / error for value, error, _ in lines), rms


for name, table in (("rscale", rscale), ("general", general)):
    print("{:8} largest slope {:5.1f} sigma, rms {:.2f} mas".format(name, *systematics(table)))

# %%
# That a general fit leaves no slope in its own residuals is so by construction. What counts is whether the WCS is
# better, and here, where the truth is known, it can be asked: the error of each visit (mas, root mean square over
# the detector) with both geometries, tied to a catalog.


def errors(library, scene):
    """Errors of the WCS in a library."""
    found = {}
    with library:
        for index, model in enumerate(library):
            found[scene.exposures[index].filename] = model.meta.wcs
            library.shelve(model, index, modify=False)
    return score(found, scene.truth, config.size).absolute


catalog = str(folder / "data" / "refcat.ecsv")
for geometry in ("rscale", "general"):
    geometries = {"fitgeometry": geometry, "abs_fitgeometry": geometry}
    library = TweakRegStep.call(association, abs_refcat=catalog, configure_log=False, **chosen, **geometries)
    print(f"{geometry:8}", errors(library, scene).round(2))

# %%
# Commit
# ------
# Now the exposures are written, with a correction file for each visit and the page that tells all about the run.

library = TweakRegStep.call(
    association, abs_refcat=catalog, save_results=True, save_correction=True, save_report=True,
    output_dir=str(folder / "aligned"), configure_log=False, **chosen, **geometries,
)  # fmt: skip
print(*sorted(path.name for path in (folder / "aligned").iterdir()), sep="\n")

# %%
# The other filter
# ----------------
# In each visit an exposure in F115W was taken as well, at a slightly different place. It has the same pointing
# error, and so the same correction. Its WCS is not the one that the correction was made for: ``any_wcs`` says that
# this is meant. On the command line it is ``tweakreg correction apply visit_correction.asdf other_cal.fits
# --any-wcs``.

other = make_scene(config, filter="F115W", visit_group="04", dither=0.05)
other = replace(other, ra=scene.ra, dec=scene.dec, flux=scene.flux, motion=scene.motion)
models = list(make_models(other))
print("before", errors(ModelLibrary(models), other).round(2))
for model, path in zip(models, sorted((folder / "aligned").glob("*_correction.asdf")), strict=True):
    apply_to(model, read_correction(path), any_wcs=True)
print("after ", errors(ModelLibrary(models), other).round(2))
