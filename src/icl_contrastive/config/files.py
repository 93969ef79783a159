"""What a config file no longer shows once it is read."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from icl_contrastive.config.schema import ConfigError, show

MOST_VALUES = 1_000_000
"""In a config file, with its aliases written out."""

_ANOTHER_NUMBER = re.compile(r"[-+]?(0[0-7_]+|[0-9_.:]+:[0-9_.:]+)")
"""What YAML 1.1 reads in base 8 or 60: 0777 as 511, 1:30 as 90."""


def check_file(path: str | Path) -> None:
    """Raise ConfigError for what can no longer be seen once a config file has been read.

    These are a key given twice, of which YAML readers keep one without a word, a value that
    contains itself, aliases that grow beyond all bounds, numbers that YAML does not read as they
    look, values that Snakemake's reader would run as Python, and a file that cannot be read or is
    no YAML.
    """
    import yaml

    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        with suppress(ValueError):  # Snakemake takes JSON, too, which may have tabs
            json.loads(text)
            text = text.replace("\t", " ")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError([f"{path.name}: cannot be read: {_brief(error)}"]) from None
    if not isinstance(root, yaml.MappingNode):
        found = {type(None): "nothing", yaml.SequenceNode: "a list"}.get(type(root), "one value")
        raise ConfigError([f"{path.name}: {found} is not allowed; must be a mapping of keys"])

    sizes: dict[int, int] = {}  # of the nodes that have been walked, with aliases written out

    def walk(node: yaml.Node, at: str, above: tuple[yaml.Node, ...]) -> Iterator[str]:
        if any(node is outer for outer in above):
            yield f"{at}: contains itself, in {path.name}; must be a value of its own"
            return
        if id(node) in sizes:
            return
        inner: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            inner = node.value
            for i, item in enumerate(node.value):
                yield from walk(item, f"{at}[{i}]", (*above, node))
        elif isinstance(node, yaml.MappingNode):
            inner = [value for _, value in node.value]
            lines: dict[str, int] = {}
            for key_node, value in node.value:
                key, line = str(key_node.value), key_node.start_mark.line + 1
                here = f"{at}.{key}" if at else key
                if key in lines:
                    where = f"in lines {lines[key]} and {line} of {path.name}"
                    yield f"{here}: given twice, {where}; must be there once"
                lines[key] = line
                yield from walk(value, here, (*above, node))
        else:
            try:
                value = yaml.SafeLoader("").construct_object(node)
            except (ValueError, yaml.YAMLError) as error:
                yield f"{at}: {show(node.value)} cannot be read, in {path.name}: {_brief(error)}"
            else:
                if isinstance(value, int | float) and _ANOTHER_NUMBER.fullmatch(node.value):
                    yield (
                        f"{at}: {node.value} is not allowed, in {path.name}; YAML reads it as "
                        f"{value}: write that, or quotes around it if it is text"
                    )
        sizes[id(node)] = 1 + sum(sizes.get(id(value), 0) for value in inner)

    problems = list(walk(root, "", ()))
    if any(key.value == "__use_yte__" for key, _ in root.value):
        problems.append(f"__use_yte__: not allowed in {path.name}; it would be run as a program")
    if sizes[id(root)] > MOST_VALUES:
        most = f"must be at most {MOST_VALUES}"
        problems.append(f"{path.name}: {sizes[id(root)]} values with aliases written out; {most}")
    if not problems:
        try:
            yaml.SafeLoader("").construct_document(root)
        except (ValueError, RecursionError, yaml.YAMLError) as error:
            problems.append(f"{path.name}: cannot be read: {_brief(error)}")
    if problems:
        raise ConfigError(problems)


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())
