"""Transformations on the common tangent plane."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tweakreg.plane import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine:
    """``reference = matrix @ image + shift`` on the common plane.

    Attributes
    ----------
    matrix : (2, 2) float array
        Rotation, scale and skew.
    shift : (2,) float array
        arcsec.
    """

    matrix: Floats = field(default_factory=lambda: np.eye(2))
    shift: Floats = field(default_factory=lambda: np.zeros(2))

    def __call__(self, xy: Floats) -> Floats:
        return np.asarray(xy @ self.matrix.T + self.shift)

    def after(self, first: Affine) -> Affine:
        """The transformation that applies `first`, then this one."""
        return Affine(matrix=self.matrix @ first.matrix, shift=self.matrix @ first.shift + self.shift)

    @property
    def inverse(self) -> Affine:
        """The transformation back."""
        matrix = np.asarray(np.linalg.inv(self.matrix), dtype=float)
        return Affine(matrix=matrix, shift=-matrix @ self.shift)

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing at all."""
        return bool(np.array_equal(self.matrix, np.eye(2)) and not self.shift.any())

    @property
    def rotation(self) -> float:
        """Mean rotation of the axes, degrees, from east towards north."""
        (a, b), (c, d) = self.matrix
        return float(np.degrees(np.arctan2(c - b, a + d)))

    @property
    def scale(self) -> float:
        """Geometric mean of the scales of the axes."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix))))

    @property
    def scales(self) -> tuple[float, float]:
        """Scale of each axis: the lengths of the matrix's columns."""
        x, y = np.linalg.norm(self.matrix, axis=0)
        return float(x), float(y)

    @property
    def rotations(self) -> tuple[float, float]:
        """Rotation of each axis, degrees, from east towards north."""
        (a, b), (c, d) = self.matrix
        return float(np.degrees(np.arctan2(c, a))), float(np.degrees(np.arctan2(-b, d)))

    @property
    def skew(self) -> float:
        """Rotation of the y axis minus that of the x axis, degrees, in (-180, 180]."""
        x, y = self.rotations
        return float(180.0 - (180.0 - (y - x)) % 360.0)


def affine_design(xy: Floats) -> Floats:
    """How transformed positions (N, 2) change with (m11, m12, m21, m22, s1, s2): (N, 2, 6)."""
    design = np.zeros((len(xy), 2, 6))
    design[:, 0, 0:2] = design[:, 1, 2:4] = xy
    design[:, 0, 4] = design[:, 1, 5] = 1.0
    return design
