"""``python -m icl_contrastive.figures NAME``: the figure that the module NAME here draws."""

import sys
from importlib import import_module
from importlib.util import find_spec

from icl_contrastive.figures.command import main

name, *arguments = sys.argv[1:] or [""]
module = f"icl_contrastive.figures.{name}"
if not name.isidentifier() or find_spec(module) is None:
    sys.exit(f"error: there is no figure {name!r}; must be a module in icl_contrastive/figures")
main(import_module(module).draw, arguments)
