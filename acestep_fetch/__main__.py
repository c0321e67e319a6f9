"""``python -m acestep_fetch`` is the same program as ``acestep-fetch``."""

import sys

from acestep_fetch.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
