"""Have the server of `preloaded.py` run a module, as ``python -m`` would, but in a fork.

    forked.py PYTHON -m MODULE ARGUMENT...

It imports hardly anything, since it starts for every job of a run.
"""

import _socket
import marshal
import os
import sys
from array import array


def ask(python: str, arguments: list[str]) -> int:
    """The exit status of the module."""
    files = [file for file in map(int, os.listdir("/dev/fd")) if _is_open(file)]  # noqa: PTH208
    request = arguments, os.getcwd(), dict(os.environ), files  # noqa: PTH109
    sent = marshal.dumps(request)
    server = _socket.socket(_socket.AF_UNIX)
    server.connect(f"{python}.socket")
    passed = _socket.SOL_SOCKET, _socket.SCM_RIGHTS, array("i", files)
    server.sendmsg([len(sent).to_bytes(4, "big")], [passed])
    server.sendall(sent)
    status = server.recv(1)
    return status[0] if status else 1  # a process that was killed has sent none


def _is_open(file: int) -> bool:
    try:
        os.fstat(file)
    except OSError:
        return False  # it was that which listed them
    return True


if __name__ == "__main__":
    sys.exit(ask(sys.argv[1], sys.argv[2:]))
