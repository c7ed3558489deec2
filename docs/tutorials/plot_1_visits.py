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

import tweakreg
from tweakreg.simulate import SceneConfig, make_models, make_scene, score_library, write_scene

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

# %%
# First try: the defaults
# -----------------------
# :func:`tweakreg.align` does what the step does, and writes nothing. What nobody sets comes from a parameter reference
# file for the filter, which is packaged.

result = tweakreg.align(association)
columns = ["image", "outcome", "n_matched", "n_used", "rms_ra", "rms_dec", "scale_x", "skew"]
result.table[columns].pprint(max_width=-1)

# %%
# Second try: more stars
# ----------------------
# It works at once, with the 200 brightest sources of each exposure. The field has more, and shift, rotation and one
# scale can be fitted to all that stand well above the noise:

chosen = {"brightest": None, "snr_threshold": 20.0}
rscale = tweakreg.align(association, fitgeometry="rscale", **chosen)
rscale

# %%
# That looks excellent: six hundred stars and an rms below a tenth of a pixel. But are the residuals random? In the
# third visit:

rscale[2].plot_residuals()

# %%
# They are not: all four slopes are ten times their errors. The same as arrows on the sky, each the mean of the stars
# around it:

rscale[2].plot_vectors(cells=6)

# %%
# A pattern: the field is sheared. A rotation and one scale cannot describe it.
#
# Third try: a general fit
# ------------------------

general = tweakreg.align(association, fitgeometry="general", **chosen)
general.table[columns].pprint(max_width=-1)
general[2].plot_residuals()

# %%
# The slopes are gone, and the arrows, drawn to their own scale, point anywhere:

general[2].plot_vectors(cells=6)

# %%
# As a number: the largest slope over its error, and the rms.

for name, each in (("rscale", rscale[2]), ("general", general[2])):
    rms = each.record.deciding.fit.rms
    print(f"{name:8} largest slope {abs(each.slopes()['sigma']).max():5.1f} sigma, rms {rms:.2f} mas")

# %%
# That a general fit leaves no slope in its own residuals is so by construction. What counts is whether the WCS is
# better, and here, where the truth is known, it can be asked: the error of each visit (mas, root mean square over
# the detector) with both geometries, tied to a catalog.

catalog = folder / "data" / "refcat.ecsv"
for geometry in ("rscale", "general"):
    tied = tweakreg.align(association, catalog, fitgeometry=geometry, abs_fitgeometry=geometry, **chosen)
    print(f"{geometry:8}", score_library(tied.library, scene).absolute.round(2))

# %%
# Commit
# ------
# Now the exposures are written, with a correction file for each visit and the page that tells all about the run.

general = tweakreg.align(
    association, catalog, fitgeometry="general", abs_fitgeometry="general", save_correction=True, save_report=True,
    **chosen,
)  # fmt: skip
written = general.save(folder / "aligned")
print(*sorted(path.name for path in written), sep="\n")

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
print("before", score_library(tweakreg.ModelLibrary(models), other).absolute.round(2))
corrections = [path for path in written if path.name.endswith("_correction.asdf")]
for model, path in zip(models, sorted(corrections), strict=True):
    tweakreg.apply_correction(model, tweakreg.read_correction(path), any_wcs=True)
print("after ", score_library(tweakreg.ModelLibrary(models), other).absolute.round(2))
