"""Both hubs are asked for their lists at once; the slower or dead one never delays the start by more than the probe's
deadline, and joins as a source if it answers later."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from acestep_fetch.catalogue import Model
from acestep_fetch.core.errors import FetchError, NetworkError, NotFoundError
from acestep_fetch.core.events import Note
from acestep_fetch.core.interfaces import Hub
from acestep_fetch.core.liveness import LIST_PATIENCE
from acestep_fetch.core.model import HubName, RepoId, Snapshot
from acestep_fetch.core.paths import check_paths
from acestep_fetch.engine.context import Context
from acestep_fetch.engine.readiness import revision_of

PREFERRED_PATIENCE: Final = 15.0  # seconds that the preferred hub's list is waited for while the other's is there

_HINT: Final = (
    "check the connection (`acestep-fetch doctor` does); a proxy goes into HTTPS_PROXY, a mirror into HF_ENDPOINT"
)


_NOWHERE: Final = "check the name; a private repository needs a token (HF_TOKEN, --token-file)"
_NOT_YET: Final = (
    "take another model until it is published (`acestep-fetch list` shows them), and try this one again later"
)
_NEWEST: Final = "leave out --revision for the newest version, or name one that is there"


class Select(Protocol):
    """Which paths a user's patterns keep."""

    def __call__(self, paths: Sequence[str], include: Sequence[str], exclude: Sequence[str]) -> list[str]: ...


Pins = Mapping[RepoId, Mapping[HubName, str]]


@dataclass(frozen=True, slots=True)
class Listed:
    """What the hubs said of one repository in time."""

    snapshots: dict[HubName, Snapshot]
    late: dict[HubName, asyncio.Task[Snapshot | FetchError]]
    refusals: dict[HubName, FetchError]

    def error(self, model: Model) -> FetchError:
        """Why there is no snapshot at all."""
        errors, repo = list(self.refusals.values()), model.repo
        attempts = [error.message for error in errors]
        absent = [error for error in errors if isinstance(error, NotFoundError)]
        said = [error.hint for error in absent if error.of_revision and error.hint]
        if len(absent) == len(errors):
            if said:
                what, hint = "no hub has this revision", f"{_NEWEST}; {'; '.join(said)}"
            elif model.announced:
                what, hint = "announced, but not on any hub yet", _NOT_YET
            else:
                what, hint = "no hub has it", _NOWHERE
            return NotFoundError(f"{repo}: {what}", hint=hint, attempts=attempts)
        if any(isinstance(error, NetworkError) for error in errors):
            return NetworkError(
                f"{repo}: no hub could be asked",
                hint=next((error.hint for error in errors if isinstance(error, NetworkError) and error.hint), _HINT),
                attempts=attempts,
            )
        gravest = next(error for error in errors if not isinstance(error, NotFoundError))
        return type(gravest)(gravest.message, hint=gravest.hint, attempts=attempts)


class Listings:
    """The listing tasks of a run. They live in `group`; `settle` waits for as much as is worth waiting for. `pins` are
    the commits to list, for repositories and hubs for which that is known."""

    def __init__(
        self,
        group: asyncio.TaskGroup,
        hubs: Sequence[Hub],
        select: Select,
        context: Context,
        pins: Pins,
    ) -> None:
        self._pins = pins
        self._group, self._hubs, self._select, self._context = group, hubs, select, context
        self._tasks: dict[RepoId, dict[HubName, asyncio.Task[Snapshot | FetchError]]] = {}
        self._began = context.clock()
        self._slots = asyncio.Semaphore(8)

    def ask(self, repo: RepoId) -> None:
        """Starts asking every hub for `repo`."""
        self._tasks[repo] = {
            hub.name: self._group.create_task(self._list(hub, repo), name=f"list {hub.name} {repo}")
            for hub in self._hubs
        }

    async def settle(self, repo: RepoId, order: Sequence[HubName], down: Sequence[HubName] = ()) -> Listed:
        """The preferred hub's snapshot, and the other's if it comes by the probe's deadline (or is all there is).

        A hub of `down`, which failed its probe, is not waited for while the other has answered.
        """
        if len(order) == 1:
            await asyncio.wait([self._tasks[repo][order[0]]])
            return self._listed(repo)
        first, second = (self._tasks[repo][name] for name in order)
        clock = self._context.clock
        deadline = self._began + self._context.options.probe_deadline
        while not first.done():
            if second.done() and _good(second) and clock() > self._began + PREFERRED_PATIENCE:
                break
            await asyncio.wait([t for t in (first, second) if not t.done()], timeout=1.0, return_when="FIRST_COMPLETED")
        if first.done() and not _good(first):
            await asyncio.wait([second])
        elif first.done() and not second.done() and order[1] not in down and (left := deadline - clock()) > 0:
            await asyncio.wait([second], timeout=left)
        return self._listed(repo)

    async def whole(self, repo: RepoId) -> Listed:
        """What every hub says, however late."""
        await asyncio.wait(self._tasks[repo].values())
        return self._listed(repo)

    async def snapshot(self, repo: RepoId, name: HubName) -> Snapshot | None:
        """What one hub lists, however late; None where it lists nothing."""
        task = self._tasks[repo][name]
        await asyncio.wait([task])
        return None if task.cancelled() or isinstance(found := task.result(), FetchError) else found

    def cancel(self) -> None:
        """Whoever has not answered by now is not needed any more."""
        for tasks in self._tasks.values():
            for task in tasks.values():
                task.cancel()

    def _listed(self, repo: RepoId) -> Listed:
        listed = Listed({}, {}, {})
        for name, task in self._tasks[repo].items():
            if not task.done():
                listed.late[name] = task
            elif isinstance(found := task.result(), Snapshot):
                listed.snapshots[name] = found
            else:
                listed.refusals[name] = found
        return listed

    async def _list(self, hub: Hub, repo: RepoId) -> Snapshot | FetchError:
        options = self._context.options
        try:
            async with self._slots:
                snapshot = await self._snapshot(hub, repo)
            check_paths((file.path for file in snapshot.files), where=f"{hub.name.title}'s {repo}")
            if not options.include and not options.exclude:
                return snapshot
            kept = set(self._select([file.path for file in snapshot.files], options.include, options.exclude))
            return replace(snapshot, files=tuple(file for file in snapshot.files if file.path in kept))
        except FetchError as error:
            return error

    async def _snapshot(self, hub: Hub, repo: RepoId) -> Snapshot:
        """At the commit that is asked for; where the hub does not have that any more, what it has instead."""
        if pin := self._pins.get(repo, {}).get(hub.name):
            try:
                return await self._ask(hub, repo, pin)
            except NotFoundError:
                text = (
                    f"{hub.name.title} does not have {repo} at {pin[:12]} any more: only what is the same now is used"
                )
                self._context.emit(Note("info", text))
        return await self._ask(hub, repo, revision_of(repo, self._context.options))

    async def _ask(self, hub: Hub, repo: RepoId, revision: str | None) -> Snapshot:
        with self._context.pulse.expects(f"{hub.name.title}'s list of {repo}", LIST_PATIENCE):
            return await hub.list_files(repo, revision)


def _good(task: asyncio.Task[Snapshot | FetchError]) -> bool:
    return isinstance(task.result(), Snapshot)
