"""Programs that start at once: forked by a process that has imported what takes seconds.

`folder()` holds a `dvc`, a `trustmia` and a `python` that do what the real ones do, in a process
of their own with the caller's folder, environment and streams. But for what interpreters and
libraries read from the environment as they start, and signals: these take the real ones.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import shlex
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import traceback
from importlib.metadata import entry_points
from pathlib import Path

LIBRARIES = (
    *("PIL.JpegImagePlugin", "altair", "celery.app", "configobj", "dateutil", "dvc.api"),
    *("dvclive.live", "jinja2", "kombu.transport.filesystem", "matplotlib.figure", "requests"),
    *("pandas.core.reshape.reshape", "pandas.io.formats.csvs", "pyarrow.csv", "pyarrow.dataset"),
    *("pyarrow.pandas_compat", "pydantic.json_schema", "rich.json", "safetensors.torch"),
    *("scipy.optimize", "scipy.stats", "sklearn.manifold", "sklearn.metrics", "tabulate"),
    *("threadpoolctl", "torch._dynamo", "torch.func", "vl_convert", "voluptuous"),
)
PROGRAMS = ("dvc", "trustmia", "python")
# What stands for a program: `python` of a file, or a package's command.
SHIM = """#!/bin/sh
case {name}$1 in dvc*|trustmia*|python*.py) ;; *) exec {python} "$@" ;; esac
exec {python} -IS {client} {address} {name} "$@"
"""
CLIENT = """
import json, os, socket, sys
address, *command = sys.argv[1:]
with socket.socket(socket.AF_UNIX) as server:
    server.connect(address)
    socket.send_fds(server, [b" "], [0, 1, 2])
    with server.makefile("w") as request:
        print(json.dumps([os.getcwd(), dict(os.environ), command]), file=request)
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
    for name in PROGRAMS:
        (place / name).write_text(SHIM.format(name=name, **quoted))
        (place / name).chmod(0o755)
    settings = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "MPLBACKEND": "agg"}
    command = [sys.executable, __file__, str(address)]
    process = subprocess.Popen(command, env=settings, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    return str(place)


class Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """Forks for every client, and ends with the process that started it."""

    request_queue_size, max_children, parent = 64, 256, os.getppid()

    def service_actions(self) -> None:
        super().service_actions()
        if os.getppid() != self.parent:
            shutil.rmtree(Path(str(self.server_address)).parent)
            os._exit(0)


class Handler(socketserver.BaseRequestHandler):
    """Runs a program, tells its client how that ended, and ends it with its client."""

    def handle(self) -> None:
        streams = socket.recv_fds(self.request, 1, 3)[1]
        with self.request.makefile() as request:
            place, environment, command = json.loads(request.readline())
        program = os.fork()
        if not program:
            self.request.close()
            _run(place, environment, command, streams)
        for stream in streams:
            os.close(stream)
        threading.Thread(target=self._end_with_client, args=[program], daemon=True).start()
        code = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
        with contextlib.suppress(OSError):
            self.request.sendall(str(code % 256).encode())

    def _end_with_client(self, program: int) -> None:
        self.request.recv(1)
        with contextlib.suppress(ProcessLookupError):
            os.kill(program, signal.SIGKILL)


def _run(place: str, environment: dict[str, str], command: list[str], streams: list[int]) -> None:
    """Run a program, and leave without taking apart what all libraries have made."""
    code = 1
    try:
        _start(place, environment, command, streams)
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


def _start(place: str, environment: dict[str, str], command: list[str], streams: list[int]) -> None:
    for stream, standard in zip(streams, range(3)):
        os.dup2(stream, standard)
        os.close(stream)
    os.chdir(place)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:1] = environment.get("PYTHONPATH", "").split(os.pathsep)
    name, *arguments = command
    sys.argv = arguments if name == "python" else command
    if name == "python":
        sys.path.insert(0, str(Path(arguments[0]).parent))
        runpy.run_path(arguments[0], run_name="__main__")
    else:
        sys.exit(entry_points(group="console_scripts")[name].load()())


if __name__ == "__main__":
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()
    with Server(sys.argv[1], Handler) as server:
        print("ready", flush=True)
        server.serve_forever()
