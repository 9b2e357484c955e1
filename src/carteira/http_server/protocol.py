"""uvicorn's HTTP protocol within bounds, and beside it a lane for requests that are answered from their bytes alone.

The parser gets a head only when it is complete, so that its size, lines and time are bounded, and so that an `Upgrade`
to a protocol that this server does not speak can be hidden from it: the parser would take the body for another
protocol's. A request is parsed after the one before it is answered, so that a pipeline holds a few bytes and no more.
"""

import asyncio
import re
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from carteira.http_server.application import Application
from carteira.http_server.connections import MAX_HEAD_BYTES, MAX_HEAD_LINES, Bounds, Connections, refused
from carteira.http_server.refusals import ANSWERS, Refused

MAX_HELD_BYTES = 65_536
MIN_PROGRESS = 1024
"""Bytes of a body that must arrive in each window of `head_seconds`."""
MAX_UNREAD_BYTES = 32 * 1024 * 1024
"""The most bytes of a body that are read and discarded after its request is answered, or after a refusal."""
LINGER_SECONDS = 5.0
STALL_SECONDS = 60.0
"""The seconds that a client has to read what waits to be sent."""

_HEAD_END = b"\r\n\r\n"
_UPGRADE = re.compile(rb"\nupgrade(?=[ \t]*:)", re.IGNORECASE)
_NO_HTTP = re.compile(rb"[^A-Z]|[^\n]*[^\r\n]\n|\n")
"""Bytes that begin no request, or end its first line in a way that HTTP does not: the parser refuses them at once."""


class _Answer:
    """Writes a response; holds its head until the body arrives or the event loop's turn ends.

    Separate writes of head and body would be two system calls, and would wake the client twice.
    """

    __slots__ = ("_begun", "_head", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._begun = False
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        """Write data; the first piece is held."""
        if not self._begun:
            self._begun = True
            self._head = data
            self._loop.call_soon(self.flush)
        elif self._head is None:
            self._transport.write(data)
        else:
            head, self._head = self._head, None
            self._transport.writelines((head, data))

    def flush(self) -> None:
        """Write the held data."""
        if self._head is not None:
            head, self._head = self._head, None
            self._transport.write(head)

    def close(self) -> None:
        """Close the connection once everything is sent."""
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Return whether the connection is closed or is being closed."""
        return self._transport.is_closing()


class LaneProtocol(HttpToolsProtocol):
    """One connection. Between two requests, data that begins like the lane's requests is offered to the lane first.

    While the lane has a request, further data waits; at shutdown the connection is closed after the answer. Two timers,
    for idle connections and for the other bounds, run on and compare the time when they are due: stopping and starting
    one for each request would cost a tenth of what the lane does. The second one runs only while the client owes data.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's own signature
        super().__init__(*args, **kwargs)
        app: object = self.app
        while not isinstance(app, Application) and hasattr(app, "app"):
            app = app.app
        self._lane = app.lane if isinstance(app, Application) else None
        self._peers = app.connections if isinstance(app, Application) else Connections(Bounds())
        self._bounds = self._peers.bounds
        self.timeout_keep_alive = self._bounds.keep_alive_seconds  # type: ignore[assignment] # uvicorn asks for whole seconds, and never looks
        self._in_lane = False
        self._stopping = False
        self._answered_at = 0.0
        self._held = bytearray()
        self._head = bytearray()
        self._searched = 0
        self._parses_head = False
        self._reading = False  # a body, or bytes that the parser takes for one
        self._body_left: int | None = 0
        self._body_end = b""
        self._sent = self._delivered = self._delivered_before = 0
        self._was_excused = self._refused = False
        self._thrown_away = 0
        self._due: float | None = None
        self._answer: _Answer | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn does
        """Count the connection, and wait for its first byte."""
        super().connection_made(transport)
        reason = self._peers.admit(self._address)
        if reason is None:
            self._expect()
        else:
            self._refused = True
            refused.labels(reason.value).inc()
            transport.write(ANSWERS[reason])
            transport.close()

    @property
    def buffered(self) -> int:
        """Bytes held of requests that have not begun."""
        return len(self._head) + len(self._held)

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else ""

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the connection."""
        self._peers.release(self._address)
        for timer in (self._watch, self._stalled):
            if timer is not None:
                timer.cancel()
        self._watch = self._stalled = None
        self._due = None
        self._unset_keepalive_if_required()
        self._held.clear()
        self._head.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read data from the connection."""
        if self._refused:
            self._discard(len(data))
        elif self._in_lane or not (self._reading or self._is_idle()):
            self._buffer_data(data)
        elif self._reading or self._head or not self._offer(data):
            self._process(data)

    def _is_idle(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _buffer_data(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > MAX_HELD_BYTES:
            self.flow.pause_reading()

    def _process_buffered(self) -> None:
        """Process the data that arrived while a request was being answered."""
        if self._held and not self.transport.is_closing():
            held = bytes(self._held)
            self._held.clear()
            self.flow.resume_reading()
            self.data_received(held)

    # Requests

    def _process(self, data: bytes) -> None:
        """Process bytes of bodies and heads; hold what follows a request that is being answered."""
        while data and not self._refused and not self.transport.is_closing():
            if self._reading:
                data = self._read_body(data)
            elif self._is_idle():
                data = self._read_head(data)
            else:
                self._buffer_data(data)
                return

    def _read_head(self, data: bytes) -> bytes:
        """Collect a head, and parse it once it is complete; return the bytes after it."""
        head = self._head
        if not head:
            data = data.lstrip(b"\r\n")  # blank lines before a request are ignored, and do not extend its time-out
            if not data:
                return b""
            self._unset_keepalive_if_required()
            self._expect()
        head += data
        end = head.find(_HEAD_END, self._searched, MAX_HEAD_BYTES)
        if end < 0 and len(head) < MAX_HEAD_BYTES:
            if not self._searched and _NO_HTTP.match(head):
                self._parse_head(bytes(head))
            self._searched = max(0, len(head) - len(_HEAD_END) + 1)
            return b""
        if end < 0 or head.count(b"\n", 0, end) >= MAX_HEAD_LINES:
            self._refuse(Refused.HEAD_TOO_LARGE)
            return b""
        whole, rest = bytes(head[: end + len(_HEAD_END)]), bytes(head[end + len(_HEAD_END) :])
        self._parse_head(_UPGRADE.sub(b"\nignored", whole))
        return rest

    def _parse_head(self, head: bytes) -> None:
        self._head.clear()
        self._searched = 0
        self._due = None
        self._parses_head = True
        super().data_received(head)
        self._parses_head = False
        if self._reading and self._body_left == 0 and not self._refused:
            self._refuse(Refused.NOT_HTTP)  # for the parser it is not a complete head

    def _read_body(self, data: bytes) -> bytes:
        """Parse bytes of a body, up to its possible end; return the bytes after it."""
        if self._body_left is None:
            seen = self._body_end + data  # chunks end with a blank line, though not every blank line ends them
            found = seen.find(_HEAD_END)
            length = len(data) if found < 0 else found + len(_HEAD_END) - len(self._body_end)
            piece = data[:length]
            self._body_end = b"" if found >= 0 else seen[1 - len(_HEAD_END) :]
        else:
            piece = data[: self._body_left]
            self._body_left -= len(piece)
        self._sent += len(piece)
        super().data_received(piece)
        if self._reading and self._sent > MAX_HEAD_BYTES + 8 * self._delivered:
            self._refuse(Refused.HEAD_TOO_LARGE)  # chunks that consist of extensions and trailers
        elif self._reading and self._is_idle():
            self._discard(len(piece))
        return data[len(piece) :]

    def on_message_begin(self) -> None:
        """Begin a request.

        Raises:
            ValueError: the parser sees a request where there is none; it then refuses the bytes.
        """
        if not self._parses_head:
            raise ValueError("a request within another")
        self._reading = True
        self._body_left = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Expect the body, and pass the request to the application.

        Raises:
            ValueError: it names two hosts, of which a proxy may have seen one (RFC 9112, section 3.2).
        """
        if sum(name == b"host" for name, _ in self.headers) > 1:
            raise ValueError("two hosts")
        length = next((value for name, value in self.headers if name == b"content-length"), None)
        chunked = any(name == b"transfer-encoding" for name, _ in self.headers)
        self._body_left = None if chunked else int(length or 0)
        self._body_end = b""
        self._sent = self._delivered = self._delivered_before = self._thrown_away = 0
        super().on_headers_complete()
        self._answer = self.cycle.transport = _Answer(self.transport, self.loop)  # type: ignore[assignment] # all that it needs of one
        self._expect()

    def on_body(self, body: bytes) -> None:
        """Count the bytes of the body."""
        self._delivered += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request: it is complete."""
        self._reading = False
        self._due = None
        super().on_message_complete()
        if self._is_idle() and not self.transport.is_closing():  # it was answered before it was complete
            self._await_idleness(self.timeout_keep_alive)

    def on_response_complete(self) -> None:
        """Process the data that arrived meanwhile."""
        if self._answer is not None:
            self._answer.flush()
        super().on_response_complete()
        if self.transport.is_closing():
            self._stall()
        elif self._reading:
            self._unset_keepalive_if_required()  # the rest of the body is still to come, under a bound of its own
        else:
            self._process_buffered()

    # The lane

    def _offer(self, data: bytes) -> bool:
        lane = self._lane
        if lane is None or not data.startswith(lane.start) or len(data) > MAX_HEAD_BYTES:
            return False
        self._in_lane = True
        self._due = None
        if lane.take(data, self._respond):
            return True
        self._in_lane = False
        return False

    def _respond(self, answer: bytes) -> None:
        """Write the lane's answer and process the data that arrived meanwhile."""
        self._in_lane = False
        if self.transport.is_closing():
            return
        self.server_state.total_requests += 1
        self.transport.write(answer)
        if self._stopping:
            self.transport.close()
            return
        self._answered_at = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._await_idleness(self.timeout_keep_alive)
        if self._held:
            self._process_buffered()

    # Time

    def _await_idleness(self, seconds: float) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, unless the lane has its request, or had one recently."""
        idle = 0.0 if self._in_lane else self.loop.time() - self._answered_at
        if idle < self.timeout_keep_alive:
            self._await_idleness(self.timeout_keep_alive - idle)
        else:
            super().timeout_keep_alive_handler()

    def _expect(self) -> None:
        """Start the time in which the client must send a first byte, a whole head, or a part of a body."""
        self._due = self.loop.time() + self._bounds.head_seconds
        if self._watch is None:
            self._watch = self.loop.call_at(self._due, self._check_progress)

    def _check_progress(self) -> None:
        """Check whether the client has sent what it must."""
        self._watch = None
        if self._due is None or self._refused or self.transport.is_closing():
            return
        if self._due > self.loop.time():
            self._watch = self.loop.call_at(self._due, self._check_progress)
        elif not self._reading:
            self._refuse(Refused.HEAD_TIMEOUT if self._head else Refused.SILENT)
        elif self._is_excused() or self._was_excused or self._delivered - self._delivered_before >= MIN_PROGRESS:
            self._was_excused = self._is_excused()
            self._delivered_before = self._delivered
            self._expect()
        else:
            refused.labels(Refused.BODY_STALLED.value).inc()
            self.transport.abort()

    def _is_excused(self) -> bool:
        """Return whether the application, and not the client, keeps the body from arriving."""
        cycle: RequestResponseCycle | None = self.cycle
        return self.flow.read_paused or (cycle is not None and cycle.waiting_for_100_continue)

    def pause_writing(self) -> None:
        """Start the client's time-out: it does not read what is sent."""
        super().pause_writing()
        self._stall()

    def resume_writing(self) -> None:
        """Continue: the client has read some."""
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _stall(self) -> None:
        if self._stalled is None:
            self._stalled = self.loop.call_later(STALL_SECONDS, self._refuse_bytes)

    def _refuse_bytes(self) -> None:
        refused.labels(Refused.NOT_READING.value).inc()
        self.transport.abort()

    # Refusals

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's signature
        """Refuse bytes that are not HTTP."""
        self._refuse(Refused.NOT_HTTP)

    def _refuse(self, reason: Refused) -> None:
        """Send the reason, if an answer can be sent, and close once the client had time to read it.

        Closing at once, with bytes unread, would reset the connection and lose the answer.
        """
        refused.labels(reason.value).inc()
        self._refused = True
        self._due = None
        self._held.clear()
        self._head.clear()
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            return
        answer = ANSWERS.get(reason)
        cycle: RequestResponseCycle | None = self.cycle
        if answer is None or (self._reading and cycle is not None and cycle.response_started):
            self.transport.abort()
            return
        if self._reading and cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.write(answer)
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _discard(self, length: int) -> None:
        self._thrown_away += length
        if self._thrown_away > MAX_UNREAD_BYTES:
            self.transport.abort()

    def shutdown(self) -> None:
        """Close now, or after the running answer; an endless answer (`request.state.endless`) is ended here."""
        if self._in_lane:
            self._stopping = True
            return
        super().shutdown()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete and cycle.scope.get("state", {}).get("endless"):
            cycle.disconnected = True
            cycle.message_event.set()
