"""Classes of the user's own, named in the config as ``module:Class``: ``my_features:Halton``.

The module is one that can be imported, or a file in the working directory.
"""

import re
import sys
from pathlib import Path
from pkgutil import resolve_name
from typing import TypeVar

T = TypeVar("T")

_NAME = r"[A-Za-z_]\w*"
_PLUG_IN = re.compile(rf"({_NAME}(?:\.{_NAME})*):{_NAME}", re.ASCII)


class PlugInError(ValueError):
    """A class that the config names and that there is not; the message says what is wrong."""


def plug_in_module(name: str) -> str | None:
    """The module in a name of the form ``module:Class``; None for any other text."""
    match = _PLUG_IN.fullmatch(name)
    return match and match[1]


def load_plug_in(name: str, base: type[T]) -> type[T]:
    """The class of a name ``module:Class``, which must be derived from ``base``.

    Nothing but the import of that module is run.

    Raises PlugInError, for one that lacks what ``base`` leaves to it too.
    """
    if plug_in_module(name) is None:
        raise PlugInError(f"{name!r} is not of the form module:Class")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # at the end: nothing there can stand in for an installed module
    try:
        found = resolve_name(name)
    except ImportError as error:
        raise PlugInError(
            f"the module of {name!r} cannot be imported ({error}); it must lie in the working "
            "directory or on PYTHONPATH"
        ) from error
    except AttributeError:
        found = None
    except Exception as error:  # the module is anyone's
        why = f"{type(error).__name__}: {error}"
        raise PlugInError(f"the module of {name!r} cannot be imported ({why})") from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise PlugInError(f"{name!r} is not a class derived from {base.__module__}.{base.__name__}")
    if lacking := sorted(getattr(found, "__abstractmethods__", ())):
        raise PlugInError(f"{name!r} lacks {', '.join(lacking)}")
    return found
