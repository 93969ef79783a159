"""One module per figure: tidy tables in, a PDF and a PNG out.

Nothing here imports torch or trains anything, so restyling a figure costs seconds.
"""
