"""The server side of one HTTP/2 connection: bytes in, requests and bytes out, no I/O.

Written for what a push service needs (small request bodies, prebuilt answers) because a general
library spends ten times as long on each stream. It is strict: what the real service would answer
with a reset or a GOAWAY gets one here.
"""

import struct
from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum

from hpack import Decoder
from hpack.exceptions import HPACKError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_FRAME_BYTES = 16_384
MAX_HEADER_LIST_BYTES = 8_000
MAX_HEADER_BLOCK_BYTES = 65_536
MAX_BODY_BYTES = 65_536
KEPT_BODY_BYTES = 4_097
RECEIVE_WINDOW_BYTES = 65_535
DEFAULT_SEND_WINDOW = 65_535
DEFAULT_TABLE_BYTES = 4096
MAX_WINDOW = 2**31 - 1
_FRAME_HEADER = struct.Struct(">HBBBL")
_SETTING = struct.Struct(">HL")

Headers = list[tuple[bytes, bytes]]


class FrameType(IntEnum):
    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class ErrorCode(IntEnum):
    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class Setting(IntEnum):
    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


_ACK = 0x1
_END_STREAM = 0x1
_END_HEADERS = 0x4
_PADDED = 0x8
_PRIORITY = 0x20

_CONNECTION_HEADERS = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
_REQUEST_PSEUDO_HEADERS = frozenset({b":method", b":scheme", b":authority", b":path"})
_STATUS_INDEX = {200: 8, 204: 9, 206: 10, 304: 11, 400: 12, 404: 13, 500: 14}


class ConnectionFault(Exception):
    """The peer broke the protocol; the connection ends with this HTTP/2 error code."""

    def __init__(self, error: ErrorCode, detail: str) -> None:
        super().__init__(detail)
        self.error = error


@dataclass(slots=True)
class Request:
    """One complete request. `body` is cut at KEPT_BODY_BYTES, `body_bytes` is its true length."""

    stream_id: int
    pseudo: dict[bytes, bytes]
    headers: Headers
    body: bytes
    body_bytes: int


@dataclass(slots=True)
class _Stream:
    send_window: int
    pseudo: dict[bytes, bytes]
    headers: Headers
    body: bytearray = field(default_factory=bytearray)
    body_bytes: int = 0
    uncredited_bytes: int = 0
    is_complete: bool = False


class ServerConnection:
    """Feed `receive`, act on the requests it returns, send what `take_output` holds.

    A stream stays open until `respond` or `reset` is called for it. After a protocol error
    `is_closing` is true and the output ends with a GOAWAY.
    """

    def __init__(self, *, max_concurrent_streams: int = 1000) -> None:
        self.max_concurrent_streams = max_concurrent_streams
        self.is_closing = False
        self.last_stream_id = 0
        self.refused_streams = 0
        self._goaway_last: int | None = None
        self._awaits_preface = True
        self._inbound = bytearray()
        self._outbound: list[bytes] = []
        self._streams: dict[int, _Stream] = {}
        self._decoder = Decoder(max_header_list_size=MAX_HEADER_LIST_BYTES)
        self._block: tuple[int, int, bytearray] | None = None
        self._send_window = DEFAULT_SEND_WINDOW
        self._peer_initial_window = DEFAULT_SEND_WINDOW
        self._uncredited_bytes = 0
        self._blocked: deque[tuple[int, bytes]] = deque()
        self._block_prefix = b""
        self._completed: list[Request] = []
        self._frame(FrameType.SETTINGS, 0, 0, self._own_settings())

    # What the owner of the connection calls.

    @property
    def open_streams(self) -> int:
        return len(self._streams)

    def is_open(self, stream_id: int) -> bool:
        """Whether an answer to this stream would still be sent."""
        return stream_id in self._streams

    def receive(self, data: bytes) -> list[Request]:
        """Take bytes from the peer and return the requests that they complete."""
        if self.is_closing:
            return []
        self._inbound += data
        self._completed = []
        try:
            self._read_frames()
        except ConnectionFault as fault:
            self.goaway(fault.error, str(fault).encode())
            self.is_closing = True
        return self._completed

    def take_output(self) -> bytes:
        output = b"".join(self._outbound)
        self._outbound.clear()
        return output

    def respond(self, stream_id: int, status: int, headers: Headers, body: bytes = b"") -> None:
        """Answer a stream; nothing happens if the peer has reset it meanwhile."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        block = self._block_prefix + encode_status(status) + encode_literals(headers)
        self._block_prefix = b""
        flags = _END_HEADERS if body else _END_HEADERS | _END_STREAM
        self._frame(FrameType.HEADERS, flags, stream_id, block)
        if not body:
            del self._streams[stream_id]
        elif not self._send_body(stream_id, stream, body):
            self._blocked.append((stream_id, body))

    def reset(self, stream_id: int, error: ErrorCode) -> None:
        self._streams.pop(stream_id, None)
        self._frame(FrameType.RST_STREAM, 0, stream_id, struct.pack(">L", error))

    def goaway(
        self, error: ErrorCode, detail: bytes = b"", *, last_stream_id: int | None = None
    ) -> None:
        """Announce the end; streams above `last_stream_id` are ignored from now on."""
        last = self.last_stream_id if last_stream_id is None else last_stream_id
        self._goaway_last = last
        for stream_id in [open_id for open_id in self._streams if open_id > last]:
            del self._streams[stream_id]
        self._frame(FrameType.GOAWAY, 0, 0, struct.pack(">LL", last, error) + detail)

    @property
    def is_going_away(self) -> bool:
        return self._goaway_last is not None

    def change_max_concurrent_streams(self, limit: int) -> None:
        """Tell the peer a new limit; it holds at once, as the peer may not have read it yet."""
        if limit == self.max_concurrent_streams:
            return
        self.max_concurrent_streams = limit
        payload = _SETTING.pack(Setting.MAX_CONCURRENT_STREAMS, limit)
        self._frame(FrameType.SETTINGS, 0, 0, payload)

    # Frames in.

    def _read_frames(self) -> None:
        buffer = self._inbound
        offset = 0
        if self._awaits_preface:
            if len(buffer) < len(PREFACE):
                return
            if not buffer.startswith(PREFACE):
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "no HTTP/2 preface")
            self._awaits_preface = False
            offset = len(PREFACE)
        size = len(buffer)
        while size - offset >= _FRAME_HEADER.size:
            high, low, kind, flags, stream_id = _FRAME_HEADER.unpack_from(buffer, offset)
            length = (high << 8) | low
            if length > MAX_FRAME_BYTES:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "frame above 16384 bytes")
            end = offset + _FRAME_HEADER.size + length
            if end > size:
                break
            payload = bytes(buffer[offset + _FRAME_HEADER.size : end])
            offset = end
            self._on_frame(kind, flags, stream_id & MAX_WINDOW, payload)
        del buffer[:offset]

    def _on_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block is not None and kind != FrameType.CONTINUATION:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "header block interrupted")
        if kind == FrameType.HEADERS:
            self._on_headers(flags, stream_id, payload)
        elif kind == FrameType.DATA:
            self._on_data(flags, stream_id, payload)
        elif kind == FrameType.CONTINUATION:
            self._on_continuation(flags, stream_id, payload)
        elif kind == FrameType.WINDOW_UPDATE:
            self._on_window_update(stream_id, payload)
        elif kind == FrameType.SETTINGS:
            self._on_settings(flags, stream_id, payload)
        elif kind == FrameType.PING:
            self._on_ping(flags, stream_id, payload)
        elif kind == FrameType.RST_STREAM:
            self._on_reset(stream_id, payload)
        elif kind == FrameType.GOAWAY:
            self.is_closing = self.is_closing or not self._streams
        elif kind == FrameType.PUSH_PROMISE:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a client never pushes")

    def _on_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        payload = _without_padding(flags, payload)
        if flags & _PRIORITY:
            payload = payload[5:]
        if stream_id % 2 == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "client streams are odd")
        if flags & _END_HEADERS:
            self._on_header_block(flags, stream_id, payload)
        else:
            self._block = (flags, stream_id, bytearray(payload))

    def _on_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block is None or self._block[1] != stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "stray CONTINUATION")
        first_flags, _, collected = self._block
        collected += payload
        if len(collected) > MAX_HEADER_BLOCK_BYTES:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "header block too large")
        if flags & _END_HEADERS:
            self._block = None
            self._on_header_block(first_flags, stream_id, bytes(collected))

    def _on_header_block(self, flags: int, stream_id: int, block: bytes) -> None:
        try:
            # Decoded even for streams that are refused: a skipped block corrupts the table.
            decoded = self._decoder.decode(block, raw=True)
        except HPACKError as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, "header block") from error
        ends = bool(flags & _END_STREAM)
        stream = self._streams.get(stream_id)
        if stream is not None:
            self._on_trailers(stream_id, stream, ends=ends)
            return
        if stream_id <= self.last_stream_id:
            return  # trailers of a stream that was answered or reset already
        if self._goaway_last is not None:
            return
        self.last_stream_id = stream_id
        if len(self._streams) >= self.max_concurrent_streams:
            self.refused_streams += 1
            self.reset(stream_id, ErrorCode.REFUSED_STREAM)
            return
        pseudo, headers = _split_headers(decoded)
        if pseudo is None:
            self.reset(stream_id, ErrorCode.PROTOCOL_ERROR)
            return
        stream = _Stream(self._peer_initial_window, pseudo, headers)
        self._streams[stream_id] = stream
        if ends:
            self._complete(stream_id, stream)

    def _on_trailers(self, stream_id: int, stream: _Stream, *, ends: bool) -> None:
        if stream.is_complete or not ends:
            self.reset(stream_id, ErrorCode.PROTOCOL_ERROR)
        else:
            self._complete(stream_id, stream)

    def _on_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        is_idle = stream_id == 0 or stream_id > self.last_stream_id
        if is_idle and not self.is_going_away:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "DATA on an idle stream")
        self._credit_connection(len(payload))
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        if stream.is_complete:
            self.reset(stream_id, ErrorCode.STREAM_CLOSED)
            return
        content = _without_padding(flags, payload)
        stream.body_bytes += len(content)
        if stream.body_bytes > MAX_BODY_BYTES:
            self.reset(stream_id, ErrorCode.ENHANCE_YOUR_CALM)
            return
        stream.body += content[: max(0, KEPT_BODY_BYTES - len(stream.body))]
        if flags & _END_STREAM:
            self._complete(stream_id, stream)
        else:
            self._credit_stream(stream_id, stream, len(payload))

    def _complete(self, stream_id: int, stream: _Stream) -> None:
        declared = next((value for name, value in stream.headers if name == b"content-length"), b"")
        if declared and declared != b"%d" % stream.body_bytes:
            self.reset(stream_id, ErrorCode.PROTOCOL_ERROR)
            return
        stream.is_complete = True
        body = bytes(stream.body)
        self._completed.append(
            Request(stream_id, stream.pseudo, stream.headers, body, stream.body_bytes)
        )

    def _on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & _ACK:
            return
        if len(payload) % _SETTING.size:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS length")
        for identifier, value in _SETTING.iter_unpack(payload):
            if identifier == Setting.INITIAL_WINDOW_SIZE:
                self._change_initial_window(value)
            elif identifier == Setting.HEADER_TABLE_SIZE:
                # Our answers use no table, but a peer that allows less must be told so.
                self._block_prefix = b"\x20" if value < DEFAULT_TABLE_BYTES else b""
        self._frame(FrameType.SETTINGS, _ACK, 0, b"")

    def _change_initial_window(self, value: int) -> None:
        if value > MAX_WINDOW:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "initial window")
        growth = value - self._peer_initial_window
        self._peer_initial_window = value
        for stream in self._streams.values():
            stream.send_window += growth
        self._send_blocked()

    def _on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id or len(payload) != 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PING")
        if not flags & _ACK:
            self._frame(FrameType.PING, _ACK, 0, payload)

    def _on_reset(self, stream_id: int, payload: bytes) -> None:
        if stream_id == 0 or len(payload) != 4:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "RST_STREAM")
        self._streams.pop(stream_id, None)

    def _on_window_update(self, stream_id: int, payload: bytes) -> None:
        increment = int.from_bytes(payload) & MAX_WINDOW
        if len(payload) != 4 or increment == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE")
        if stream_id == 0:
            self._send_window += increment
            if self._send_window > MAX_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "connection window")
        else:
            stream = self._streams.get(stream_id)
            if stream is not None:
                stream.send_window += increment
        self._send_blocked()

    # Frames out.

    def _own_settings(self) -> bytes:
        return b"".join(
            _SETTING.pack(setting, value)
            for setting, value in (
                (Setting.HEADER_TABLE_SIZE, DEFAULT_TABLE_BYTES),
                (Setting.MAX_CONCURRENT_STREAMS, self.max_concurrent_streams),
                (Setting.INITIAL_WINDOW_SIZE, RECEIVE_WINDOW_BYTES),
                (Setting.MAX_FRAME_SIZE, MAX_FRAME_BYTES),
                (Setting.MAX_HEADER_LIST_SIZE, MAX_HEADER_LIST_BYTES),
            )
        )

    def _frame(self, kind: FrameType, flags: int, stream_id: int, payload: bytes) -> None:
        length = len(payload)
        header = _FRAME_HEADER.pack(length >> 8, length & 0xFF, kind, flags, stream_id)
        self._outbound.append(header + payload)

    def _send_body(self, stream_id: int, stream: _Stream, body: bytes) -> bool:
        """Send a whole body if both windows allow it; our bodies are below one frame."""
        if len(body) > min(self._send_window, stream.send_window):
            return False
        self._send_window -= len(body)
        self._frame(FrameType.DATA, _END_STREAM, stream_id, body)
        del self._streams[stream_id]
        return True

    def _send_blocked(self) -> None:
        for _ in range(len(self._blocked)):
            stream_id, body = self._blocked.popleft()
            stream = self._streams.get(stream_id)
            if stream is not None and not self._send_body(stream_id, stream, body):
                self._blocked.append((stream_id, body))

    def _credit_connection(self, count: int) -> None:
        self._uncredited_bytes += count
        if self._uncredited_bytes > RECEIVE_WINDOW_BYTES // 2:
            self._window_update(0, self._uncredited_bytes)
            self._uncredited_bytes = 0

    def _credit_stream(self, stream_id: int, stream: _Stream, count: int) -> None:
        stream.uncredited_bytes += count
        if stream.uncredited_bytes > RECEIVE_WINDOW_BYTES // 2:
            self._window_update(stream_id, stream.uncredited_bytes)
            stream.uncredited_bytes = 0

    def _window_update(self, stream_id: int, increment: int) -> None:
        self._frame(FrameType.WINDOW_UPDATE, 0, stream_id, struct.pack(">L", increment))


def encode_status(status: int) -> bytes:
    """Encode `:status` without touching any table."""
    index = _STATUS_INDEX.get(status)
    if index is not None:
        return bytes([0x80 | index])
    return b"\x08\x03%d" % status


def encode_literals(headers: Headers) -> bytes:
    """Encode headers as literals without indexing; names and values below 127 bytes."""
    return b"".join(
        b"\x00%c%b%c%b" % (len(name), name, len(value), value) for name, value in headers
    )


def _without_padding(flags: int, payload: bytes) -> bytes:
    if not flags & _PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "padding longer than the frame")
    return payload[1 : len(payload) - payload[0]]


def _split_headers(decoded: object) -> tuple[dict[bytes, bytes] | None, Headers]:
    """Separate pseudo-headers from the rest; (None, []) if the request is malformed."""
    pseudo: dict[bytes, bytes] = {}
    headers: Headers = []
    for name, value in decoded:  # type: ignore[attr-defined]  # hpack: an iterable of pairs
        if name[:1] == b":":
            if headers or name in pseudo or name not in _REQUEST_PSEUDO_HEADERS:
                return None, []
            pseudo[name] = value
        elif _is_forbidden(name, value):
            return None, []
        else:
            headers.append((name, value))
    if not pseudo.get(b":path") or b":method" not in pseudo or b":scheme" not in pseudo:
        return None, []
    return pseudo, headers


def _is_forbidden(name: bytes, value: bytes) -> bool:
    if name == b"te":
        return value != b"trailers"
    return name in _CONNECTION_HEADERS or name != name.lower()
