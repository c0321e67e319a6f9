"""The Python API: plain functions (`calls`), and a client for event loops (`streaming`). docs/python.md shows both.

A download runs in a thread of its own on an event loop of its own (`running`): so a plain function works where a loop
is running, a handler that blocks its loop holds up no connection, and no signal handler has to be set. What it tells
goes through a `backlog` to whoever listens, at the listener's own speed.
"""
