"""The embedded hub: a folder, offered through the APIs of both Hugging Face and ModelScope on one port."""

from acestep_fetch.serve.app import EmbeddedHub, create_app, run
from acestep_fetch.serve.library import Library

__all__ = ["EmbeddedHub", "Library", "create_app", "run"]
