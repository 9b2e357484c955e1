"""uvicorn's HTTP protocol, with a lane beside it for requests that an application can answer from their bytes alone."""

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from carteira.http_server.application import Application

MAX_HELD_BYTES = 65_536


class LaneProtocol(HttpToolsProtocol):
    """One connection. Between two requests, data that begins like the lane's requests is offered to the lane first.

    While the lane has a request, further data waits; at shutdown the connection is closed once the answer is out. The
    timer that closes an idle connection is left running by the lane and looks at the time when it is due: to stop and
    start one for each request would cost a tenth of what the lane does.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's own signature
        super().__init__(*args, **kwargs)
        app: object = self.app
        while not isinstance(app, Application) and hasattr(app, "app"):
            app = app.app
        self._lane = app.lane if isinstance(app, Application) else None
        self._in_lane = False
        self._reading = False
        self._stopping = False
        self._held = b""
        self._answered_at = 0.0

    def data_received(self, data: bytes) -> None:
        """Take data from the connection."""
        if self._in_lane:
            self._held += data
            if len(self._held) > MAX_HELD_BYTES:
                self.flow.pause_reading()
            return
        if not self._reading and self._is_idle() and self._offer(data):
            return
        super().data_received(data)

    def _is_idle(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _offer(self, data: bytes) -> bool:
        lane = self._lane
        if lane is None or not data.startswith(lane.start):
            return False
        self._in_lane = True
        if lane.take(data, self._respond):
            return True
        self._in_lane = False
        return False

    def _respond(self, answer: bytes) -> None:
        """Write the lane's answer and go on with what came meanwhile."""
        self._in_lane = False
        if self.transport.is_closing():
            return
        self.server_state.total_requests += 1
        self.transport.write(answer)
        if self._stopping:
            self.transport.close()
            return
        if self._held:
            held, self._held = self._held, b""
            self.flow.resume_reading()
            self.data_received(held)
            return
        self._answered_at = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._await_idleness(self.timeout_keep_alive)

    def _await_idleness(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def on_message_begin(self) -> None:
        """Remember that a request is being read, so that its next bytes are not taken for a new one."""
        self._reading = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._reading = False
        super().on_message_complete()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; one whose request is in the lane, or was not long ago, is not idle."""
        idle = 0.0 if self._in_lane else self.loop.time() - self._answered_at
        if idle < self.timeout_keep_alive:
            self._await_idleness(self.timeout_keep_alive - idle)
        else:
            super().timeout_keep_alive_handler()

    def shutdown(self) -> None:
        """Close now, or after the answer under way."""
        if self._in_lane:
            self._stopping = True
        else:
            super().shutdown()
