"""What a finished run says, for a reader: captions, contradictions, provenance, and the page.

Everything here reads the run's tables and figures; nothing is computed that they do not hold.
"""
