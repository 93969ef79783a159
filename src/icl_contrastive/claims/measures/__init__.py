"""What is measured for a claim: from tables to effects, one number for each run.

A measure takes the evidence and the arguments that its claim gives, and returns an effect for each
part of the claim. The runs are the independent units: prompts and draws of a run are averaged. All
comparisons are paired: run r of every variant has the same task, prompts, random features and
initial weights, and of every setting with a shared task the same one.
"""

from collections.abc import Callable
from dataclasses import dataclass

from icl_contrastive.claims.evidence import Effect, Scale
from icl_contrastive.claims.measures import curves, descents, estimates, predictions


@dataclass(frozen=True)
class Measure:
    """A measure.

    Attributes:
        effects: takes evidence and arguments to effects.
        text: what it is in words, with its arguments in braces.
        scale: of its number.
    """

    effects: Callable[..., list[Effect]]
    text: str
    scale: Scale = "ratio"


MEASURES: dict[str, Measure] = {
    "identity_error": Measure(
        descents.identity_error,
        "largest relative error in float64 ({of}; {scheme}), all runs and prompts",
    ),
    "deviation": Measure(
        descents.deviation,
        "relative deviation ({of}; {scheme}), median over prompts, geometric mean over runs",
    ),
    "cosine_gain": Measure(
        descents.cosine_gain, "rise of the mean cosine from the first to the last step", "number"
    ),
    "pair_gap": Measure(
        descents.pair_gap,
        "mean cosine of predictions and their own labels after the descent, less that of "
        "predictions and the other demonstrations' labels",
        "number",
    ),
    "negative_weights": Measure(
        descents.negative_weights,
        "share of the prompts in which some value has a negative weight ({of})",
        "number",
    ),
    "final_error": Measure(
        curves.final_error,
        "training error of the last {last:.0%} of epochs, {of}, over that of {base}{over}; errors "
        "below 0.1 % of Var(y) count as that",
    ),
    "area": Measure(
        curves.area,
        "area under the training curve, first {until:.0%} of epochs, {of}, over that of {base}",
    ),
    "epochs": Measure(
        curves.epochs,
        "epochs to an error of {to:.0%} of Var(y), {of}, over those of {base}",
    ),
    "speed": Measure(
        curves.speed,
        "epochs to an error of {to:.0%} of Var(y), {of}, over those of {base}, which is the "
        "number; and the area under the curve likewise{over}",
    ),
    "error_rate": Measure(
        estimates.error_rate,
        "slope of log {error} of the {matrix} against log d_r, mean over prompts",
        "number",
    ),
    "error_over_uniform": Measure(
        estimates.error_over_uniform,
        "mean squared error of the {matrix} at the largest d_r, over that of uniform attention",
    ),
    "entries_near": Measure(
        estimates.entries_near,
        "share of the entries of the {matrix} that are nearer to the exact ones than those of "
        "uniform attention, at the layers' d_r",
        "number",
    ),
    "larger_entries": Measure(
        estimates.larger_entries,
        "absolute error of the median entry among the largest tenth of a token's {matrix}, over "
        "that of the median among the rest, at the layers' d_r",
    ),
    "bias_share": Measure(
        estimates.bias_share,
        "share of the {matrix}'s mean squared error that is bias, at the layers' d_r",
        "number",
    ),
    "projection_error": Measure(
        estimates.projection_error,
        "squared error of the {matrix} with {projections} features, over that with {base} ones, at "
        "the layers' d_r",
    ),
    "unexplained": Measure(
        predictions.unexplained, "squared error of the {predictor} over that of zero"
    ),
    "unexplained_ratio": Measure(
        predictions.unexplained_ratio,
        "the layer's squared error over that of zero, over the same with {base}; shares below "
        "0.1 % count as that",
    ),
    "error_ratio": Measure(
        predictions.error_ratio, "squared error of the {predictor} over that of the {base}"
    ),
    "use_of_demonstrations": Measure(
        predictions.use_of_demonstrations,
        "share of the prediction that comes from the demonstrations, which is the number; and the "
        "squared error with shuffled labels over that of the layer",
        "number",
    ),
    "zero_shot": Measure(
        predictions.zero_shot, "correlation of W_0 φ(q) with the label, over the prompts", "number"
    ),
    "place_of_quoted_error": Measure(
        predictions.place_of_quoted_error,
        "share of our prompts with an error below that of {prediction:.4f} for {truth:.4f}",
        "number",
    ),
}
"""The measures by the name that ``claims.yaml`` gives them."""
