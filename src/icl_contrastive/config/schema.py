"""What each key of a config may say, and how to tell a user what is wrong with one.

Every problem is one line: the key, its value, and what is allowed there.
"""

from __future__ import annotations

import datetime
import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema import ValidationError

Schema = Mapping[str, Any]


LONGEST_LINE = 2000
"""Of a message: what is longer loses its middle."""

RENAMED = {
    "pretraining.scaling": "pretraining.normalization, scaled for true and none for false",
    "ablations.scaling": "ablations.normalization, scaled for true and none for false",
    "pretraining.epochs": "epochs, under each of the settings",
    **{
        f"figures.figure_{number}.prompt": "left out: the prompt with the median error is shown"
        for number in (3, 8, 10)
    },
    "training_length.epochs": "training_length.settings, a mapping of settings to epochs",
}
"""Keys of older configs, and what says the same now."""

LARGEST_INTEGER = 2**63 - 1


class ConfigError(ValueError):
    """A config that cannot be run; the message has one line for each problem."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = [_one_line(problem) for problem in problems]
        super().__init__(
            "error: the config is not valid\n" + "\n".join(f"  {p}" for p in self.problems)
        )


def _one_line(text: str) -> str:
    """The text without control characters, and long names in it cut: it may be anyone's."""
    line = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    line = re.sub(r"\S{200,}", lambda word: f"{word[0][:80]}…", line)
    if len(line) > LONGEST_LINE:
        line = f"{line[: LONGEST_LINE // 2]} … {line[-LONGEST_LINE // 2 :]}"
    return line


def without_nulls(
    config: Mapping[str, Any], base: Mapping[str, Any], schema: Schema
) -> dict[str, Any]:
    """Copy of a config without what a null takes away of the one that it overrides.

    Only what may be missing and has no default can be taken away: a name that the user chooses, a
    figure, an optional section. Any other null stays, for the schema to refuse.

    Args:
        config: with the overrides.
        base: the config that is overridden.
        schema: of both.
    """

    def keep(value: Any, base: Any, part: Schema) -> Any:
        if not isinstance(value, Mapping) or not isinstance(base, Mapping):
            return value
        own, others = part.get("properties", {}), part.get("additionalProperties") or {}
        kept = {}
        for key, inner in value.items():
            known = _resolve(own.get(key, others), schema)
            needed = key in part.get("required", ()) or "default" in known or not known
            if inner is not None or needed or base.get(key) is None:
                kept[key] = keep(inner, base.get(key), known)
        return kept

    kept: dict[str, Any] = keep(config, base, schema)
    return kept


def with_defaults(config: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """Copy of a valid config with the schema's defaults filled in, keys in the schema's order.

    The order makes whatever follows from the config independent of the order in which a user lists
    hyperparameters. Names that the user chooses keep theirs.
    """

    def fill(value: Any, part: Schema) -> Any:
        if not isinstance(value, Mapping):
            return value
        properties = part.get("properties", {})
        if "model" in properties:  # of variants: each kind of model has hyperparameters of its own
            if value["model"] not in schema["$defs"]:
                section = f"$defs.{value['model']}"
                raise ConfigError([f"the schema has the model, but not its keys: add {section}"])
            properties = schema["$defs"][value["model"]]["properties"] | properties
        filled = {}
        for key, inner in properties.items():
            resolved = _resolve(inner, schema)
            if key in value or "default" in resolved:
                filled[key] = fill(value.get(key, resolved.get("default")), resolved)
        for key in value:
            if key not in properties:
                filled[key] = fill(value[key], _resolve(part["additionalProperties"], schema))
        return filled

    filled: dict[str, Any] = fill(config, schema)
    return filled


def problems(config: Mapping[str, Any], schema: Schema) -> list[str]:
    """What is wrong with a config, key by key."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    if found := list(_not_json(config)):
        return found  # the schema is about JSON
    # JSON Schema takes 10.0 for an integer, and Python does not.
    types = Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    )
    validator = extend(Draft202012Validator, type_checker=types)(schema)  # type: ignore[no-untyped-call]
    lines = (line for error in validator.iter_errors(config) for line in _explain(error, schema))
    return list(dict.fromkeys(lines))


def _not_json(value: Any, key: str = "") -> Iterator[str]:
    """What YAML can say and the program cannot: keys that are no text, numbers without bounds."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            here = f"{key}.{name}" if key else f"{name}"
            if not isinstance(name, str):
                yield f"{here}: the key {name!r} is not allowed; must be text, perhaps in quotes"
            yield from _not_json(inner, here)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _not_json(inner, f"{key}[{i}]")
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{key}: {value} is not allowed; must be a finite number"
    elif isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        about = f"an integer of {value.bit_length()} bits"
        yield f"{key}: {about} is not allowed; must be an integer below 2^63"


def _explain(error: ValidationError, schema: Schema) -> Iterator[str]:
    """A line for each problem that one error of the schema stands for."""
    path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path)
    key = path.removeprefix(".")
    below = f"{key}." if key else ""
    value: Any = error.instance
    here: Any = error.schema
    if "propertyNames" in error.schema_path:
        must = f"must have {_allowed(here, schema)}"
        yield f"{below}{value}: the name {value!r} is not allowed; {must}"
    elif error.validator == "additionalProperties":
        known = here["properties"]
        for name in value:
            if new := RENAMED.get(f"{below}{name}"):
                yield f"{below}{name}: no longer a key; must be {new}"
            elif name not in known:
                must = f"be {one_of(known, name)}" if known else "be left out"
                yield f"{below}{name}: unknown key; must {must}"
    elif error.validator == "required":
        for name in here["required"]:
            if name not in value:
                missing = _resolve(here.get("properties", {}).get(name, {}), schema)
                yield f"{below}{name}: missing; must be there, {_allowed(missing, schema)}"
    else:
        hint = _not_text(value, here) if error.validator in ("type", "const") else ""
        must = f"must be {_allowed(here, schema)}{hint}"
        yield f"{key or 'config'}: {show(value)} is not allowed; {must}"


def _resolve(part: Schema, schema: Schema) -> Schema:
    if "$ref" not in part:
        return part
    definition: Schema = schema["$defs"][part["$ref"].removeprefix("#/$defs/")]
    return {**definition, **{key: value for key, value in part.items() if key != "$ref"}}


_ALLOWED_BY_TAG = {
    "int": {"integer", "number"},
    "float": {"number"},
    "bool": {"boolean"},
    "null": {"object"},  # to take it away
}


def _not_text(value: Any, part: Schema) -> str:
    """What to do about text that looks like what the part of the schema allows."""
    import yaml

    types = {*as_list(part.get("type", "integer" if "const" in part else "object"))}
    if not isinstance(value, str) or not value:
        return ""
    power = re.fullmatch(r"([-+]?\d+)(\.\d*)?[eE]([-+]?\d+)", value, re.ASCII)
    if "number" in types and power:
        number = f"{power[1]}{power[2] or '.0'}e{int(power[3]):+d}"
        return f", not text (YAML takes {value} for text: write {number})"
    resolver: Any = yaml.SafeLoader("")
    tag = resolver.resolve(yaml.ScalarNode, value, (True, False)).rpartition(":")[2]
    if types.isdisjoint(_ALLOWED_BY_TAG.get(tag, ())):
        return ""
    return (
        ", not text: write it without quotes, and in a file (--configfile) rather than inside "
        "--config 'key={…}', which Snakemake reads as text"
    )


def _allowed(part: Schema, schema: Schema) -> str:
    """What a part of the schema allows, in words."""
    if "const" in part:
        return show(part["const"])
    if "enum" in part:
        return one_of(part["enum"])
    if "pattern" in part:
        most = part["maxLength"]
        return f"up to {most} letters, digits or _ . + -, the first a letter or digit"
    types = as_list(part.get("type", "object"))
    phrase = {
        "integer": "an integer",
        "number": "a number",
        "string": "text",
        "boolean": "true or false",
        "array": "a list",
        "object": "a mapping of keys to values",
    }[types[0]]
    if "maximum" in part:
        phrase += f" from {part['minimum']} to {part['maximum']}"
    elif "minimum" in part:
        phrase += f" of at least {part['minimum']}"
    elif "exclusiveMinimum" in part:
        phrase += f" above {part['exclusiveMinimum']}"
    elif "minLength" in part:
        phrase += " of at least one letter"
    elif "minProperties" in part:
        phrase += ", at least one"
    if types[0] == "array":
        phrase += " of at least one value" if "minItems" in part else ""
        phrase += ", none twice" if "uniqueItems" in part else ""
        phrase += f", each {_allowed(_resolve(part['items'], schema), schema)}"
    elif "array" in types:
        phrase += ", or a list of such values, none twice"
    return phrase


def one_of(names: Iterable[Any], wrong: str | None = None) -> str:
    """The names as a choice, with the one that a wrong name may have meant."""
    names = list(names)
    if not names:
        return "another, but there is none"
    return f"one of {listed(names)}{meant(wrong, names) if wrong is not None else ''}"


def meant(wrong: str, names: Iterable[str]) -> str:
    """A question after the name that is closest to a wrong one, if any is close."""
    close = difflib.get_close_matches(wrong, names, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys with the values that are no mappings."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from leaves(inner, f"{key}.{name}" if key else name)
    else:
        yield key, value


def listed(values: Iterable[Any]) -> str:
    """The values with commas between them."""
    return ", ".join(str(value) for value in values)


def as_list(value: Any) -> list[Any]:
    """A value of a grid as the list of its values."""
    return value if isinstance(value, list) else [value]


def show(value: Any, limit: int = 80) -> str:
    """The value as Python writes it, cut to a line."""
    if value is None or isinstance(value, datetime.date):  # as YAML has them
        return str(value or "null")
    text = repr(dict(value) if isinstance(value, Mapping) else value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
