"""How many features a family needs for a given error, from a sweep over d_r."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

RESAMPLES, CONFIDENCE = 1000, 0.95
"""Of the bootstrap for a number of features, whether it is from a sweep or from one d_r."""


@dataclass(frozen=True)
class Curves:
    """How the mean error falls with the number of features, by samples of the repeats.

    Attributes:
        sizes: d_r, rising, (sizes,).
        log_errors: never rising along the last axis, (samples, sizes).
    """

    sizes: Array
    log_errors: Array

    @classmethod
    def of(cls, errors: dict[int, Array], samples: dict[int, Indices]) -> Curves:
        """The nearest curves that never rise: more features are no worse, a mean of draws can be.

        Args:
            errors: by size, one for each repeat.
            samples: by size, indices of repeats, (samples, repeats). Curves that share them are
                paired.

        Raises ValueError for an error that is not a positive number.
        """
        from scipy.optimize import isotonic_regression

        sizes = sorted(errors)
        for size in sizes:
            if not (np.isfinite(errors[size]) & (errors[size] > 0)).all():
                raise ValueError(f"errors with d_r = {size}: must be positive numbers")
        means = [errors[size][samples[size] % len(errors[size])].mean(1) for size in sizes]
        logs = np.log(np.stack(means, -1))
        for rises in np.flatnonzero((np.diff(logs) > 0).any(-1)):
            logs[rises] = isotonic_regression(logs[rises], increasing=False).x
        return cls(np.array(sizes, np.float64), logs)

    def at(self, size: int) -> Array:
        """Log errors at one of the sizes, (samples,); raises ValueError for another size."""
        if size not in self.sizes:
            sizes = ", ".join(f"{one:g}" for one in self.sizes)
            raise ValueError(f"d_r = {size}: must be one of {sizes}")
        return np.asarray(self.log_errors[:, np.searchsorted(self.sizes, size)])

    def crossings(self, targets: Array) -> Array:
        """Least sizes with a log error down to the targets, (samples,).

        Errors are linear in the logarithms between the sizes. The smallest size where the error is
        below the target already there, infinity where it never is. Raises ValueError for a target
        that is NaN, which no error is below.
        """
        if np.isnan(targets).any():
            raise ValueError("targets: must be numbers")
        return np.array(
            [self._crossing(*pair) for pair in zip(self.log_errors, targets, strict=True)]
        )

    def _crossing(self, curve: Array, target: float) -> float:
        if not curve[-1] <= target:
            return np.inf
        j = int((curve <= target).argmax())
        if j == 0:
            return float(self.sizes[0])
        share = (curve[j - 1] - target) / (curve[j - 1] - curve[j])
        return float(self.sizes[j - 1] * (self.sizes[j] / self.sizes[j - 1]) ** share)
