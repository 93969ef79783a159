"""Bounds that the steps keep to and that the estimates of their memory count on."""

DESCENT_BYTES = 2**21  # of W of the reference models that descend together
