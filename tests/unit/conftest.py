"""What the tests of the mathematics share."""

from __future__ import annotations

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("reproducible", deadline=None, derandomize=True, max_examples=200)
settings.load_profile("reproducible")
