"""From pixels, or from a file, to a `~tweakreg.records.SourceCatalog`."""
