"""
Two catalogs, ten lines
=======================

The arithmetic beneath :func:`tweakreg.align` works on arrays: no files, no datamodels. Here is what it takes to align
one catalog to another.
"""

# %%
# Two catalogs of the same stars, in degrees; the second is off by 0.4" to the east, and turned a little:

import matplotlib.pyplot as plt
import numpy as np

from tweakreg.records import TangentPlane

rng = np.random.default_rng(3)
plane = TangentPlane(ra=150.1, dec=2.2)
xy = rng.uniform(-60.0, 60.0, size=(300, 2))  # arcsec
turn = np.radians(0.01) * np.array([[0.0, -1.0], [1.0, 0.0]])
first = plane.deproject(xy + rng.normal(scale=0.002, size=xy.shape))
second = plane.deproject(xy + xy @ turn.T + [0.4, 0.0] + rng.normal(scale=0.002, size=xy.shape))

# %%
# The ten lines:

from tweakreg import align_on_plane
from tweakreg.records import PlaneImage, Sources, Stage, StageConfig

box = np.array([[-60.0, -60.0], [60.0, -60.0], [60.0, 60.0], [-60.0, 60.0]])
images = [
    PlaneImage(
        name=name, group=name, footprint=box, pixel_scale=0.05, sources=Sources(xy=plane.project(*sky), name=name)
    )
    for name, sky in (("first", first), ("second", second))
]
alignment = align_on_plane(images, plane, StageConfig.of(Stage.RELATIVE))
result, correction = alignment.relative["second"], alignment.corrections["second"]

# %%
# What came out, and how good it is. Nothing is applied that chance could explain:

before = np.linalg.norm(plane.project(*second) - plane.project(*first), axis=1)
after = np.linalg.norm(correction(plane.project(*second)) - plane.project(*first), axis=1)
print(f"{result.outcome.sentence}: {len(result.match)} pairs, {result.match.expected_false:.2f} expected by chance")
print(f"shift {1000 * correction.shift} mas, rotation {correction.rotation:+.5f} degrees")
print(f"apart by {1000 * np.median(before):.1f} mas before, {1000 * np.median(after):.1f} mas after")
error = np.sqrt(np.diagonal(alignment.covariance_at("second", box), axis1=1, axis2=2)).max()
print(f"stated error of the corners: {1000 * error:.2f} mas")

# %%
# Every plot of the step can be drawn from the records:

from tweakreg.report import plots

_, axes = plt.subplots(1, 2, figsize=(9, 4.5), layout="constrained")
plots.plot_search(result, axes=axes[0])
_ = plots.plot_clipping(result, axes=axes[1])
