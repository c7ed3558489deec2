"""From pixels, or from a file, to a `~tweakreg.types.SourceCatalog`."""
