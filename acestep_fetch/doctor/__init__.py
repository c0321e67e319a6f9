"""What could keep a download, or ACE-Step, from working on this machine, and what to do about it.

Looking and judging are apart: `network` and `folder` look and come back with facts, `verdicts` and `belief` make
`Finding`s of them without touching anything. `mending` does what needs no network and can do no harm.
"""

from acestep_fetch.doctor.findings import Finding, Level

__all__ = ["Finding", "Level"]
