"""The journal mirrored to a stream of a message broker, frame by frame, and made again from it.

The journal is the only truth; the stream is a copy of it in another place. It may lag and be unreachable:
nothing waits for it. `docs/mirror.md` describes the messages, decision 0057 why they are so.
"""
