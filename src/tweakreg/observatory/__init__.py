"""What knows files and datamodels.

`exposure` is the interface: what the pipeline asks of an image, whichever mission it is from. `jwst` answers for
JWST; `missions` opens a file and says whose it is. `association`, `library` and `catalogs` read what a run is made
of, `names` and `output` say what results are called and write them, `crds` says what parameter files are selected by.
"""
