"""Events -> bars on a terminal, plain lines in a pipe, or JSON lines. Knows nothing of downloading."""

from acestep_fetch.display.display import Mode, can_draw, open_display
from acestep_fetch.display.pump import Display

__all__ = ["Display", "Mode", "can_draw", "open_display"]
