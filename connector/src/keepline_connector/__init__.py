"""Keepline's connector: an always-on container that holds the WhatsApp sockets, one process of cells under one supervisor."""
