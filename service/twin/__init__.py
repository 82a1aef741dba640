"""The provider's twin: an HTTP server that behaves as the provider may, with a ledger as oracle.

`behaviour`, `ledger` and what they use are pure (no clock, no asyncio, all chance from one
`random.Random`), so that a simulator can run them under virtual time; only `server` and `admin`
know HTTP. Nothing here knows the dispatcher: the twin judges it from the outside.
"""
