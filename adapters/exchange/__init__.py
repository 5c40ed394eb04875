"""A local exchange without a protocol: tape, clock, sockets and faults, on loopback.

    tape (synthetic market, recorded day, recorded messages) -> server -> protocol of a venue -> clients

`protocol.py` is the port to the protocols. `server.py` runs one exchange in a nursery, `run.py` one or
several as a process, with one clock.
"""
