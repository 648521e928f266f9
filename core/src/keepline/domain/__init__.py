"""Pure policy: no I/O, no clock, no randomness of its own. Everything it needs is an argument."""
