"""Synthetic exposures with known truth, and the score against it.

The demo, the tests and the benchmarks share it.
"""

from tweakreg.simulate.scene import Scene, SceneConfig, make_scene
from tweakreg.simulate.score import Score, score

__all__ = ["Scene", "SceneConfig", "Score", "make_scene", "score"]
