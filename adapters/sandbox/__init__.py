"""The sandbox exchange: a local server with the Hyperliquid protocol that plays a tape.

    tape (synthetic market or a journal day) -> player -> hub -> market state, exchange, clients

`server.serve` runs it in a nursery, `run.run_sandbox` runs it as a process.
"""
