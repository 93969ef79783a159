"""What the tests of the mathematics share."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
