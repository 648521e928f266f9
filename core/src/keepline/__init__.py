"""Keepline's core: the domain, the ports, the use cases and their adapters, shared by the functions and the connector."""
