"""Pages that need no server: results as one HTML file each, which loads nothing.

`frame` makes the document and its policy, `markup` escapes, `tables` and `charts` are the parts of every
page. No I/O but reading the parts of a page from this package; the command line writes the text to a file.
"""
