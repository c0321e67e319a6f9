"""``--dry-run``: the plan as a table on stdout."""

from __future__ import annotations

from acestep_fetch.display.names import title
from acestep_fetch.display.units import plural, size
from acestep_fetch.engine.report import Report


def print_plan(report: Report) -> None:
    """Every file with its size, where it stands and who has it; then what would be fetched."""
    if not report.files:
        print("nothing to do")
        return
    width = max(len(row.path) for row in report.files)
    for row in report.files:
        sources = ", ".join(title(source) for source in row.sources) if row.state != "here" else ""
        print(f"{row.path.ljust(width)}  {size(row.size):>9}  {row.state:<7}  {sources}".rstrip())
    missing = [row for row in report.files if row.state != "here"]
    print(
        f"\n{plural(len(missing), 'file')} of {len(report.files)} to fetch, {size(sum(r.size for r in missing))} in all"
    )
