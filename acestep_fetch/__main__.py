"""``python -m acestep_fetch`` is the same program as ``acestep-fetch``."""

from acestep_fetch.cli.main import program

if __name__ == "__main__":
    program()
