"""Synthetic tables of realistic shape, with what each figure is drawn from."""

import csv
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
D_X = 11
D = D_X + 1
EPOCHS_CL = 10
FEATURES = 1200
SHOWN_FEATURES = 48
ALPHAS = (-0.5, -0.2, -0.1, -0.05, -0.01, 0.01, 0.05, 0.1, 0.2, 0.5)
FAMILIES = ("positive", "hyperbolic", "trigonometric", "oprf", "sderf", "elu+1")
LAWS = ("independent", "orthogonal", "simplex")
D_R_GRID = (12, 24, 48, 96, 192, 384, 600, 1200, 2400, 4800)
SHOWN_D_R = (12, 96, 600, 1200, 4800)


def write(path: Path, header: str, rows: Iterable[Iterable[object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header.split(","))
        writer.writerows(rows)
    return path


def positive_features(x: Array, omega: Array) -> Array:
    """φ of the columns of x (d, n) for ω (d_r, d), as (d_r, n)."""
    scores = omega @ x - (x**2).sum(0) / 2
    return np.asarray(np.exp(scores) / np.sqrt(len(omega)))


def unit(x: Array) -> Array:
    """The columns divided by their norms."""
    return np.asarray(x / np.linalg.norm(x, axis=0))


class Prompt:
    """One prompt in a layer that looks trained: large labels, attention of some contrast."""

    def __init__(self, demonstrations: int, rng: np.random.Generator) -> None:
        self.n = demonstrations
        task = rng.standard_normal(D_X)
        x = rng.uniform(-1, 1, (D_X, self.n + 1))
        y = task @ x
        self.y_true = float(y[-1])
        self.tokens = np.vstack([x, np.where(np.arange(self.n + 1) < self.n, y, 0.0)])
        w_q, w_k, w_v = rng.uniform(-1, 1, (3, D, D)) / np.sqrt(D)
        mixing = np.outer(rng.standard_normal(D), np.append(task, 0.0)) / 6
        self.keys = unit((w_k + mixing) @ self.tokens)
        self.queries = unit((w_q + mixing) @ self.tokens)
        w_v[-1] = np.append(0.3 * task, 0.8)
        self.values = w_v @ self.tokens

    def exact(self) -> tuple[Array, Array]:
        scores = np.exp(self.keys.T @ self.queries)
        attention = scores / scores.sum(0)
        return attention, self.values @ attention

    def estimate(self, d_r: int, rng: np.random.Generator) -> tuple[Array, Array]:
        omega = rng.standard_normal((d_r, D))
        scores = positive_features(self.keys, omega).T @ positive_features(self.queries, omega)
        attention = scores / scores.sum(0)
        return attention, self.values @ attention


def trajectory_rows(
    setting: str, variant: str, demonstrations: int, runs: int, prompts: int, alpha: float | None
) -> Iterable[list[object]]:
    """The descent of `runs` × `prompts` reference models, one row per single-sample step."""
    rng = np.random.default_rng(7)
    decays = {"single_sample": 0.0}
    if alpha is not None:
        decays = {
            "single_sample": alpha / EPOCHS_CL,
            "single_sample_shared_decay": alpha / EPOCHS_CL / demonstrations,
        }
    for run, prompt in itertools.product(range(runs), range(prompts)):
        example = Prompt(demonstrations, rng)
        omega = rng.standard_normal((FEATURES, D))
        phi_keys = positive_features(example.keys, omega)
        phi_query = positive_features(example.queries[:, -1:], omega)
        scores = (phi_keys.T @ phi_query)[:, 0]
        attention = scores / scores.sum()
        gram = phi_keys.T @ phi_keys / scores.sum()
        kept = np.append(np.ones(demonstrations), 1.0 - (alpha or 0.0))
        y_layer = float(example.values[-1] @ (kept * attention))
        for scheme, decay in decays.items():
            weights = np.zeros(demonstrations + 1)
            weights[-1] = 1.0
            for step in range(demonstrations * EPOCHS_CL + 1):
                if step:
                    weights *= 1 - decay
                    weights[(step - 1) % demonstrations] += 1 / EPOCHS_CL
                predictions = (example.values * weights) @ gram[:, :demonstrations]
                labels = example.values[:, :demonstrations]
                lengths = np.linalg.norm(predictions, axis=0) * np.linalg.norm(labels, axis=0)
                cosine = float(((predictions * labels).sum(0) / lengths).mean())
                y_reference = float(example.values[-1] @ (weights * attention))
                values = (y_reference, cosine, 0.1 * cosine, y_layer, example.y_true)
                yield [setting, variant, run, prompt, scheme, step, *values]


TRAJECTORY_HEADER = (
    "setting,variant,run,prompt,scheme,step,y_reference,cosine,cosine_others,y_layer,y_true"
)


def approximation_rows(repeats: int) -> Iterable[list[object]]:
    rng = np.random.default_rng(8)
    for setting, demonstrations in (("n15", 15), ("n31", 31)):
        example = Prompt(demonstrations, rng)
        exact = example.exact()
        for d_r, repeat in itertools.product(D_R_GRID, range(repeats)):
            estimates = example.estimate(d_r, rng)
            for name, truth, estimate in zip(
                ("attention", "output"), exact, estimates, strict=True
            ):
                error = estimate - truth
                yield [setting, d_r, repeat, name, (error**2).mean(), abs(error).mean()]


def entries(matrix: Array) -> Iterable[list[object]]:
    return ([row, column, value] for (row, column), value in np.ndenumerate(matrix))


def matrices_rows() -> Iterable[list[object]]:
    rng = np.random.default_rng(9)
    for setting, demonstrations in (("n15", 15), ("n31", 31)):
        example = Prompt(demonstrations, rng)
        for d_r in (None, *SHOWN_D_R):
            pair = example.exact() if d_r is None else example.estimate(d_r, rng)
            for name, matrix in zip(("attention", "output"), pair, strict=True):
                for entry in entries(matrix):
                    yield [setting, "" if d_r is None else d_r, name, *entry]


def diagram_rows() -> Iterable[list[object]]:
    rng = np.random.default_rng(10)
    example = Prompt(15, rng)
    omega = rng.standard_normal((FEATURES, D))
    phi_k = positive_features(example.keys, omega)
    phi_q = positive_features(example.queries[:, -1:], omega)
    total = float((phi_k.T @ phi_q).sum())
    attention = phi_k.T @ phi_q / total
    w_0 = example.values[:, -1:] @ phi_k[:, -1:].T / total
    w_hat = w_0 + example.values[:, :-1] @ phi_k[:, :-1].T / total
    matrices = {
        "H": example.tokens,
        "K": example.keys,
        "V": example.values,
        "Q": example.queries,
        "attention": attention,
        "h_hat": example.values @ attention,
        "phi_K": phi_k[:SHOWN_FEATURES, :-1],
        "phi_q": phi_q[:SHOWN_FEATURES],
        "W_0": w_0[:, :SHOWN_FEATURES],
        "W_hat": w_hat[:, :SHOWN_FEATURES],
        "y_hat_before": w_0 @ phi_k[:, :-1],
        "y_hat_after": w_hat @ phi_k[:, :-1],
        "y_test": w_hat @ phi_q,
    }
    for name, matrix in matrices.items():
        for entry in entries(matrix):
            yield [name, *entry]


def compared(variant: str, learning_rate: float, **model: object) -> dict[str, Any]:
    """A variant as the config of figure_5 names it."""
    return {
        "variant": variant,
        "model": model,
        "learning_rate": learning_rate,
        "features": {"family": "positive", "d_r": FEATURES},
    }


def plain(variant: str) -> list[dict[str, Any]]:
    rate = 0.005 if variant.endswith("0.005") else 0.003
    return [compared(variant, rate, model="softmax", attention="kernel")]


def regularized(form: str) -> list[dict[str, Any]]:
    return [
        compared(
            f"regularized_{form}_alpha{alpha:g}", 0.003, model="regularized", form=form, alpha=alpha
        )
        for alpha in ALPHAS
    ]


AUGMENTED: list[dict[str, Any]] = [
    compared("augmented_g1", 0.005, model="augmented", g1=1),
    compared("augmented_g2", 0.005, model="augmented", g2=1),
    compared("augmented_g1_g2", 0.005, model="augmented", g1=1, g2=1),
    compared("augmented_g2plus", 0.005, model="augmented", g2=2),
]
NEGATIVE: list[dict[str, Any]] = [
    compared(
        f"negative_k{k}_beta{beta:g}", 0.005, model="negative", form="section_5.5", k=k, beta=beta
    )
    for k in (1, 3, 5)
    for beta in (0.1, 0.2, 0.5)
] + [compared("negative_eq18", 0.005, model="negative", form="eq18", k=3, beta=0.1)]


def pretraining_rows(runs: int, epochs: int) -> Iterable[list[object]]:
    """Errors that fall from about E[y²] to a floor, ranked as in small trials."""
    rng = np.random.default_rng(11)
    scale = rng.chisquare(D_X, runs) / D_X
    floors = {"softmax": 0.23, "softmax_lr0.005": 0.24, "exact_softmax": 0.2}
    floors |= {
        cell["variant"]: 0.23 - abs(cell["model"]["alpha"]) / 3 for cell in regularized("eq15")
    }
    floors |= {cell["variant"]: 0.23 - cell["model"]["alpha"] / 99 for cell in regularized("eq14")}
    floors |= dict(
        zip((cell["variant"] for cell in AUGMENTED), (2.14, 0.21, 1.83, 0.1), strict=True)
    )
    floors |= {cell["variant"]: 0.2 + cell["model"]["beta"] / 3 for cell in NEGATIVE}
    cells = [("n15", variant, floor) for variant, floor in floors.items()]
    cells += [("n31", "softmax", 0.2), ("n15_multitask", "softmax", 3.5)]
    for setting, variant, floor in cells:
        pace = 12 if "plus" in variant else 6
        for run, epoch in itertools.product(range(runs), range(1, epochs + 1)):
            fall = np.exp(-epoch / pace) + 0.15 / epoch
            size = 1.0 if "multitask" in setting else scale[run]
            train = size * (floor + (D_X / 3 - floor) * fall) * np.exp(0.03 * rng.standard_normal())
            yield [setting, variant, run, epoch, train, 1.2 * train]


CONTROLS = {
    "layer": 0.1,
    "zero-shot part": 0.2,
    "demonstrations' part": 1.0,
    "exact softmax, trained": 0.12,
    "exact softmax": 0.11,
    "half the demonstrations": 0.2,
    "shuffled labels": 0.8,
    "zeroed demonstrations": 1.1,
    "fresh task": 1.7,
    "zero": 1.0,
    "ridge regression": 0.01,
    "least squares": 1e-14,
}


def controls_rows(runs: int, prompts: int) -> Iterable[list[object]]:
    rng = np.random.default_rng(7)
    for setting, run, prompt in itertools.product(
        ("n15", "n31", "n15_multitask"), range(runs), range(prompts)
    ):
        for predictor, share in CONTROLS.items():
            if (setting, predictor) == ("n15_multitask", "fresh task"):
                continue
            y = rng.standard_normal()
            error = np.sqrt(share) * rng.standard_normal()
            yield [setting, run, prompt, predictor, y + error, y, error**2]


def solutions_rows(runs: int) -> Iterable[list[object]]:
    rng = np.random.default_rng(12)
    for setting, run in itertools.product(("n15", "n31", "n15_multitask"), range(runs)):
        shared = "multitask" not in setting
        yield [setting, run, rng.uniform(0.9, 1) if shared else "", rng.uniform(0, 1)]


TRAINING_LENGTH_HEADER = (
    "setting,run,epoch,train_mse,test_mse,absolute_error,absolute_error_exact,query_weight,"
    "relative_deviation,weight_error"
)


def training_length_rows(runs: int, epochs: int) -> Iterable[list[object]]:
    checkpoints = sorted({1, min(5, epochs), epochs})
    for setting, run, epoch in itertools.product(("n15", "n31"), range(runs), checkpoints):
        error = (1 + run) / epoch
        errors = [error, 1.2 * error, 0.3 * error, 0.4 / error]
        yield [setting, run, epoch, *errors, 0.01 * epoch, 0.1 * epoch, 0.1]


def attention_bias_rows(runs: int) -> Iterable[list[object]]:
    """Parts that fall as those of a ratio do; some biases come out below zero."""
    rng = np.random.default_rng(13)
    for setting, run, d_r, matrix, prompt in itertools.product(
        ("n15", "n31"), range(runs), D_R_GRID, ("attention", "output"), range(2)
    ):
        noise = 1e-4 / d_r * rng.standard_normal()
        parts = [1e-2 / d_r**2 + noise, 1e-2 / d_r]
        yield [setting, run, "independent", True, d_r, matrix, prompt, *parts]
        yield [setting, run, "simplex", False, FEATURES, matrix, prompt, 1.0, 1.0]


def families_rows(repeats: int) -> Iterable[list[object]]:
    """Errors that fall like a power of d_r, faster for each next family; one is far off."""
    rng = np.random.default_rng(9)
    for setting, (rank, family), matrix in itertools.product(
        ("n15", "n31"), enumerate(FAMILIES), ("kernel", "attention", "output")
    ):
        if family == "elu+1":
            yield [setting, family, "none", D, 0, matrix, 0.02, 0.1]
            continue
        for projection, d_r, repeat in itertools.product(LAWS, D_R_GRID, range(repeats)):
            level = 1e6 if family == "trigonometric" and matrix != "kernel" else 0.1
            power = 1 if matrix == "kernel" else 0.1 + 0.2 * rank
            error = level * (d_r / 12) ** -power * rng.lognormal(sigma=0.1)
            yield [setting, family, projection, d_r, repeat, matrix, error, error**0.5]


def closed_forms_rows() -> Iterable[list[object]]:
    for setting, family, projection, d_r in itertools.product(
        ("n15", "n31"), FAMILIES, LAWS, D_R_GRID
    ):
        if family != "elu+1" and (family, projection) != ("sderf", "simplex"):
            yield [setting, family, projection, d_r, 1.2 / d_r]


def requirements_rows() -> Iterable[list[object]]:
    needed = {"positive": 1200, "hyperbolic": 900, "oprf": 150, "sderf": 12}
    for setting, matrix, error, family, projection in itertools.product(
        ("n15", "n31"), ("attention", "output"), ("mse", "mae"), FAMILIES, LAWS
    ):
        reached = "no" if family not in needed else "at once" if family == "sderf" else "yes"
        d_r = needed[family] + len(projection) if family in needed else ""
        if family != "elu+1" or projection == LAWS[0]:
            law = "none" if family == "elu+1" else projection
            yield [setting, matrix, error, family, law, reached, d_r]


def write_tables(
    folder: Path, runs: int, prompts: int, repeats: int, epochs: int
) -> dict[str, Path]:
    """All tables that figures read, by table name; the trajectories by setting and variant."""
    paths = {
        "approximation": write(
            folder / "approximation.csv",
            "setting,d_r,repeat,matrix,mse,mae",
            approximation_rows(repeats),
        ),
        "matrices": write(
            folder / "matrices.csv", "setting,d_r,matrix,row,column,value", matrices_rows()
        ),
        "diagram": write(folder / "diagram.csv", "matrix,row,column,value", diagram_rows()),
        "pretraining": write(
            folder / "pretraining.csv",
            "setting,variant,run,epoch,train_mse,test_mse",
            pretraining_rows(runs, epochs),
        ),
        "families": write(
            folder / "families.csv",
            "setting,family,projection,d_r,repeat,matrix,mse,mae",
            families_rows(repeats),
        ),
        "family_closed_forms": write(
            folder / "family_closed_forms.csv",
            "setting,family,projection,d_r,mse",
            closed_forms_rows(),
        ),
        "family_requirements": write(
            folder / "family_requirements.csv",
            "setting,matrix,error,family,projection,reached,d_r",
            requirements_rows(),
        ),
        "controls": write(
            folder / "controls.csv",
            "setting,run,prompt,predictor,prediction,y_true,squared_error",
            controls_rows(runs, prompts),
        ),
        "solutions": write(
            folder / "solutions.csv",
            "setting,run,value_cosine,zero_shot_share",
            solutions_rows(runs),
        ),
        "attention_bias": write(
            folder / "attention_bias.csv",
            "setting,run,projection,trained,d_r,matrix,prompt,bias2,variance",
            attention_bias_rows(runs),
        ),
        "training_length": write(
            folder / "training_length.csv",
            TRAINING_LENGTH_HEADER,
            training_length_rows(runs, epochs),
        ),
    }
    for setting, variant, demonstrations, alpha in (
        ("n15", "softmax", 15, None),
        ("n31", "softmax", 31, None),
        ("n15", "regularized_eq14_alpha0.01", 15, 0.01),
    ):
        paths[f"{setting}/{variant}"] = write(
            folder / "trajectories" / setting / f"{variant}.csv",
            TRAJECTORY_HEADER,
            trajectory_rows(setting, variant, demonstrations, runs, prompts, alpha),
        )
    return paths


ONE_RUN = {"setting": "n15", "variant": "softmax", "run": 0}
ONE_PROMPT = {"setting": "n15", "variant": "softmax", "run": 0, "prompt": 0}
CONFIGS: dict[str, dict[str, Any]] = {
    "figure_1": ONE_PROMPT,
    "figure_2": ONE_PROMPT,
    "figure_3": ONE_RUN | {"d_r": 1200},
    "figure_4": {"setting": "n15", "d_r": 1200},
    "figure_5": {
        "setting": "n15",
        "regularized": {
            "base": plain("softmax"),
            "eq15": regularized("eq15"),
            "eq14": regularized("eq14"),
        },
        "augmented": {"base": plain("softmax_lr0.005"), "variants": AUGMENTED},
        "negative": {"base": plain("softmax_lr0.005"), "variants": NEGATIVE},
    },
    "figure_6": {"setting": "n15"},
    "figure_7": {"setting": "n15"},
    "figure_8": ONE_RUN | {"setting": "n31"},
    "figure_9": {"setting": "n31", "d_r": 1200},
    "figure_10": ONE_RUN | {"variant": "regularized_eq14_alpha0.01"},
    "multitask": {
        "setting": "n15_multitask",
        "variant": "softmax",
        "base": "n15",
        "task": {"d_x": D_X, "d_y": 1},
    },
    "cosine": {"setting": "n15", "variant": "softmax"},
    "families": {
        "setting": "n15",
        "features": {"family": "positive", "projection": "independent", "d_r": 1200},
    },
    "controls": {},
    "bias": {"setting": "n15", "d_r": 1200},
    "training_length": {
        "epochs": {"n15": 5, "n31": 3, **{f"a_long_name_of_a_setting_{i}": 5 for i in range(6)}}
    },
}


# Which table each option of a figure's command line takes, by the names of `write_tables`.
TABLES: dict[str, dict[str, str]] = {
    "figure_1": {"diagram": "diagram"},
    "figure_2": {"diagram": "diagram"},
    "figure_3": {"trajectory": "n15/softmax", "approximation": "approximation"},
    "figure_4": {"matrices": "matrices"},
    "figure_5": {"pretraining": "pretraining"},
    "figure_6": {"matrices": "matrices"},
    "figure_7": {"matrices": "matrices"},
    "figure_8": {"trajectory": "n31/softmax"},
    "figure_9": {"matrices": "matrices"},
    "figure_10": {"trajectory": "n15/regularized_eq14_alpha0.01"},
    "multitask": {"pretraining": "pretraining"},
    "cosine": {"trajectory": "n15/softmax"},
    "families": {
        "families": "families",
        "family_closed_forms": "family_closed_forms",
        "family_requirements": "family_requirements",
    },
    "controls": {"controls": "controls", "solutions": "solutions"},
    "bias": {"attention_bias": "attention_bias"},
    "training_length": {"training_length": "training_length"},
}
FIGURES = sorted(CONFIGS)
