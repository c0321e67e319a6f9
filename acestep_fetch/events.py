"""What a download tells of itself, as frozen dataclasses; `Event` is the base of all, `RunFinished` always the last.

Sizes are bytes, times seconds; paths are relative to the checkpoints folder and use "/". `to_dict()` of an event is
what the JSON stream has, without the stream's own ``v``, ``seq`` and ``ts``. No event holds a token or an address with
its query.
"""

from acestep_fetch.core.events import *  # noqa: F403  # every event there is, whoever adds it
