"""Reference catalogs, wherever they come from, and their stars at the epoch of an exposure.

`providers` takes names in an order of preference: a `file`, a `service` that is asked for cones, or a `hats` catalog,
in a folder or in cloud storage. Take a service for one field, a HATS catalog for many, and a bundle of either where
there is no network. `cache` keeps what came over a network; `region` says which parts of the sky are wanted; `table`
says what columns mean; `epoch` moves stars, and `epochs` puts them where each group of exposures saw them.
"""
