"""What is known of how an image was aligned: one record per image, from which all that is said of it is taken.

`record` has the records, `tree` turns them into what ``schemas/fit_result.schema.json`` describes and back. Whoever
wants a number of a result reads it off the record; nothing but `tree` knows the names in the tree.
"""
