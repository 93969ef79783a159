"""A Python that has loaded what Snakemake and the steps import, which takes most of their time.

    preloaded.py PYTHON     forks for each request that `forked.py PYTHON` sends

A fork has the folder, the environment and the open files of whoever asks for it.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import marshal
import os
import runpy
import signal
import socket
import sys
import traceback
import weakref
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

LENGTH = 4  # bytes that say how long a request is
MOST_FILES = 253  # that Linux passes on at once

LIBRARIES: dict[str, tuple[str, ...]] = {
    "numpy": (),
    "llvmlite": (),
    "safetensors": (),
    "scipy": ("numpy",),
    "pandas": ("numpy",),
    "numba": ("llvmlite", "numpy", "scipy"),
    "torch": ("numpy",),
    "matplotlib": ("numpy",),
    "seaborn": ("matplotlib", "pandas", "scipy"),
}
"""Those that artifacts name if they were loaded, and which others each of them loads."""


def serve(python: str) -> None:
    """Fork for each request, as long as the parent lives."""
    parent = os.getppid()
    for name in ("snakemake.cli", "smart_open", "jsonschema", *LIBRARIES):
        import_module(name)
    import_module("snakemake.cli").get_argument_parser()  # it imports all plugins
    for one in weakref.finalize._registry:  # type: ignore[attr-defined]  # noqa: SLF001
        one.atexit = False  # else each fork ends all that is loaded here, which takes long
    loaded = Loaded()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{python}.unready")
        listener.listen()
        os.rename(f"{python}.unready", f"{python}.socket")  # noqa: PTH104 - whoever sees it may ask
        listener.settimeout(10)
        while os.getppid() == parent:
            try:
                client, _ = listener.accept()
            except TimeoutError:
                continue
            with client:
                length, files, *_ = socket.recv_fds(client, LENGTH, MOST_FILES)
                sent = client.recv(int.from_bytes(length, "big"), socket.MSG_WAITALL)
                if not os.fork():
                    try:
                        sys.meta_path.insert(0, loaded)
                        run(python, client.fileno(), files, *marshal.loads(sent))  # noqa: S302
                    finally:
                        os._exit(1)  # whoever asked is gone
                for file in files:
                    os.close(file)


class Loaded(Loader, MetaPathFinder):
    """Libraries that are loaded, but seem not to be until they are imported."""

    def __init__(self) -> None:
        names = [name for name in sys.modules if name.partition(".")[0] in LIBRARIES]
        self.modules = {name: sys.modules.pop(name) for name in names}
        self.specs = {name: self.modules[name].__spec__ for name in LIBRARIES}

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in self.modules else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.modules.pop(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        module.__spec__ = self.specs[name]
        parts = [one for one in self.modules if one.startswith(f"{name}.")]
        sys.modules.update({one: self.modules.pop(one) for one in parts})
        for other in LIBRARIES[name]:
            import_module(other)


def run(
    python: str,
    client: int,
    files: Sequence[int],
    arguments: Sequence[str],
    folder: str,
    environment: Mapping[str, str],
    numbers: Sequence[int],
) -> None:
    """Do what ``python -m MODULE ARGUMENT...`` does, and end this process."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    above = 1 + max(client, *files, *numbers)
    answer, *files = (fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, above) for one in (client, *files))
    os.closerange(0, above)
    for file, number in zip(files, numbers, strict=True):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    before = [] if "PYTHONSAFEPATH" in environment else [folder]
    sys.path[:1] = before + [one for one in environment.get("PYTHONPATH", "").split(":") if one]
    sys.executable, sys.argv = python, list(arguments[1:])
    status = 0
    try:
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    atexit._run_exitfuncs()  # noqa: SLF001 - and nothing else: to unload it all takes long, too
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(answer, bytes([status % 256]))
    os._exit(status)


if __name__ == "__main__":
    serve(sys.argv[1])
