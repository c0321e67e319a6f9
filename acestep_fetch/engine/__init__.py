"""Decides and schedules. Sees hubs and transports only through `core.interfaces`."""
