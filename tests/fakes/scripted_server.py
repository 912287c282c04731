"""An HTTP server that does what it is told with each request, well or badly."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

DIE = "die"
"""Read the request, close the connection without a word."""
HANG = "hang"
"""Read the request and say nothing."""


@dataclass
class ScriptedServer:
    """Takes the script's next step for each request; after its end, the last step for ever.

    A step is DIE, HANG, or ``(status, body)``; with a third element, any, the connection is closed
    right after the reply, without having said so.
    """

    script: list
    tls: object = None
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self._port}"

    @contextlib.contextmanager
    def running(self) -> Iterator["ScriptedServer"]:
        self._open: list[socket.socket] = []
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._port = listener.getsockname()[1]
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
            try:
                yield self
            finally:
                listener.shutdown(socket.SHUT_RDWR)
                for connection in self._open:
                    connection.close()

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self.connections += 1
                self._open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            stack.enter_context(connection)
            reader = stack.enter_context(connection.makefile("rb"))
            while request := _read(reader):
                self.requests.append(request)
                step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                if step == DIE:
                    return
                if step == HANG:
                    continue
                status, body, *close = step
                connection.sendall(
                    b"HTTP/1.1 %d Told\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)
                )
                if close:
                    return


def _read(reader) -> bytes:
    """One request, head and body; empty at the end of the connection."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = reader.readline()
        if not line:
            return b""
        head += line
    length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return head + reader.read(int(length[0].partition(b":")[2]) if length else 0)
