"""The tools as adapters: how each is called for a job, and what it needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from acestep_fetch.core.model import HubName
from tests.bench.corpora import Corpus
from tests.bench.network import ROOT
from tests.bench.scenarios import HF, MS

OURS: Final = "acestep-fetch"
_BIN: Final = Path(sys.executable).parent


@dataclass(frozen=True)
class Job:
    """One download: `corpus` from `urls` into `checkpoints`; `scratch` is for input files and homes."""

    corpus: Corpus
    urls: Mapping[HubName, str]
    better: HubName
    checkpoints: Path
    scratch: Path

    @property
    def folder(self) -> Path:
        return self.checkpoints / self.corpus.folder

    def address(self, hub: HubName, path: str) -> str:
        if hub is HF:
            return f"{self.urls[hub]}/{self.corpus.repo}/resolve/main/{quote(path)}"
        return f"{self.urls[hub]}/models/{self.corpus.repo}/resolve/master/{quote(path)}"


@dataclass(frozen=True)
class Tool:
    """`hub` is the only one that it knows, if so; `program` and `package` are what the bench may have to install."""

    name: str
    command: Callable[[Job], list[str]]
    hub: HubName | None = None
    needs_both: bool = False
    program: str = ""
    package: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)

    def environment(self, job: Job) -> dict[str, str]:
        """Nothing of this machine's settings, a home of its own, and the hubs' addresses.

        Python's own settings are dropped too: with one that forbids bytecode only what is not installed, which is this
        program, would be compiled anew in every run.
        """
        leaks = ("HF_", "HUGGING", "MODELSCOPE_", "ACESTEP_", "XDG_", "PYTHON")
        plain = {k: v for k, v in os.environ.items() if not k.startswith(leaks) and not k.lower().endswith("_proxy")}
        hf, ms = job.urls.get(HF, "http://hf"), job.urls.get(MS, "http://ms")
        return {
            **plain,
            "HOME": str(job.scratch),
            "HF_HOME": str(job.scratch / "hf"),
            "MODELSCOPE_CACHE": str(job.scratch / "modelscope"),
            "HF_ENDPOINT": hf,
            "MODELSCOPE_ENDPOINT": ms,
            "MODELSCOPE_DOMAIN": ms,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "ACESTEP_FETCH_PROBE_URL": f"{job.urls[job.better]}/",
            "PYTHONPATH": str(ROOT),
            **self.settings,
        }

    def install(self) -> str | None:
        """Makes the program available; the reason if it cannot be."""
        if not self.program or shutil.which(self.program) or (_BIN / self.program).exists():
            return None
        return installed(self.program, self.package)


def installed(program: str, package: str) -> str | None:
    """Installs `program` with the system's package manager; the reason if that fails."""
    if shutil.which(program):
        return None
    print(f"bench: installing {package}", flush=True)
    for command in (["apt-get", "-qq", "update"], ["apt-get", "-qq", "install", "-y", package]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as exc:
            return f"{program} cannot be installed: {exc}"
    return None if shutil.which(program) else f"{program} cannot be installed: {done.stderr.strip()[-200:]}"


def _ours(job: Job) -> list[str]:
    named = [] if job.corpus.is_main else ["--model", job.corpus.repo, "--skip-main"]
    return [sys.executable, "-m", "acestep_fetch", "--dir", str(job.checkpoints), "--progress", "none", *named]


def _aria2(job: Job, hubs: tuple[HubName, ...], split: int) -> list[str]:
    lines = [
        "\t".join(job.address(hub, file.path) for hub in hubs)
        + f"\n  dir={job.folder}\n  out={file.path}\n  checksum=sha-256={file.sha256}\n"
        for file in job.corpus.wanted
    ]
    listing = job.scratch / "aria2.txt"
    listing.write_text("".join(lines))
    quiet = ["--console-log-level=error", "--summary-interval=0", "--show-console-readout=false", "--no-conf=true"]
    steady = ["--file-allocation=falloc", "--min-split-size=1M", "--max-tries=0", "--retry-wait=1"]
    return ["aria2c", "-x16", f"-s{split}", "-j8", *steady, *quiet, f"--input-file={listing}"]


def _curl(job: Job) -> list[str]:
    lines = [
        f'url = "{job.address(job.better, file.path)}"\noutput = "{job.folder / file.path}"\n'
        for file in job.corpus.wanted
    ]
    config = job.scratch / "curl.txt"
    config.write_text("".join(lines))
    steady = ["--fail", "--location", "--create-dirs", "--retry", "5", "--retry-all-errors", "--silent"]
    return ["curl", "--parallel", "--parallel-max", "16", *steady, "--config", str(config)]


def _hf(job: Job) -> list[str]:
    return [str(_BIN / "hf"), "download", job.corpus.repo, "--local-dir", str(job.folder)]


def _modelscope(job: Job) -> list[str]:
    return [str(_BIN / "modelscope"), "download", "--model", job.corpus.repo, "--local_dir", str(job.folder)]


_EIGHT: Final = {
    "MODELSCOPE_DOWNLOAD_PARALLELS": "8",
    "MODELSCOPE_DOWNLOAD_PARALLEL_WORKERS": "8",
    "MODELSCOPE_PARALLEL_DOWNLOAD_THRESHOLD_MB": "1",
    "MODELSCOPE_DOWNLOAD_PARALLEL_THRESHOLD_MB": "1",
    "MODELSCOPE_DOWNLOAD_PART_SIZE_MB": "10",  # 160 for the real sizes; the files are scaled as well
}

TOOLS: Final = (
    Tool(OURS, _ours),
    Tool("aria2", lambda job: _aria2(job, (job.better,), 16), program="aria2c", package="aria2"),
    Tool("aria2 both", lambda job: _aria2(job, (HF, MS), 32), needs_both=True, program="aria2c", package="aria2"),
    Tool("curl", _curl, program="curl", package="curl"),
    Tool("hf", _hf, hub=HF),
    Tool("modelscope", _modelscope, hub=MS),
    Tool("modelscope x8", _modelscope, hub=MS, settings=_EIGHT),
)
