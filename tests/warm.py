"""Programs that start at once: forked by a process that has imported what takes seconds.

`folder()` holds a `dvc`, a `trustmia` and a `python` that do what the real ones do, in a process
of their own with the caller's folder, environment and streams. But for what interpreters and
libraries read from the environment as they start, and signals: these take the real ones.
"""

import array
import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

LIBRARIES = (
    *("PIL.JpegImagePlugin", "altair", "configobj", "dvc.cli.parser", "dvc.dirs", "dvc_data.index"),
    *("dvc.repo.experiments.queue.celery", "dvclive.live", "jinja2", "matplotlib.figure"),
    *("pandas.core.reshape.reshape", "pandas.io.formats.csvs", "pyarrow.csv", "pyarrow.dataset"),
    *("pyarrow.pandas_compat", "pydantic.json_schema", "rich.json", "safetensors.torch"),
    *("scipy.optimize", "scipy.stats", "sklearn.manifold", "sklearn.metrics", "tabulate"),
    *("threadpoolctl", "torch._dynamo", "torch.func", "vl_convert", "yaml"),
)
# What stands for a program: `python` of a file, or a package's command.
SHIM = """#!/bin/sh
case {name}$1 in dvc*|trustmia*|python*.py) ;; *) exec {python} "$@" ;; esac
exec {python} -IS {client} {address} {name} "$@"
"""
CLIENT = """
import array, json, os, socket, sys
address, *command = sys.argv[1:]
with socket.socket(socket.AF_UNIX) as server:
    server.connect(address)
    request = json.dumps([os.getcwd(), dict(os.environ), command]).encode()
    streams = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))
    server.sendmsg([len(request).to_bytes(8, "big")], [streams])
    server.sendall(request)
    sys.exit(int(server.recv(16) or 1))
"""


@functools.cache
def folder() -> str:
    """Return the folder of the programs, once the process that forks them has started."""
    place = Path(tempfile.mkdtemp(prefix="warm-"))
    client, address = place / "client.py", place / "socket"
    client.write_text(CLIENT)
    paths = {"python": sys.executable, "client": client, "address": address}
    quoted = {name: shlex.quote(str(path)) for name, path in paths.items()}
    for name in ("dvc", "trustmia", "python"):
        (place / name).write_text(SHIM.format(name=name, **quoted))
        (place / name).chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, __file__, str(address)],
        env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "MPLBACKEND": "agg"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    atexit.register(shutil.rmtree, place)
    atexit.register(process.communicate)
    return str(place)


class Server:
    """Forks for its clients, tells them how that ended, and ends what a client leaves behind."""

    def __init__(self, address: str) -> None:
        self.ended, self.signalled = socket.socketpair()
        self.signalled.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.signalled.fileno())
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(address)
        self.listener.listen()
        self.clients: dict[int, socket.socket] = {}
        self.waiting = selectors.DefaultSelector()
        for source in (sys.stdin, self.listener, self.ended):
            self.waiting.register(source, selectors.EVENT_READ)

    def next_program(self) -> Callable[[], None]:
        """Return what to do in a process that was forked for it."""
        while True:
            for key, _ in self.waiting.select():
                if key.fileobj is sys.stdin:
                    os._exit(0)
                elif key.fileobj is self.ended:
                    self.ended.recv(4096)
                    self._answer()
                elif key.fileobj is not self.listener:
                    self.waiting.unregister(key.fileobj)
                    os.kill(key.data, signal.SIGKILL)
                elif program := self._fork():
                    return program

    def _fork(self) -> Callable[[], None] | None:
        client, _ = self.listener.accept()
        request, streams = _read(client)
        if child := os.fork():
            for stream in streams:
                os.close(stream)
            self.clients[child] = client
            self.waiting.register(client, selectors.EVENT_READ, child)
            return None
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.waiting.close()
        for other in (self.listener, self.ended, self.signalled, client, *self.clients.values()):
            other.close()
        return lambda: _start(request, streams)

    def _answer(self) -> None:
        while self.clients:
            child, status = os.waitpid(-1, os.WNOHANG)
            if not child:
                return
            with self.clients.pop(child) as client, contextlib.suppress(KeyError, OSError):
                client.sendall(str(os.waitstatus_to_exitcode(status) % 256).encode())
                self.waiting.unregister(client)


def _read(client: socket.socket) -> tuple[list[Any], list[int]]:
    head, control, *_ = client.recvmsg(8, socket.CMSG_SPACE(3 * array.array("i").itemsize))
    with client.makefile("rb") as stream:
        request = json.loads(stream.read(int.from_bytes(head, "big")))
    return request, list(array.array("i", control[0][2]))


def _start(request: list[Any], streams: list[int]) -> None:
    place, environment, command = request
    for stream, standard in zip(streams, range(3)):
        os.dup2(stream, standard)
        os.close(stream)
    os.chdir(place)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:1] = environment.get("PYTHONPATH", "").split(os.pathsep)
    name, *arguments = command
    if name == "python":
        sys.argv = arguments
        sys.path.insert(0, str(Path(arguments[0]).parent))
        runpy.run_path(arguments[0], run_name="__main__")
    else:
        sys.argv = command
        sys.exit(importlib.import_module(f"{name}.cli").main())


def _run(program: Callable[[], None]) -> None:
    """Run a program, and leave without taking apart what all libraries have made."""
    code = 1
    try:
        program()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.main_thread():
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()
    server = Server(sys.argv[1])
    print("ready", flush=True)
    _run(server.next_program())
