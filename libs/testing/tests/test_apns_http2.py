"""The simulator's HTTP/2 core against a strict library as the peer."""

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from hyperframe.frame import Frame

from passferry_testing.apns_simulator.http2 import ErrorCode, ServerConnection

PUSH = [
    (":method", "POST"),
    (":scheme", "https"),
    (":path", "/3/device/aa"),
    (":authority", "localhost"),
    ("apns-topic", "pass.demo"),
]


class Pair:
    """A client and the server core, joined without a socket."""

    def __init__(self, **settings):
        config = h2.config.H2Configuration(
            client_side=True,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            header_encoding="utf-8",
        )
        self.client = h2.connection.H2Connection(config)
        self.server = ServerConnection(**settings)
        self.client.initiate_connection()
        self.events = []

    def exchange(self):
        requests = []
        while True:
            upward = self.client.data_to_send()
            requests += self.server.receive(upward)
            downward = self.server.take_output()
            if downward:
                self.events += self.client.receive_data(downward)
            if not upward and not downward:
                return requests

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


def post(pair, headers=PUSH, body=b"{}"):
    stream_id = pair.client.get_next_available_stream_id()
    pair.client.send_headers(stream_id, headers)
    pair.client.send_data(stream_id, body, end_stream=True)
    return stream_id


def frames_of(output):
    frames = []
    while output:
        frame, length = Frame.parse_frame_header(memoryview(output[:9]))
        frame.parse_body(memoryview(output[9 : 9 + length]))
        frames.append(frame)
        output = output[9 + length :]
    return frames


def test_a_request_arrives_whole_and_its_answer_returns():
    pair = Pair()
    stream_id = post(pair)
    (request,) = pair.exchange()
    assert (request.stream_id, request.body, request.pseudo[b":path"]) == (
        1,
        b"{}",
        b"/3/device/aa",
    )
    pair.server.respond(stream_id, 410, [(b"apns-id", b"x")], b'{"reason":"Unregistered"}')
    pair.exchange()
    (response,) = pair.of(h2.events.ResponseReceived)
    assert dict(response.headers) == {":status": "410", "apns-id": "x"}
    (data,) = pair.of(h2.events.DataReceived)
    assert data.data == b'{"reason":"Unregistered"}'
    assert pair.server.open_streams == 0


def test_bytes_may_arrive_one_at_a_time():
    pair = Pair()
    post(pair)
    requests = []
    for byte in pair.client.data_to_send():
        requests += pair.server.receive(bytes([byte]))
    assert len(requests) == 1


def test_a_large_header_block_continues_over_frames():
    pair = Pair()
    post(pair, [*PUSH, *((f"x-{n}", "v" * 1000) for n in range(6))])
    assert len(pair.exchange()) == 1
    oversized = Pair()
    post(oversized, [*PUSH, *((f"x-{n}", "v" * 1000) for n in range(20))])
    assert oversized.exchange() == []
    assert oversized.server.is_closing


@pytest.mark.parametrize(
    "headers",
    [
        [PUSH[0], PUSH[1], PUSH[4], PUSH[2], PUSH[3]],
        [*PUSH, ("Upper-Case", "1")],
        [*PUSH, ("connection", "close")],
        [PUSH[0], PUSH[0], *PUSH[1:]],
        [PUSH[0], PUSH[1], PUSH[3]],
    ],
    ids=["pseudo-header late", "upper case", "connection header", "twice", "no path"],
)
def test_a_malformed_header_list_resets_its_stream_only(headers):
    pair = Pair()
    post(pair, headers)
    post(pair)
    assert [request.stream_id for request in pair.exchange()] == [3]
    assert [event.error_code for event in pair.of(h2.events.StreamReset)] == [
        ErrorCode.PROTOCOL_ERROR
    ]


def test_streams_beyond_the_granted_number_are_refused_and_the_limit_can_move():
    pair = Pair(max_concurrent_streams=1)
    post(pair)
    post(pair)
    assert [request.stream_id for request in pair.exchange()] == [1]
    assert [(e.stream_id, e.error_code) for e in pair.of(h2.events.StreamReset)] == [
        (3, ErrorCode.REFUSED_STREAM)
    ]
    pair.server.change_max_concurrent_streams(2)
    pair.exchange()
    assert pair.client.remote_settings.max_concurrent_streams == 2
    post(pair)
    assert [request.stream_id for request in pair.exchange()] == [5]


def test_bodies_wait_for_the_peers_windows():
    pair = Pair()
    pair.client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
    stream_id = post(pair)
    pair.exchange()
    pair.server.respond(stream_id, 400, [], b"reason")
    pair.exchange()
    assert pair.of(h2.events.ResponseReceived)
    assert not pair.of(h2.events.DataReceived)
    pair.client.increment_flow_control_window(100, stream_id)
    pair.exchange()
    assert [event.data for event in pair.of(h2.events.DataReceived)] == [b"reason"]


def test_a_peer_that_returns_no_credit_stops_receiving_bodies():
    pair = Pair()
    received = 0
    for _ in range(700):
        stream_id = post(pair)
        pair.exchange()
        pair.server.respond(stream_id, 410, [], b"x" * 100)
        pair.exchange()
        received = len(pair.of(h2.events.DataReceived))
    assert received == 655


def test_goaway_ignores_later_streams_and_finishes_earlier_ones():
    pair = Pair()
    for _ in range(3):
        post(pair)
    assert len(pair.exchange()) == 3
    pair.server.goaway(ErrorCode.NO_ERROR, b'{"reason":"Shutdown"}', last_stream_id=3)
    assert not pair.server.is_open(5)
    for stream_id in (1, 3, 5):
        pair.server.respond(stream_id, 200, [])
    # Read frame by frame, as the client library stops at a GOAWAY.
    goaway, *responses = frames_of(pair.server.take_output())
    assert (goaway.last_stream_id, goaway.additional_data) == (3, b'{"reason":"Shutdown"}')
    assert [frame.stream_id for frame in responses] == [1, 3]


def test_a_peer_that_allows_no_table_is_told_so_before_the_first_block():
    pair = Pair()
    pair.client.update_settings({h2.settings.SettingCodes.HEADER_TABLE_SIZE: 0})
    stream_id = post(pair)
    pair.exchange()
    pair.server.respond(stream_id, 200, [(b"apns-id", b"x")])
    output = pair.server.take_output()
    assert output[9:11] == b"\x20\x88"


def test_nonsense_instead_of_a_preface_ends_the_connection():
    server = ServerConnection()
    assert server.receive(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") == []
    assert server.is_closing


def test_a_wrong_content_length_is_malformed():
    pair = Pair()
    post(pair, [*PUSH, ("content-length", "3")])
    assert pair.exchange() == []
    assert pair.of(h2.events.StreamReset)
