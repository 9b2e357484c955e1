"""A server that answers HTTP badly: never, with garbage, drop by drop, without an end, or by sending callers on."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Rude:
    """Its port, the first lines of requests, and the number of bytes of answers that it could send."""

    port: int = 0
    lines: list[str] = field(default_factory=list)
    sent: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def asked(self) -> int:
        return len(self.lines)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def say(self, client: socket.socket, text: bytes) -> None:
        client.sendall(text)
        self.sent += len(text)


def silent(rude: Rude, _client: socket.socket) -> None:
    rude.ended.wait()


def garbled(rude: Rude, client: socket.socket) -> None:
    rude.say(client, b"\x00\xff garbage\r\n\r\n" * 10)


def dripping(rude: Rude, client: socket.socket) -> None:
    rude.say(client, b"HTTP/1.1 200 OK\r\nX-A: ")
    while not rude.ended.wait(0.5):
        rude.say(client, b"b")


def endless(rude: Rude, client: socket.socket) -> None:
    rude.say(client, b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while not rude.ended.is_set():
        rude.say(client, b"x" * 65_536)


def redirecting(rude: Rude, client: socket.socket) -> None:
    head = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {rude.url}/elsewhere\r\nContent-Length: 0\r\n\r\n"
    rude.say(client, head.encode())


@contextmanager
def answering(badly: Callable[[Rude, socket.socket], None]) -> Iterator[Rude]:
    """Listen for as long as the block lasts."""
    rude = Rude()

    def serve(client: socket.socket) -> None:
        with client, suppress(OSError):
            rude.lines.append(client.recv(65_536).partition(b"\r\n")[0].decode("latin-1"))
            badly(rude, client)

    def listen() -> None:
        with suppress(OSError):
            while True:
                client, _ = server.accept()
                client.settimeout(30)
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        rude.port = server.getsockname()[1]
        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        yield rude
        rude.ended.set()
        server.shutdown(socket.SHUT_RDWR)
    listener.join()
