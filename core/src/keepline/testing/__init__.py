"""Shipped fakes of the ports. The contract suite in `tests/contract` holds each of them to the real thing."""
