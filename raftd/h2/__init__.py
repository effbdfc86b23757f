"""gRPC over HTTP/2 in the event loop's own thread.

    engine      one connection's frames: bytes in, calls of a sink out (libnghttp2)
    connection  an engine on an asyncio transport: one write a turn, limits, pings
    stream      one call's messages, both ways, with flow control tied to what was taken
    server      hosts generated services as `grpc.aio.Server` does, and methods answered by callback
    channel     what generated stubs take in place of a `grpc.aio.Channel`

The wire is gRPC's: other programs on either side use any gRPC library. Everything here belongs to
the thread of its event loop.
"""
