"""A run, without stpipe.

`run` is the whole of it: `measure`, `align`, `apply`, one after another; `save` writes what is asked for.
`result` has what a run found out; `reference` gets the stars that exposures are tied to.
"""
