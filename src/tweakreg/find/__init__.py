"""From pixels, or from a file, to a `~tweakreg.records.SourceCatalog`; the one door to photutils.

`finders.find_sources` finds them, with one of three finders: *iraf* (the default) suits stars that are well sampled,
*dao* undersampled and crowded ones, *segmentation* extended sources and fields without stars. `custom.read_catalog`
reads what a user brings. `background` subtracts the sky, `artefacts` tells hot pixels from stars, `save` writes a
catalog.
"""
