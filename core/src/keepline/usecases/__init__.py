"""What Keepline does, in the words of its users, on the ports alone."""
