"""From catalogs on the common plane to an `~tweakreg.types.Alignment`: arithmetic only."""

from tweakreg.align.solve import align

__all__ = ["align"]
