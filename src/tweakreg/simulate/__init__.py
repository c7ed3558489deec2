"""Synthetic exposures with known truth, and the score against it.

The demo, the tests, the tutorials and the benchmarks share it: `make_scene` draws a field and how it is observed,
`make_models` and `write_scene` make exposures of it, and `score_library` says how far a result is from the truth.
"""

from tweakreg.simulate.models import make_models, write_scene
from tweakreg.simulate.scene import Scene, SceneConfig, make_scene
from tweakreg.simulate.score import Score, score, score_library

__all__ = ["Scene", "SceneConfig", "Score", "make_models", "make_scene", "score", "score_library", "write_scene"]
