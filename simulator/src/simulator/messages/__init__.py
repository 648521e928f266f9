"""What people send: the kinds of WhatsApp's `Message` that phones here read (`reading`) and write (`writing`, `polls`)."""
