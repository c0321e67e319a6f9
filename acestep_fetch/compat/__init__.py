"""A drop-in for ACE-Step's own downloader, in one line before ACE-Step is used::

    from acestep_fetch import compat; compat.install()

or without touching any code: ``python -m acestep_fetch.compat acestep.api_server``. docs/drop-in.md says what differs.
"""

from acestep_fetch.compat.installing import install, uninstall

__all__ = ["install", "uninstall"]
