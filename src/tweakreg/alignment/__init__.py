"""From catalogs on the common plane to an `~tweakreg.records.Alignment`: arithmetic only."""

from tweakreg.alignment.stages import align

__all__ = ["align"]
