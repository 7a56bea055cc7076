"""A file server on loopback that can resume, refuse, break off and lie."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """What is served, how, and what was asked.

    Attributes:
        files: Path on the server → content.
        url: Address of the server.
        resumes: Whether it honours `Range`.
        break_after: Bytes after which each of the next answers is cut off, one per answer.
        failures: How many of the next answers are 503.
        asked: Path and `Range` header of every request.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    url: str = ""
    resumes: bool = True
    break_after: list[int] = field(default_factory=list)
    failures: int = 0
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a GET request."""
        wanted = request.headers.get("Range")
        self.asked.append((request.path, wanted))
        content = self.files.get(request.path, b"")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.resumes else 0
        if self.failures or start >= len(content):
            request.send_error(503 if self.failures else 416 if content else 404)
            self.failures = max(0, self.failures - 1)
            return
        body = content[start:]
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if self.break_after:
            body = body[: self.break_after.pop(0)]
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            request.wfile.write(body)


@contextlib.contextmanager
def serving(files: dict[str, bytes]) -> Iterator[FileServer]:
    """Serve files by their paths, e.g. `/cifar-10-python.tar.gz`, until the block ends."""
    state = FileServer(files)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
