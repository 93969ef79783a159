"""Roles in a config and the kind of model that each needs, so that no figure says what is false."""

from collections.abc import Callable
from dataclasses import dataclass

from icl_contrastive.config.experiment import NamedVariant


@dataclass(frozen=True)
class Role:
    """What a place in the config needs of the variants that it names.

    Attributes:
        must: what a variant must be, in words.
        fits: whether one is so.
    """

    must: str
    fits: Callable[[NamedVariant], bool]


def _has_decay(variant: NamedVariant) -> bool:
    return bool(variant.model.get("alpha", 0) != 0)


def _of(*models: str) -> Callable[[NamedVariant], bool]:
    return lambda variant: variant.model["model"] in models


def _of_form(model: str, form: str) -> Role:
    return Role(
        f"a variant with model: {model} and form: {form}",
        lambda variant: _of(model)(variant) and variant.model["form"] == form,
    )


PLAIN = Role(
    "the plain layer, a variant with model: softmax and attention: kernel",
    lambda variant: _of("softmax")(variant) and variant.has_features,
)
EXACT = Role(
    "a variant with model: softmax and attention: exact",
    lambda variant: _of("softmax")(variant) and not variant.has_features,
)
WITH_FEATURES = Role(
    "a variant with attention: kernel, which has random features",
    lambda variant: variant.has_features,
)
ESTIMATED = Role(
    "a variant with attention: kernel and model: softmax or augmented, whose output is that of the "
    "attention matrix alone",
    lambda variant: _of("softmax", "augmented")(variant) and variant.has_features,
)

_WITHOUT_DECAY = Role(
    f"{WITH_FEATURES.must}, and without an alpha other than 0, whose descent ends elsewhere and is "
    "what figure_10 shows",
    lambda variant: variant.has_features and not _has_decay(variant),
)
OF_FIGURES = {
    "figure_1": PLAIN,  # the diagrams have its formulas in them
    "figure_2": PLAIN,
    "figure_3": _WITHOUT_DECAY,
    "figure_8": _WITHOUT_DECAY,
    "figure_10": Role(
        f"{WITH_FEATURES.must}, and with alpha other than 0, since the figure compares ways to "
        "share the decay",
        lambda variant: variant.has_features and _has_decay(variant),
    ),
}
"""Of the key ``variant`` of a figure."""

PANELS = {
    "regularized.eq15": _of_form("regularized", "eq15"),
    "regularized.eq14": _of_form("regularized", "eq14"),
    "augmented.variants": Role(
        "a variant with model: augmented, or with a model of your own",
        lambda variant: not _of("softmax", "regularized", "negative")(variant),
    ),
    "negative.variants": Role("a variant with model: negative", _of("negative")),
}
"""Of the keys of figure_5, in which each panel has a plain layer as ``base``, too."""


def like(base: NamedVariant) -> Role:
    """A variant that may differ from the base in its random features."""
    model = ", ".join(f"{key}: {value}" for key, value in base.model.items())
    return Role(
        f"a variant with {model}, as {base.name!r} has, since the features alone are compared",
        lambda variant: variant.model == base.model,
    )
