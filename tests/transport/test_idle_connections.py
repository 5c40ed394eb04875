"""A connection that a server may close at any moment is not used for an order."""

from __future__ import annotations

import trio

from adapters.transport.http import IDLE_S, HttpClient, Request

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
HYPERCORN_S = NODE_S = 5.0
"""After how long servers close idle connections if nobody tells them otherwise."""


async def test_a_connection_that_was_idle_is_not_used_again() -> None:
    served: list[int] = []

    async def serve(stream: trio.SocketStream) -> None:
        number = len(served)
        served.append(0)
        async with stream:
            while await stream.receive_some(65_536):
                served[number] += 1
                await stream.send_all(ANSWER)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        port = listeners[0].socket.getsockname()[1]
        request = Request("GET", f"http://localhost:{port}/")
        for idle_s, connections in ((60.0, [2]), (0.05, [1, 1])):
            served.clear()
            client = HttpClient(timeout_s=30, idle_s=idle_s)
            for _ in range(2):
                assert (await client.send(request)).body == b"{}"
                await trio.sleep(0.2)
            assert served == connections
            await client.aclose()
        nursery.cancel_scope.cancel()


def test_idle_connections_end_well_before_a_server_closes_them() -> None:
    """An exit is tried every 5 s: just when such a server closes the connection."""
    assert min(HYPERCORN_S, NODE_S) - 1 > IDLE_S
