"""A matrix as rows of a tidy table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from torch import Tensor


def entries(matrix: Tensor, /, **about: object) -> pd.DataFrame:
    """row, column, value of every entry, row by row, after what else is to be said of each."""
    row, column = np.indices(matrix.shape)
    values = {"row": row.ravel(), "column": column.ravel(), "value": matrix.numpy().ravel()}
    return pd.DataFrame(about | values)
