"""What the use cases need from the outside, as Protocols. Every one has a real adapter and a verified fake."""
