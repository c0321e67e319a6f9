"""Breaks `core/` in every small way there is, and looks whether its tests notice."""
