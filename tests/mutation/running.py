"""Runs the tests of a module on each of its mutants, in a process that was forked just for that.

The parent has imported what tests need, but nothing of the project, so a child finds the mutant where it looks for
the module. A child is given seconds of CPU: `core/` waits for nothing, so one that needs more is in a loop without an
end, on a busy machine too.
"""

from __future__ import annotations

import ast
import os
import resource
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Final, NoReturn

import huggingface_hub.utils  # noqa: F401 - once, not in every child
import pytest
from hypothesis import HealthCheck, Phase, settings

_MEMORY: Final = 4 << 30  # bytes of address space: a mutant that wants more has run away
_CONFIGURATION: Final = Path(__file__).with_name("pytest.ini")
_OPTIONS: Final = ("-x", "-q", "--noconftest", "-p", "no:cacheprovider", "--assert=plain", "-c", str(_CONFIGURATION))

settings.register_profile(
    "mutation",
    derandomize=True,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate),  # nobody reads the smallest example
    suppress_health_check=list(HealthCheck),
)


class _Instead(MetaPathFinder, Loader):
    """Gives `tree` to whoever imports `module`."""

    def __init__(self, module: str, tree: ast.Module) -> None:
        self.module, self.tree = module, tree

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname == self.module else None

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.tree, f"<{self.module}, mutated>", "exec"), module.__dict__)


@dataclass(frozen=True)
class Verdict:
    passed: bool
    seconds: float  # of CPU


def start(module: str, tree: ast.Module, tests: Sequence[str], seconds: int, *, aloud: bool = False) -> int:
    """A child that runs `tests` with `tree` in place of `module`; its process id, for `finished`."""
    assert not [name for name in sys.modules if name.startswith("acestep_fetch")]
    child = os.fork()
    if not child:
        _play(module, tree, tests, seconds, aloud)
    return child


def finished() -> tuple[int, Verdict]:
    """Waits for any child."""
    child, status, usage = os.wait3(0)
    return child, Verdict(os.waitstatus_to_exitcode(status) == 0, usage.ru_utime + usage.ru_stime)


def _play(module: str, tree: ast.Module, tests: Sequence[str], seconds: int, aloud: bool) -> NoReturn:
    code = 1
    try:
        if not aloud:
            nowhere = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nowhere, stream)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        settings.load_profile("mutation")
        sys.meta_path.insert(0, _Instead(module, tree))
        code = int(pytest.main([*_OPTIONS, *tests]))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)  # nothing of the parent's is to be ended here
