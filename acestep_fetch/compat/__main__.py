"""``python -m acestep_fetch.compat MODULE [ARGUMENTS]``: ``python -m MODULE [ARGUMENTS]`` with the drop-in in place."""

import runpy
import sys

from acestep_fetch.compat.installing import DOWNLOADER, install
from acestep_fetch.compat.model_downloader import main as download


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python -m acestep_fetch.compat MODULE [ARGUMENTS], for instance acestep.acestep_v15_pipeline")
    install()
    del sys.argv[0]
    if sys.argv[0] == DOWNLOADER:  # run, not imported, it would be ACE-Step's
        sys.exit(download())
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
