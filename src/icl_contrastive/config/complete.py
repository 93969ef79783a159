"""The parts of the schema that others say: models and their parameters, figures, decisions."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import MISSING, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from icl_contrastive.config.ablations import DECISIONS
from icl_contrastive.config.figure_files import ELSEWHERE, FIGURES
from icl_contrastive.config.multiverse import OF_EVERY_VARIANT, decision_schemas
from icl_contrastive.variants import Variant, models, variant_class

Schema = dict[str, Any]


def complete(schema: Mapping[str, Any]) -> Schema:
    """The schema of ``workflow/schemas`` with all models, figures and decisions.

    Without them it takes any name there, so that an editor that checks by it finds no fault.
    """
    whole = deepcopy(dict(schema))
    variant = whole["properties"]["variants"]["additionalProperties"]
    variant["properties"]["model"]["enum"] = models()
    variant["allOf"] = [
        {
            "if": {"required": ["model"], "properties": {"model": {"const": name}}},
            "then": {"$ref": f"#/$defs/{name}"},
        }
        for name in models()
    ]
    whole["$defs"] |= {name: _model(variant_class(name)) for name in models()}
    decisions = whole["properties"]["multiverse"]["properties"]["decisions"]
    decisions["properties"] = decision_schemas()
    ablations = whole["properties"]["ablations"]
    ablations["properties"] |= _ablations(whole["properties"]["pretraining"])
    figures = whole["properties"]["figures"]["properties"]
    for name, figure in FIGURES.items():
        if figure.keys is not None and name not in figures:
            keys = [key for key in figure.keys if key not in ELSEWHERE]
            figures[name] = {
                "description": figure.title,
                "type": "object",
                "additionalProperties": False,
                "required": [key for key in keys if "default" not in whole["$defs"][key]],
                "properties": {key: {"$ref": f"#/$defs/{key}"} for key in keys},
            }
    figures |= {name: figures.pop(name) for name in sorted(figures, key=_place)}
    for completed in (decisions, ablations, whole["properties"]["figures"]):
        completed["additionalProperties"] = False
    return whole


def _ablations(pretraining: Schema) -> Schema:
    """Of each decision a list of the values that it may have."""
    about_one = ("description", "default")
    return {
        name: {
            "description": f"Other values of pretraining.{name}.",
            "type": "array",
            "uniqueItems": True,
            "items": {key: value for key, value in part.items() if key not in about_one},
            "default": [],
        }
        for name, part in pretraining["properties"].items()
        if name in DECISIONS
    }


def _place(figure: str) -> tuple[int, str]:
    """Those of the paper come first, by number."""
    number = figure.removeprefix("figure_")
    return int(number) if number.isdigit() else len(FIGURES) + 1, figure


def _model(kind: type[Variant]) -> Schema:
    """What an entry of the kind may have: the parameters that its class itself declares."""
    hints = get_type_hints(kind, include_extras=True)
    own = [field for field in fields(kind) if field.name in vars(kind).get("__annotations__", {})]
    defaults = {one.name: one.default for one in own if one.default is not MISSING}
    return {
        "additionalProperties": False,
        "required": [one.name for one in own if one.name not in defaults],
        "properties": dict.fromkeys(OF_EVERY_VARIANT, True)
        | {
            one.name: _parameter(hints[one.name])
            | ({"default": defaults[one.name]} if one.name in defaults else {})
            for one in own
        },
    }


def _parameter(hint: Any) -> Schema:
    """The schema of a parameter; one that is a number may be a list of them, a grid."""
    bare, *more = get_args(hint) if hasattr(hint, "__metadata__") else (hint,)
    part: Schema = {key: value for one in more for key, value in one.items()}
    if get_origin(bare) is Literal:
        return part | {"enum": list(get_args(bare))}
    number = {int: "integer", float: "number"}[bare]
    item = {key: value for key, value in part.items() if key != "description"}
    grid = {"minItems": 1, "uniqueItems": True, "items": {"type": number} | item}
    return part | {"type": [number, "array"]} | grid
