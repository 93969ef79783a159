"""Figure 1: the inference of in-context learning is gradient descent on a reference model.

The paper's diagram with the matrices of one prompt in it. Config: not used, the table says it all.
Tables: ``diagram``.
"""

import numpy as np
from matplotlib.figure import Figure

from icl_contrastive.artifacts.tables import Table
from icl_contrastive.command import Config
from icl_contrastive.figures import style
from icl_contrastive.figures.diagram import Box, Canvas, Matrices, read_diagram
from icl_contrastive.figures.wording import Numbers, fixed, number, percent, scientific

KEYS = ("setting", "variant", "run", "prompt")

# Inches. Tokens, coordinates and features have fixed extents, so that any N fits the page.
_HEIGHT = 4.45
_TOKENS = 0.84
_VECTOR = 0.065
_COORDINATES = 0.6
_FEATURES = 0.84
_LAYER_RESULT = Box(1.24, 0.36, 0.76, 0.38)
_MODEL_RESULT = Box(4.76, 0.4, 0.76, 0.3)
_FRAME = 1.4
_LABELS_COLOR, _INPUTS_COLOR, _TEST_COLOR = style.GREEN, style.PURPLE, style.ORANGE


def draw(config: Config, diagram: Table) -> Figure:
    """Attention on the left, the reference model on the right, the same vector below."""
    matrices = read_diagram(diagram)
    canvas = Canvas(_HEIGHT)
    _draw_layer(canvas, matrices)
    _draw_reference_model(canvas, matrices)
    _draw_equality(canvas, matrices)
    return canvas.figure


def _draw_layer(canvas: Canvas, matrices: Matrices) -> None:
    """H → V, K, q → attention → Σ a_i v_i."""
    canvas.panel(Box(0.05, 1.05, 2.75, 3.35), "self-attention layer", style.BLUE)
    tokens = canvas.matrix(
        matrices["H"],
        Box(0.92, 3.22, _TOKENS, _COORDINATES),
        r"$\boldsymbol{H} = [\boldsymbol{h}_1, \ldots, \boldsymbol{h}_N, \boldsymbol{h}_{N+1}]$",
    )
    one_token = _TOKENS / matrices["H"].shape[1]
    query = Box(tokens.right - one_token, tokens.bottom, one_token, tokens.height)
    canvas.frame(query, style.BLACK)
    canvas.text(query.on_right(0.85, 0.05), "query", ha="left", **style.SMALL)

    values = canvas.matrix(matrices["V"], Box(0.2, 2.1, _TOKENS, _COORDINATES), r"$\boldsymbol{V}$")
    keys = canvas.matrix(matrices["K"], Box(1.2, 2.1, _TOKENS, _COORDINATES), r"$\boldsymbol{K}$")
    test_query = canvas.matrix(
        matrices["Q"][:, -1:], Box(2.42, 2.1, _VECTOR, _COORDINATES), r"$\boldsymbol{q}$"
    )
    for start, end, name, side in (
        (tokens.on_bottom(0.2), values.on_top(0.5, 0.18), "V", -0.15),
        (tokens.on_bottom(0.6), keys.on_top(0.5, 0.18), "K", 0.17),
        (query.on_bottom(0.5), test_query.on_top(0.5, 0.18), "Q", 0.17),
    ):
        canvas.arrow(start, end)
        middle = (start[0] + end[0]) / 2 + side, (start[1] + end[1]) / 2 + 0.03
        canvas.text(middle, rf"$\boldsymbol{{W}}_{name}$")

    attention = canvas.matrix(matrices["attention"].T, Box(1.2, 1.58, _TOKENS, 0.12), "")
    canvas.arrow(keys.on_bottom(), attention.on_top())
    canvas.arrow(test_query.on_bottom(), attention.on_right(), bend=-0.35)
    formula = r"$a_i = \phi(\boldsymbol{k}_i)^{T}\phi(\boldsymbol{q})\,/\,D'$"
    canvas.text(attention.on_bottom(0.5, 0.13), formula)
    result = canvas.node(_LAYER_RESULT, r"$\sum_{i=1}^{N+1} a_i \boldsymbol{v}_i$")
    canvas.arrow(values.on_bottom(), result.on_left(), bend=0.4)
    canvas.arrow((attention.center[0], 1.34), (attention.center[0], result.top + 0.02))

    # The matrices that are the reference model's training set wear the same frames there.
    for whole, color in ((values, _LABELS_COLOR), (keys, _INPUTS_COLOR)):
        part = Box(whole.left, whole.bottom, whole.width - one_token, whole.height)
        canvas.frame(part, color, _FRAME)
    canvas.frame(test_query, _TEST_COLOR, _FRAME)


def _draw_reference_model(canvas: Canvas, matrices: Matrices) -> None:
    """The training set → loss → one step from W_0 to Ŵ → the test prediction."""
    title = r"reference model $f(\boldsymbol{x}) = \boldsymbol{W}\phi(\boldsymbol{x})$"
    canvas.panel(Box(2.9, 1.05, 4.05, 3.35), title, style.VERMILLION)
    demonstrations = matrices["H"].shape[1] - 1
    width = _TOKENS * demonstrations / (demonstrations + 1)
    labels = canvas.matrix(
        matrices["V"][:, :-1],
        Box(3.1, 3.22, width, _COORDINATES),
        r"$\boldsymbol{y}_\mathrm{std}^{(i)} = \boldsymbol{W}_V\boldsymbol{h}_i$",
        like=(matrices["V"],),
    )
    inputs = canvas.matrix(
        matrices["K"][:, :-1],
        Box(4.4, 3.22, width, _COORDINATES),
        r"$\boldsymbol{x}_\mathrm{std}^{(i)} = \boldsymbol{W}_K\boldsymbol{h}_i$",
        like=(matrices["K"],),
    )
    features = canvas.matrix(
        matrices["phi_K"],
        Box(5.85, 3.1, width, _FEATURES),
        r"$\phi(\boldsymbol{x}_\mathrm{std}^{(i)})$",
    )
    count = len(matrices["phi_K"])
    note = f"first {count} features"
    canvas.text(features.on_right(0.5, 0.08), note, rotation=270, **style.SMALL)
    canvas.arrow(inputs.on_right(), (features.on_left()[0], inputs.center[1]))
    canvas.text((inputs.right / 2 + features.left / 2, inputs.center[1] + 0.1), r"$\phi$")

    loss = (
        r"$\mathcal{L} = -\frac{1}{\eta D}\sum_{i=1}^{N}"
        r"(\boldsymbol{y}_\mathrm{std}^{(i)})^{T}\,\boldsymbol{W}\phi(\boldsymbol{x}_\mathrm{std}^{(i)})$"
    )
    node = canvas.node(Box(3.88, 2.42, 1.9, 0.38), loss)
    canvas.arrow(labels.on_bottom(), node.on_left(), bend=0.3)
    canvas.arrow(features.on_bottom(), node.on_right(), bend=-0.3)
    canvas.text((node.right + 0.08, node.bottom), "Eq. 9", ha="left", **style.SMALL)

    before = canvas.matrix(
        matrices["W_0"],
        Box(3.1, 1.3, _FEATURES, _COORDINATES),
        r"$\boldsymbol{W}_0$",
        like=(matrices["W_hat"],),
    )
    after = canvas.matrix(
        matrices["W_hat"],
        Box(4.72, 1.3, _FEATURES, _COORDINATES),
        r"$\widehat{\boldsymbol{W}}$",
        like=(matrices["W_0"],),
    )
    canvas.arrow(before.on_right(), after.on_left())
    middle = before.right / 2 + after.left / 2
    canvas.arrow((middle, node.bottom - 0.02), (middle, before.center[1] + 0.05))
    start = r"$\boldsymbol{v}_{N+1}\,\phi(\boldsymbol{k}_{N+1})^{T} / D'$"
    canvas.text(before.on_bottom(0.5, 0.11), start, **style.SMALL)
    step = r"$-\,\eta\,\partial\mathcal{L}/\partial\boldsymbol{W}$"
    canvas.text((middle, before.center[1] - 0.13), step)

    test_features = canvas.matrix(
        matrices["phi_q"],
        Box(6.05, 1.18, _VECTOR, _FEATURES),
        r"$\phi(\boldsymbol{x}_\mathrm{test})$",
    )
    test_input = canvas.matrix(
        matrices["Q"][:, -1:],
        Box(6.62, 1.3, _VECTOR, _COORDINATES),
        r"$\boldsymbol{x}_\mathrm{test}$",
    )
    canvas.arrow(test_input.on_left(), test_features.on_right())
    canvas.text((6.37, test_input.center[1] + 0.1), r"$\phi$")
    formula = r"$\widehat{\boldsymbol{W}}\phi(\boldsymbol{x}_\mathrm{test})$"
    result = canvas.node(_MODEL_RESULT, formula)
    canvas.arrow(after.on_bottom(), (after.center[0], result.top + 0.02))
    canvas.arrow(test_features.on_bottom(), result.on_right(), bend=-0.35)

    for box, color in ((labels, _LABELS_COLOR), (inputs, _INPUTS_COLOR), (test_input, _TEST_COLOR)):
        canvas.frame(box, color, _FRAME)


def _draw_equality(canvas: Canvas, matrices: Matrices) -> None:
    """Both results side by side, with their relative distance."""
    output, prediction = matrices["h_hat"], matrices["y_test"]
    left = canvas.matrix(
        output,
        Box(2.55, 0.3, _VECTOR, _COORDINATES - 0.1),
        r"$\hat{\boldsymbol{h}}_{N+1}$",
        like=(prediction,),
    )
    right = canvas.matrix(
        prediction,
        Box(3.15, 0.3, _VECTOR, _COORDINATES - 0.1),
        r"$\hat{\boldsymbol{y}}_\mathrm{test}$",
        like=(output,),
    )
    canvas.text(((left.left + right.right) / 2, left.center[1]), "=", fontsize=14)
    canvas.arrow(_LAYER_RESULT.on_right(), left.on_left())
    canvas.arrow(_MODEL_RESULT.on_left(), right.on_right())
    canvas.text(
        ((left.left + right.right) / 2, 0.14),
        r"$\|\hat{\boldsymbol{h}}_{N+1} - \hat{\boldsymbol{y}}_\mathrm{test}\|\,/\,"
        rf"\|\hat{{\boldsymbol{{h}}}}_{{N+1}}\|$ = {scientific(_distance(matrices))}",
    )


def caption_numbers(config: Config, diagram: Table) -> Numbers:
    """How far apart both sides are, their predictions, and the weight of the query on itself."""
    matrices = read_diagram(diagram)
    layer, reference = matrices["h_hat"][:, 0], matrices["y_test"][:, 0]
    return {
        "distance": number(_distance(matrices)),
        "y_layer": fixed(layer[-1]),
        "y_reference": fixed(reference[-1]),
        "self_weight": percent(float(matrices["attention"][-1, 0])),
    }


def _distance(matrices: Matrices) -> float:
    """Relative, of the reference model's prediction from the layer's output."""
    output, prediction = matrices["h_hat"], matrices["y_test"]
    return float(np.linalg.norm(output - prediction) / np.linalg.norm(output))
