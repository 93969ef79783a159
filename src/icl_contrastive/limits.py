"""Bounds that the steps keep to, and that the factors of the estimates of memory count on."""

FULL_WIDTH_PROMPTS = 8  # whose features, as wide as d_r, are in memory at once; the control's
FOLLOWED_PROMPTS = 16  # of each run, whose descent is kept step by step
DESCENDING_PROMPTS = 512  # that descend at once, of whole runs; one run alone may have more
