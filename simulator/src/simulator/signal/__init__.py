"""The Signal protocol, version 3, as WhatsApp's phones speak it (X3DH, double ratchet; sender keys are a later step)."""
