"""One class per hub: its listing, its URLs, its token, its error dialect. Never moves the bytes of a file.

The wire formats are pure modules (`huggingface_wire`, `modelscope_wire`); the hubs ask, and do what those decide.
"""

from acestep_fetch.hubs.asking import Patience
from acestep_fetch.hubs.huggingface import HuggingFace
from acestep_fetch.hubs.modelscope import ModelScope
from acestep_fetch.hubs.patterns import select

__all__ = ["HuggingFace", "ModelScope", "Patience", "select"]
