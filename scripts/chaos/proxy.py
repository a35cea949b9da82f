"""A TCP proxy in front of the resource manager, that can do to connections what a network does."""

import asyncio
import socket
import struct
import threading

CHUNK = 1 << 16
RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Forwards connections to a port of this machine. `to_server` and `to_client` are what happens to bytes of a direction: `pass`,
    `drop` (they wait, as if the cable were out), or seconds of delay."""

    def __init__(self, server_port):
        self.server_port = server_port
        self.to_server = self.to_client = "pass"
        self.writers = set()
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()
        threading.Thread(target=self._run, args=(ready,), daemon=True).start()
        ready.wait()

    def _run(self, ready):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        self.loop.run_forever()

    async def _accept(self, reader, writer):
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.server_port)
        except OSError:
            writer.close()
            return
        self.writers |= {writer, server_writer}
        ways = [self._forward(reader, server_writer, "to_server"), self._forward(server_reader, writer, "to_client")]
        await asyncio.gather(*ways, return_exceptions=True)
        for end in (writer, server_writer):
            self.writers.discard(end)
            end.close()

    async def _forward(self, reader, writer, direction):
        try:
            while data := await reader.read(CHUNK):
                while getattr(self, direction) == "drop":
                    await asyncio.sleep(0.05)
                if isinstance(getattr(self, direction), float):
                    await asyncio.sleep(getattr(self, direction))
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

    def reset(self):
        """Breaks every connection with a reset."""

        def abort():
            for writer in list(self.writers):
                end = writer.get_extra_info("socket")
                if end is not None:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                writer.transport.abort()

        self.loop.call_soon_threadsafe(abort)
