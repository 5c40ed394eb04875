"""The sandbox exchange: a venue on loopback that speaks the Hyperliquid protocol, fed by a tape.

    tape (built-in market, or a journal day) -> pump on the sandbox's clock -> played market -> hub -> clients

`server.serve` runs it in a nursery, `run.run_sandbox` as a process.
"""
