"""From catalogs on the common plane to an `~tweakreg.records.Alignment`: arithmetic only, no file and no WCS.

`stages.align_on_plane` is the whole: the relative stage, then the absolute one. A *solver* puts groups to each other;
`solver` says what one promises, and there is one today: `sequential`, which takes one group after another, as the
JWST step does. It suits a few exposures of one field, costs one match per group, and adds up errors along a chain.
`register` matches one catalog with another, with the help of `match` (offset and pairs), `fit` (transformations) and
`trust` (whether chance could have made the match); `uncertainty` says how well the corrections are known.
"""
