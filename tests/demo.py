"""``make demo``: the main job on real sockets, with nothing but this machine.

Two embedded hubs serve a scaled-down copy of the whole catalogue. The real command fetches all of it from both; on the
way one of them goes down. What landed is compared with what the hubs have, and the command runs once more.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from acestep_fetch.core.model import HubName
from acestep_fetch.display.units import rate, size
from tests.support.hub import ThreadedHub
from tests.support.trees import make_catalogue, tree_digests

SCALE = 0.0028  # of 104 GB
LINKS = {HubName.HUGGINGFACE: 24e6, HubName.MODELSCOPE: 16e6}  # bytes a second
DOWN_AFTER = 70e6  # bytes served by the hub that goes down
HERE = Path(".demo")


def main() -> int:
    """Plays the demo; 0 if everything ended as promised."""
    roots = {hub: HERE / "hubs" / hub.value for hub in HubName}
    target = HERE / "checkpoints"
    shutil.rmtree(target, ignore_errors=True)
    for hub, root in roots.items():
        if not root.exists():
            _say(f"making {hub.title}'s copy of the catalogue, scaled to {SCALE:.2%} ...")
            make_catalogue(root, scale=SCALE, hub=hub)
    with (
        ThreadedHub(roots[HubName.HUGGINGFACE], hub=HubName.HUGGINGFACE, link=LINKS[HubName.HUGGINGFACE]) as hf,
        ThreadedHub(roots[HubName.MODELSCOPE], hub=HubName.MODELSCOPE, link=LINKS[HubName.MODELSCOPE]) as ms,
    ):
        for hub, url in ((HubName.HUGGINGFACE, hf.url), (HubName.MODELSCOPE, ms.url)):
            _say(f"{hub.title}: {url}, {rate(LINKS[hub])}")
        _say(f"Hugging Face will go down after {size(DOWN_AFTER)}")
        environment = _environment(hf, ms)
        killer = threading.Thread(target=_take_down, args=(hf,), daemon=True)
        killer.start()
        code = _run(["--all"], target, environment)
        right = _compare(target, roots)
        _say("and once more, with nothing to do:")
        again = _run(["--all"], target, environment)
    good = code == 0 and right and again == 0
    _say("everything ended as promised" if good else "SOMETHING WENT WRONG")
    return 0 if good else 1


def _environment(hf: ThreadedHub, ms: ThreadedHub) -> dict[str, str]:
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "MODELSCOPE_", "ACESTEP_"))}
    return {
        **plain,
        "HF_ENDPOINT": hf.url,
        "MODELSCOPE_ENDPOINT": ms.url,
        "ACESTEP_FETCH_PROBE_URL": f"{hf.url}/api/models/ACE-Step/Ace-Step1.5",  # stands in for Google
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    }


def _run(arguments: list[str], target: Path, environment: dict[str, str]) -> int:
    _say(f"$ acestep-fetch {' '.join(arguments)} --dir {target}")
    began = time.monotonic()
    code = subprocess.run(
        [sys.executable, "-m", "acestep_fetch", *arguments, "--dir", str(target)], env=environment, check=False
    ).returncode
    _say(f"exit code {code} after {time.monotonic() - began:.1f} s")
    return code


def _take_down(hub: ThreadedHub) -> None:
    while sum(entry.sent for entry in hub.recorder.entries) < DOWN_AFTER:
        time.sleep(0.05)
    hub.kill()


def _compare(target: Path, roots: dict[HubName, Path]) -> bool:
    """Every file that landed is one of the hubs' files of that name, and none is missing."""
    here = tree_digests(target)
    expected = [_as_checkpoints(tree_digests(root / "ACE-Step")) for root in roots.values()]
    wrong = [path for path, digest in here.items() if digest not in [tree.get(path) for tree in expected]]
    missing = [path for path in expected[0].keys() & expected[1].keys() if path not in here]
    _say(f"{len(here)} files compared by sha256: {len(wrong)} wrong, {len(missing)} missing")
    return not wrong and not missing


def _as_checkpoints(tree: dict[str, str]) -> dict[str, str]:
    return {path.removeprefix("Ace-Step1.5/"): digest for path, digest in tree.items()}


def _say(text: str) -> None:
    print(f"demo: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
