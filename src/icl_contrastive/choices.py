"""What may be chosen in training where the paper leaves it open, in the words of the config."""

from typing import Literal

Normalization = Literal["unit", "scaled", "none"]
Init = Literal["uniform", "normal", "standard_normal"]
Omega = Literal["kept", "per_epoch", "per_step"]
Order = Literal["fixed", "shuffled"]
