"""The process of the app's server."""

import asyncio
import os
import signal
import socket

from benchmarks.servers import HOST, STOP_SECONDS, serving
from supervision.web.server import _listening


def test_the_parts_of_a_response_do_not_wait_for_each_other():
    async def delays():
        """Whether a connection to the server waits before it sends a small part."""
        found = asyncio.get_running_loop().create_future()

        def accept(_, writer):
            accepted = writer.get_extra_info("socket")
            found.set_result(not accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with _listening(HOST, 0) as sock:
            async with await asyncio.start_server(accept, sock=sock):
                _, writer = await asyncio.open_connection(*sock.getsockname())
                writer.close()
                return await found

    assert not asyncio.run(delays())


def test_ctrl_c_ends_the_server_without_an_error(tmp_path):
    log = tmp_path / "log"
    with serving("released:fast", os.environ, log, kind="app") as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(STOP_SECONDS) == 0
    assert len(log.read_text().splitlines()) == 1  # where it listens
