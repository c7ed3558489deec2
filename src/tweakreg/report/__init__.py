"""What a person is told about an alignment: everything here reads records, and nothing changes them.

`lines` are for the log, `tables` for files and notebooks, `plots` and `page` for the eye; `notebook` is how a result
shows itself. `views` say what there is to see. Plots need matplotlib, the page jinja2 as well; both are imported
where they are used.
"""
