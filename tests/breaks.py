"""Deliberate breaks: each promise of docs/reliability.md is broken once, and a test has to notice.

    python -m tests.breaks [NAME ...]

Each break is applied alone, in a copy of the tree. First the copy must pass the same tests unbroken. A break survives
where its tests pass; a copy that cannot be imported or collected proves nothing and counts as a mistake here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TREE: Final = Path(__file__).parents[1]
COPIED: Final = ("acestep_fetch", "tests", "pyproject.toml", "README.md", "docs", "Makefile")
PASSED, FAILED = 0, 1  # exit codes of pytest; all others are mistakes of its caller
MOST_SECONDS: Final = 600.0


@dataclass(frozen=True)
class Break:
    """`text` stands in `file` once; with `instead` there, at least one of `tests` must fail.

    A test is a file, with a part of the name of what is run of it behind ``::``.
    """

    name: str
    promise: str
    file: str
    text: str
    instead: str
    tests: tuple[str, ...]


ROWS: Final = "tests/corpus/test_rows.py"
LOCKS: Final = "tests/cli/test_lock.py"
BUNDLES: Final = "tests/cli/test_bundle.py"
SECRETS: Final = "tests/secrets/test_rows.py"

BREAKS: Final = (
    Break(
        "large file unproven",
        "A file under its final name has the digest that a hub lists",
        "acestep_fetch/engine/completion.py",
        "if digests.agrees_with(transfer.file):",
        "if digests:",
        (f"{ROWS}::large.bin: another content, at both",),
    ),
    Break(
        "small file unproven",
        "A file under its final name has the digest that a hub lists",
        "acestep_fetch/engine/flight.py",
        "if len(data) != transfer.file.size or not digests.agrees_with(transfer.file):",
        "if len(data) != transfer.file.size:",
        (f"{ROWS}::vocab.txt: another content, at both", "tests/engine/test_small.py::another_version"),
    ),
    Break(
        "copy unproven",
        "A file under its final name has the digest that a hub lists",
        "acestep_fetch/engine/publishing.py",
        "                if taken and taken[0].agrees_with(file.file):\n",
        "                if taken:\n",
        ("tests/engine/test_folders.py::damaged_in_secret", "tests/adopt/test_adopting.py::name_proves_nothing"),
    ),
    Break(
        "200 taken for the range",
        "A file is right whatever servers send: a whole file is not the range",
        "acestep_fetch/core/replies.py",
        "        span = Span(0, size)\n",
        "        span = asked\n",
        (f"{ROWS}::large.bin: the range is ignored", "tests/core/test_replies.py"),
    ),
    Break(
        "shifted range believed",
        "A file is right whatever servers send: another range is no reply",
        "acestep_fetch/core/replies.py",
        "if start != asked.start or stop > asked.stop:",
        "if stop < asked.start:",
        (f"{ROWS}::the range is shifted by one", "tests/core/test_replies.py"),
    ),
    Break(
        "pieces believed without checksum",
        "What an earlier run left is believed only where it checks out",
        "acestep_fetch/storage/parts.py",
        "return crc_at(self._fd, piece.span.start, len(piece.span)) == piece.crc",
        "return True",
        ("tests/crash/test_power.py::some_moments", "tests/storage/test_parts.py"),
    ),
    Break(
        "journal of another content believed",
        "Versions are never mixed: a part of another content is started anew",
        "acestep_fetch/storage/journal.py",
        'fits = (row["digest"], row["size"], row["piece"]) == (str(digest), size, PIECE)',
        'fits = row["piece"] == PIECE',
        ("tests/storage/test_journal.py", "tests/storage/test_parts.py"),
    ),
    Break(
        "torn records believed",
        "What an earlier run left is believed only where it checks out",
        "acestep_fetch/storage/journal.py",
        "            break\n        if not 0 < length",
        "            pass\n        if not 0 < length",
        ("tests/storage/test_journal.py",),
    ),
    Break(
        "no fsync before a name",
        "A loss of power leaves no wrong file",
        "acestep_fetch/storage/staging.py",
        "    platform.sync_paths([staged / path for path in paths])\n",
        "",
        ("tests/crash/test_power.py::some_moments",),
    ),
    Break(
        "versions mixed",
        "Versions are never mixed",
        "acestep_fetch/core/merge.py",
        "            case Agreement.DIFFERENT:\n                pass\n",
        "            case Agreement.DIFFERENT:\n                proven.append(hub)\n",
        ("tests/core/test_merge.py", "tests/engine/test_moving.py"),
    ),
    Break(
        "folder before it is whole",
        "A model's folder appears only when all its files are there",
        "acestep_fetch/engine/publishing.py",
        "layout.staged(c.name) / path for c, path in job.targets",
        "layout.final(c.name) / path for c, path in job.targets",
        ("tests/engine/test_folders.py", "tests/end_to_end/test_program.py::signal_stops"),
    ),
    Break(
        "receipts always believed",
        "A receipt is believed only for files that are as it says",
        "acestep_fetch/storage/receipts.py",
        "if found.st_size != file.size or not is_same_time(found.st_mtime_ns, file.mtime_ns):",
        "if found.st_size < 0:",
        ("tests/storage/test_receipts.py", "tests/cli/test_upkeep.py"),
    ),
    Break(
        "rewritten code is damage",
        "Python files that ACE-Step rewrites are a note, not damage",
        "acestep_fetch/storage/receipts.py",
        'return path.endswith(".py") or is_furniture(path)',
        "return is_furniture(path)",
        ("tests/cli/test_upkeep.py", "tests/storage/test_receipts.py"),
    ),
    Break(
        "lease not taken",
        "One of several processes downloads, the others wait",
        "acestep_fetch/storage/lease.py",
        "if not _locked(fd):",
        "if fd < 0:",
        ("tests/storage/test_lease.py", "tests/end_to_end/test_processes.py::eight_at_once"),
    ),
    Break(
        "every lock believed",
        "Where locks lie or are refused, one of several processes downloads all the same",
        "acestep_fetch/storage/lease.py",
        "return not platform.try_lock(fd)",
        "return True",
        ("tests/storage/test_claim.py", "tests/storage/test_lease.py::without_locks"),
    ),
    Break(
        "names unchecked",
        "No listed name leads out of its folder",
        "acestep_fetch/core/paths.py",
        "        if reason := _why_unsafe_part(part):\n",
        "        if reason := _why_unsafe_part(part) if not part else None:\n",
        ("tests/core/test_paths.py", "tests/corpus/test_names.py", ROWS + "::list: a path"),
    ),
    Break(
        "planted links followed",
        "No write leads out of the folder: a planted link is refused",
        "acestep_fetch/storage/staging.py",
        "        if path.is_symlink():\n            raise DiskError(",
        "        if path.is_symlink() and not path:\n            raise DiskError(",
        ("tests/engine/test_links.py",),
    ),
    Break(
        "silence not noticed",
        "Every run ends: a silent connection is replaced",
        "acestep_fetch/engine/watch.py",
        "            self._end_silent(now)\n",
        "",
        ("tests/engine/test_endings.py::silent_again_and_again",),
    ),
    Break(
        "nobody gives up",
        "Every run ends: a file without progress fails",
        "acestep_fetch/engine/watch.py",
        "            self._blame.give_up(self._workload.open, now)\n",
        "",
        (f"{ROWS}::vocab.txt: a redirect to nowhere, at both",),
    ),
    Break(
        "full disk is any error",
        "A disk that fills up ends the run with code 7",
        "acestep_fetch/storage/platform.py",
        "    if code == errno.ENOSPC:\n        return DiskFullError(",
        "    if code == errno.ENOSPC:\n        return DiskError(",
        ("tests/storage/test_platform.py", "tests/end_to_end/test_eleven.py::neighbour"),
    ),
    Break(
        "Retry-After ignored",
        "What a server asks for is heeded",
        "acestep_fetch/core/retry.py",
        "        return float(text)\n",
        "        return 0.0\n",
        ("tests/core/test_retry.py", "tests/end_to_end/test_eleven.py::429_three_times"),
    ),
    Break(
        "signals unheard",
        "Ctrl-C and SIGTERM end a run at once with its state saved and their codes",
        "acestep_fetch/cli/running.py",
        "        stopping, host.stop_code = True, 128 + number\n",
        "        stopping, host.stop_code = True, 1\n",
        ("tests/end_to_end/test_program.py::signal_stops",),
    ),
    Break(
        "damage not located",
        "Damage of a finished file is found to the piece, and only that is fetched again",
        "acestep_fetch/storage/verifying.py",
        "    return replace(_fault(file, why), bad=bad)\n",
        "    return _fault(file, why)\n",
        ("tests/cli/test_upkeep.py",),
    ),
    Break(
        "token follows a redirect",
        "A token goes to its hub's own origin only",
        "acestep_fetch/engine/redirects.py",
        "    kept: Mapping[str, str] = request.headers if same else {}\n",
        "    kept: Mapping[str, str] = request.headers\n",
        (f"{SECRETS}::redirects to another", "tests/end_to_end/test_eleven.py::does_not_follow"),
    ),
    Break(
        "token follows another port",
        "A token goes to its hub's own origin only",
        "acestep_fetch/engine/redirects.py",
        "    same = (here.scheme, here.netloc) == (there.scheme, there.netloc)\n",
        "    same = (here.scheme, here.hostname) == (there.scheme, there.hostname)\n",
        (f"{SECRETS}::another port",),
    ),
    Break(
        "token follows a redirect of a list",
        "A token goes to its hub's own origin only",
        "acestep_fetch/transport/api.py",
        "    kept = {name: value for name, value in headers.items() if name.lower() not in _CREDENTIALS}\n",
        "    kept = dict(headers)\n",
        (f"{SECRETS}::the list is at another host",),
    ),
    Break(
        "token in the redirect",
        "A token goes to its hub's own origin only",
        "acestep_fetch/engine/redirects.py",
        "    if not same and repeats(target, request.headers):\n",
        "    if not target:\n",
        (f"{SECRETS}::redirect with the credentials",),
    ),
    Break(
        "https to http",
        "Never from https to http",
        "acestep_fetch/engine/redirects.py",
        '    if (here.scheme, there.scheme) == ("https", "http"):\n',
        "    if not target:\n",
        (f"{SECRETS}::redirects from https",),
    ),
    Break(
        "https to http for a list",
        "Never from https to http",
        "acestep_fetch/transport/api.py",
        'or (url.scheme, following.scheme) == ("https", "http"):',
        "or not target:",
        (f"{SECRETS}::the list is redirected from https",),
    ),
    Break(
        "stale token kept",
        "A stale token is dropped, with a warning",
        "acestep_fetch/hubs/account.py",
        "        self._login = ANONYMOUS\n        self.warn(",
        "        self.warn(",
        (f"{SECRETS}::stale",),
    ),
    Break(
        "tracebacks quote",
        "No secret is in a traceback, a warning or a log",
        "acestep_fetch/cli/discretion.py",
        "        self._stream.write(scrubbed(text))\n",
        "        self._stream.write(text)\n",
        (f"{SECRETS}::a bug in", f"{SECRETS}::noisy"),
    ),
    Break(
        "errors quote",
        "No secret is in an error or an event",
        "acestep_fetch/core/errors.py",
        "        self.message = scrubbed(message)\n",
        "        self.message = message\n",
        (f"{SECRETS}::a bug in",),
    ),
    Break(
        "objects show",
        "No secret is in what a debugger shows",
        "acestep_fetch/core/secrecy.py",
        "        return f\"'{MASK}'\"\n",
        "        return str.__repr__(self)\n",
        (f"{SECRETS}::a bug in",),
    ),
    Break(
        "logs quote",
        "No secret is in a log",
        "acestep_fetch/transport/hush.py",
        "    return not _ours.get()\n",
        "    return True\n",
        (f"{SECRETS}::replies that repeat", f"{SECRETS}::the list is at another host"),
    ),
    Break(
        "ps shows",
        "No token is in what ps shows",
        "acestep_fetch/cli/discretion.py",
        "            memory.write(arguments)\n",
        "            memory.tell()\n",
        (f"{SECRETS}::--token",),
    ),
    Break(
        "a lock's second digest",
        "Under a lock, bytes have every digest that it gives",
        "acestep_fetch/engine/recorded.py",
        "self.files, snapshots, _nothing, strict=True)",
        "self.files, snapshots, _nothing, strict=False)",
        (f"{LOCKS}::contradict",),
    ),
    Break(
        "another version for a lock",
        "Under a lock, no file is taken in another version",
        "acestep_fetch/engine/recorded.py",
        "self.files, snapshots, _nothing, strict=True)",
        "self.files, snapshots, may_drift, strict=True)",
        (f"{LOCKS}::no_hub_has_any_more",),
    ),
    Break(
        "ready whatever the lock says",
        "A model that is ready in another version than the lock's is not ready",
        "acestep_fetch/engine/readiness.py",
        "if found is None or (record and record.lock and not _is_as_locked(found[0], record)):",
        "if found is None:",
        (f"{LOCKS}::ready_in_another_version",),
    ),
    Break(
        "a late hub under a lock",
        "A hub that could not be asked may still have what the lock says",
        "acestep_fetch/engine/recorded.py",
        "if unasked := [hub.title for hub, error in refusals.items() if isinstance(error, NetworkError)]:",
        "if unasked := list[str]():",
        (f"{LOCKS}::cannot_be_asked",),
    ),
    Break(
        "small file of a bundle unproven",
        "A file under its final name has the digest that a lock lists, wherever it comes from",
        "acestep_fetch/engine/unpacking.py",
        "        if not digests.agrees_with(transfer.file):\n            await",
        "        if not digests:\n            await",
        (f"{BUNDLES}::lies",),
    ),
    Break(
        "large file of a bundle unproven",
        "A file under its final name has the digest that a lock lists, wherever it comes from",
        "acestep_fetch/engine/unpacking.py",
        "        if not error and (digests := content.digests()).agrees_with(transfer.file):\n",
        "        if not error and (digests := content.digests()):\n",
        (f"{BUNDLES}::lied_about",),
    ),
    Break(
        "held pieces believed by an import",
        "A piece of an earlier run is believed only where its checksum holds",
        "acestep_fetch/engine/unpacking.py",
        "if not await self._context.on_hasher(part.path, part.holds, piece):",
        "if False:",
        (f"{BUNDLES}::out_of_date",),
    ),
    Break(
        "damaged bytes kept by an import",
        "What came from a damaged volume is not kept",
        "acestep_fetch/engine/unpacking.py",
        '        await self._drop(job, part, wrong, "from a volume that is damaged")\n',
        "",
        (f"{BUNDLES}::bad_volume",),
    ),
    Break(
        "a component leads out",
        "No name in a lock, a bundle or a receipt leads out of its folder",
        "acestep_fetch/core/lock.py",
        '    if name and (reason := why_unsafe_name(name)):\n        raise ValueError(f"the component',
        '    if name and (reason := None):\n        raise ValueError(f"the component',
        ("tests/core/test_lock.py::damaged_lock", f"{BUNDLES}::no_name"),
    ),
    Break(
        "the last wall before removal",
        "No name in a lock, a bundle or a receipt leads out of its folder",
        "acestep_fetch/storage/layout.py",
        "    if component and (reason := why_unsafe_name(component)):\n",
        "    if component and (reason := None):\n",
        ("tests/storage/test_layout.py::leads_anywhere_else",),
    ),
    Break(
        "a receipt's component unchecked",
        "No name in a lock, a bundle or a receipt leads out of its folder",
        "acestep_fetch/storage/receipts.py",
        "placed = mapped and all(not name or why_unsafe_name(name) is None for name in receipt.commits)",
        "placed = mapped",
        ("tests/storage/test_receipts.py::cannot_be_understood",),
    ),
    Break(
        "a folder's dir is obeyed",
        "The files of a folder have nothing of their choice written outside of it",
        "acestep_fetch/configuration/layers.py",
        "    _check_folder(found)\n",
        "",
        ("tests/configuration/test_files.py::elsewhere",),
    ),
    Break(
        "the second digest of a twin is not looked at",
        "What a list or a lock says of one content twice has to be true both times",
        "acestep_fetch/engine/planning.py",
        "        self.targets = [(c, path) for file, c, path in listed if file and digests.agrees_with(file)]\n",
        "        self.targets = [(c, path) for file, c, path in listed if file]\n",
        (f"{LOCKS}::equal_files",),
    ),
    Break(
        "foreign code passes for the lock's",
        "A lock is kept to the byte",
        "acestep_fetch/engine/examine.py",
        "and (not is_locked or known.once_was(label, file.file)):",
        "and is_locked in (True, False):",
        (f"{LOCKS}::never_was_the_locks",),
    ),
    Break(
        "rotten files packed",
        "A bundle has only bytes that are what they were when they were verified",
        "acestep_fetch/engine/packing.py",
        "if digest.hexdigest() != content.sha256:",
        "if False:",
        (f"{BUNDLES}::rotted",),
    ),
)


@dataclass(frozen=True)
class Verdict:
    """`failed` names the tests that noticed."""

    code: int
    failed: tuple[str, ...]
    output: str
    seconds: float


def main(names: Sequence[str]) -> int:
    """Tries every break, or those named; 0 if each of them was noticed."""
    chosen = [each for each in BREAKS if not names or each.name in names]
    if unknown := set(names) - {each.name for each in chosen}:
        print(f"no such break: {', '.join(sorted(unknown))}")
        return 2
    with tempfile.TemporaryDirectory(prefix="breaks-") as folder:
        copy = Path(folder)
        _copy_tree(copy)
        unbroken = _run(copy, tuple(dict.fromkeys(test for each in chosen for test in each.tests)), all_of_them=True)
        if unbroken.code != PASSED:
            print(unbroken.output[-8000:])
            print("the unbroken copy fails: nothing can be said of the breaks")
            return 1
        print(f"unbroken: all pass ({unbroken.seconds:.0f} s)\n", flush=True)
        noticed = [_noticed(copy, each) for each in chosen]
    print(f"\n{sum(noticed)} of {len(noticed)} breaks were noticed")
    return 0 if all(noticed) else 1


def _noticed(copy: Path, each: Break) -> bool:
    with _broken(copy, each):
        verdict = _run(copy, each.tests)
    outcome = {PASSED: "SURVIVES", FAILED: "noticed"}.get(verdict.code, f"MISTAKE (pytest ended with {verdict.code})")
    print(f"{each.name}: {outcome} ({verdict.seconds:.0f} s)\n    {each.promise}")
    for test in verdict.failed[:4]:
        print(f"    - {test}")
    if verdict.code not in (PASSED, FAILED):
        print(verdict.output[-4000:])
    sys.stdout.flush()
    return verdict.code == FAILED


@contextmanager
def _broken(copy: Path, each: Break) -> Iterator[None]:
    path = copy / each.file
    whole = path.read_text("utf-8")
    if whole.count(each.text) != 1:
        raise SystemExit(f"{each.name}: {each.text!r} stands {whole.count(each.text)} times in {each.file}")
    path.write_text(whole.replace(each.text, each.instead), "utf-8")
    try:
        yield
    finally:
        path.write_text(whole, "utf-8")


def _copy_tree(copy: Path) -> None:
    for name in COPIED:
        if (TREE / name).is_dir():
            shutil.copytree(TREE / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (TREE / name).exists():
            shutil.copy2(TREE / name, copy / name)


def _run(copy: Path, tests: Sequence[str], *, all_of_them: bool = False) -> Verdict:
    """Runs `tests` against the copy; up to the third failure, unless `all_of_them` are asked for."""
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    began, chosen = time.monotonic(), _chosen(copy, tests)
    flags = ["-p", "no:cacheprovider", "--tb=line", "-o", "addopts=", "-q", "-m", "not long"]
    if not all_of_them:
        flags.append("--maxfail=3")
    ran = _pytest(copy, [*flags, *(chosen or files)])
    failed = re.findall(r"^(?:FAILED|ERROR) (.*?)(?: - .*)?$", ran.stdout, re.MULTILINE)
    return Verdict(ran.returncode, tuple(failed), ran.stdout + ran.stderr, time.monotonic() - began)


def _chosen(copy: Path, tests: Sequence[str]) -> list[str]:
    """The ids of what is run of each test file, because rows have names that no ``-k`` can spell."""
    listed = _pytest(
        copy, ["--collect-only", "-o", "addopts=", "-q", "-m", "not long", *{t.partition("::")[0] for t in tests}]
    )
    found = dict[str, None]()
    for line in listed.stdout.splitlines():
        file, _, name = line.partition("::")
        if any(file == test.partition("::")[0] and test.partition("::")[2] in name for test in tests):
            found[line] = None
    return list(found)


def _pytest(copy: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, timeout=MOST_SECONDS, check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
