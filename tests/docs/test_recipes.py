"""The recipes, played on a box of its own against two hubs: what they say happens, happens."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from acestep_fetch.core.model import HubName
from tests.docs.pages import Box, block, blocks
from tests.end_to_end.conftest import hubs
from tests.reference import table_below
from tests.support.faults import Rule, Status
from tests.support.trees import make_catalogue, tree_digests

PAGE = "recipes.md"
TOKEN = "hf_" + "s" * 34
SHARED = pytest.mark.skipif(not shutil.which("bash"), reason="the recipes are for bash")
pytestmark = SHARED


@pytest.fixture(scope="module")
def roots(shared_trees: Path) -> dict[HubName, Path]:
    found = {hub: shared_trees / f"recipes-{hub.value}" for hub in HubName}
    for hub, root in found.items():
        make_catalogue(root, scale=0.0002, hub=hub)
    return found


@pytest.fixture
def box(roots: dict[HubName, Path], tmp_path: Path) -> Iterator[Box]:
    with hubs(roots[HubName.HUGGINGFACE], roots[HubName.MODELSCOPE]) as pair:
        yield Box(tmp_path / "box", pair)


def ready(folder: Path, roots: dict[HubName, Path], *models: str) -> None:
    """Everything of main, and the folders of `models`, as the hub has them."""
    expected = tree_digests(roots[HubName.HUGGINGFACE] / "ACE-Step/Ace-Step1.5")
    for model in models:
        below = tree_digests(roots[HubName.HUGGINGFACE] / "ACE-Step" / model)
        expected |= {f"{model}/{path}": digest for path, digest in below.items()}
    here = tree_digests(folder)
    assert {path: here.get(path) for path in expected} == expected


def final_codes() -> list[int]:
    """Those after which the README says that another run does not help."""
    return [int(code) for code, _, again in table_below("Exit codes") if again == "no"]


def test_any_script_tries_again_only_where_that_helps(box: Box, roots: dict[HubName, Path]) -> None:
    script = block(PAGE, "Any script", "sh").text
    assert [int(code) for code in re.findall(r"\d+", re.search(r"in ([\d |]+)\)", script)[1])] == CODES
    box.variables["ACESTEP_CHECKPOINTS_DIR"] = str(box.root / "models")
    box.add("sleep", f'echo "sleep $*" >> $TOLD; rm -f {box.root}/away')
    # the hubs are away for the first try: the address of nobody
    gone = "HF_ENDPOINT=http://127.0.0.1:9 MODELSCOPE_ENDPOINT=http://127.0.0.1:9 ACESTEP_FETCH_GIVE_UP_AFTER=2"
    box.add(
        "acestep-fetch",
        f'[ -e {box.root}/away ] && export {gone}\nexec {sys.executable} -m acestep_fetch "$@"',
    )
    (box.root / "away").touch()
    played = box.play(script)
    assert played.returncode == 0, played.stderr
    assert box.told == ["sleep 30"]
    ready(box.root / "models", roots, "acestep-v15-sft")
    box.hubs.hf.faults.rules.append(Rule(Status(404)))
    box.hubs.ms.faults.rules.append(Rule(Status(404)))
    box.variables["ACESTEP_CHECKPOINTS_DIR"] = str(box.root / "others")
    assert box.play(script).returncode == 1
    assert box.told == ["sleep 30"]


CODES = [2, 3, 4, 6, 7, 8, 12]


def test_the_codes_that_end_it_are_those_of_the_readme() -> None:
    assert set(final_codes()) == set(CODES)


def test_docker(box: Box, roots: dict[HubName, Path]) -> None:
    docker = block(PAGE, "Docker", "dockerfile")
    (box.root / "run/secrets").mkdir(parents=True)
    (box.root / "build").mkdir()
    locked = box.run(["acestep-fetch", "lock", "-o", str(box.root / "build/acestep-fetch.lock")])
    assert locked.returncode == 0, locked.stderr
    for token in (None, TOKEN):
        if token:
            (box.root / "run/secrets/hf").write_text(token)
            shutil.rmtree(box.root / "models")
        for line in docker.text.replace("\\\n", " ").splitlines():
            word, _, rest = line.partition(" ")
            assert not line or word in ("FROM", "COPY", "RUN", "WORKDIR", "ENV", "CMD", "#"), line
            if word == "RUN":
                command = re.sub(r"^(--mount=\S+\s+)+", "", rest)
                played = box.play(f"cd {box.root}/build && {command}")
                assert played.returncode == 0, played.stderr
                assert TOKEN not in played.stdout + played.stderr
        ready(box.root / "models", roots)
    assert box.told[0].startswith("pip install")
    assert not [
        path for path in (box.root / "models").rglob("*") if path.is_file() and TOKEN in path.read_text("latin1")
    ]
    as_a_layer_keeps_it(box.root / "models")
    box.variables["ACESTEP_CHECKPOINTS_DIR"] = str(box.root / "models")
    checked = box.run(["acestep-fetch", "--check"])
    assert checked.returncode == 0, checked.stderr


def as_a_layer_keeps_it(folder: Path) -> None:
    for path in folder.rglob("*"):
        second = path.stat().st_mtime_ns // 10**9 * 10**9
        os.utime(path, ns=(second, second))


@pytest.mark.parametrize("number", [0, 1])
def test_kubernetes(number: int, box: Box, roots: dict[HubName, Path]) -> None:
    told = yaml.safe_load(block(PAGE, "Kubernetes", "yaml", number).text)
    if told["kind"] == "Job":
        policy, pod = told["spec"]["podFailurePolicy"], told["spec"]["template"]["spec"]
        assert policy["rules"][0]["onExitCodes"]["values"] == CODES
        assert pod["restartPolicy"] == "Never"  # without which a Job may not have a podFailurePolicy
        [container] = pod["containers"]
        assert policy["rules"][0]["onExitCodes"]["containerName"] == container["name"]
    else:
        [container] = told["spec"]["initContainers"]
        pod = told["spec"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for each in pod["containers"] for mount in each["volumeMounts"]} == volumes
    command = [box.moved(word.replace("=", " ", 1) if word.startswith("--") else word) for word in container["args"]]
    command = [*container["command"], *(part for word in command for part in word.split(" "))]
    log = box.root / "dev/termination-log"
    log.parent.mkdir()
    log.touch()  # kubelet makes the file
    first = box.run(command)
    assert first.returncode == 0, first.stderr
    assert "\r" not in first.stderr
    assert "\x1b" not in first.stderr
    summary = json.loads(log.read_text())
    assert (summary["exit_code"], summary["changed"]) == (0, True)
    assert log.stat().st_size <= 4096
    ready(box.root / "models", roots, *(["acestep-v15-xl-turbo"] if number == 0 else []))
    sent = box.hubs.sent
    assert box.run(command).returncode == 0
    assert json.loads(log.read_text())["changed"] is False
    assert box.hubs.sent == sent


def test_slurm_ranks_share_one_download(box: Box, roots: dict[HubName, Path]) -> None:
    played = box.play(block(PAGE, "Slurm", "sh").text)
    assert played.returncode == 0, played.stderr
    ready(box.root / "scratch/ace", roots, "acestep-v15-sft")
    assert box.told == ["uv run generate.py"] * 4
    files = [path for path in (box.root / "scratch/ace").rglob("*") if path.is_file() and ".acestep" not in str(path)]
    assert box.hubs.sent < 1.1 * sum(path.stat().st_size for path in files)


def test_slurm_with_the_network_at_the_login_node_only(box: Box) -> None:
    here = block(PAGE, "Slurm", "sh", 1)
    export, login, job = here.text.splitlines()
    assert box.play(f"{export}\n{job}").returncode == 11
    assert box.told == []
    assert box.play(f"{export}\n{login}").returncode == 0
    offline = "export HF_ENDPOINT=http://127.0.0.1:9 MODELSCOPE_ENDPOINT=http://127.0.0.1:9"
    assert box.play(f"{offline}\n{export}\n{job}").returncode == 0
    assert box.told == ["uv run generate.py"]


def unit() -> dict[str, str]:
    lines = block(PAGE, "systemd", "ini").text.splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def test_the_unit_does_what_it_says(box: Box, roots: dict[HubName, Path]) -> None:
    told = unit()
    assert [int(code) for code in told["RestartPreventExitStatus"].split()] == CODES
    program, *words = told["ExecStart"].split(" ")
    assert program.endswith("/acestep-fetch")
    ran = box.run(["acestep-fetch", *map(box.moved, words)])
    assert ran.returncode == 0, ran.stderr
    ready(box.root / "srv/ace/checkpoints", roots, "acestep-v15-xl-base", "acestep-5Hz-lm-4B")


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    text = block(PAGE, "systemd", "ini").text.replace("/opt/acestep-fetch/bin/acestep-fetch", "/bin/true")
    path = tmp_path / "acestep-fetch.service"
    path.write_text(text)
    seen = subprocess.run(
        ["systemd-analyze", "--man=no", "verify", str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    if "bus" in seen.stderr.lower() or "/run/systemd" in seen.stderr:
        pytest.skip(f"systemd is not running: {seen.stderr.splitlines()[0]}")
    assert [line for line in seen.stderr.splitlines() if "acestep-fetch" in line] == []
    assert seen.returncode == 0, seen.stderr


def test_cloud_init(box: Box, roots: dict[HubName, Path]) -> None:
    here = block(PAGE, "cloud-init", "yaml")
    assert here.text.startswith("#cloud-config\n")
    told = yaml.safe_load(here.text)
    *_, line = told["runcmd"]
    program = str(box.root / "opt/acestep-fetch/bin/acestep-fetch")
    ran = box.play(box.moved(line).replace(program, "acestep-fetch"), moved=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads((box.root / "srv/ace/fetched.json").read_text())["exit_code"] == 0
    ready(box.root / "srv/ace/checkpoints", roots, "acestep-v15-base", "acestep-5Hz-lm-0.6B")


def test_ansible(box: Box, roots: dict[HubName, Path]) -> None:
    here = block(PAGE, "Ansible", "yaml")
    fetch, look = yaml.safe_load(here.text)

    def task(one: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        return box.run(box.moved(one["ansible.builtin.command"]["cmd"]).split(" "))

    def looked() -> dict[str, bool]:
        """What the check mode says, by the task's own expressions; these are Python's, too."""
        result = task(look)
        scope = {"looked": result}
        result.rc = result.returncode  # type: ignore[attr-defined]
        return {word: eval(look[word], {}, scope) for word in ("changed_when", "failed_when")}

    assert looked() == {"changed_when": True, "failed_when": False}
    assert fetch["changed_when"] == "(fetched.stdout_lines | last | from_json).changed"
    for changed in (True, False):
        result = task(fetch)
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout.splitlines()[-1])["changed"] is changed
    assert looked() == {"changed_when": False, "failed_when": False}
    ready(box.root / "srv/ace/checkpoints", roots, "acestep-v15-sft")


@pytest.mark.parametrize("number", [0, 1])
def test_runpod(number: int, box: Box, roots: dict[HubName, Path]) -> None:
    here = block(PAGE, "RunPod, vast.ai", "sh", number)
    for _ in "once", "again":
        played = box.play(here.text)
        assert played.returncode == 0, played.stderr
    assert box.told == ["uv run acestep-api"] * 2
    ready(box.root / "workspace/checkpoints", roots)


def test_a_mirror_on_the_lan(box: Box, roots: dict[HubName, Path]) -> None:
    serving, asking = (block(PAGE, "A mirror on the LAN", "sh", number).text for number in (0, 1))
    fetch, serve = serving.splitlines()
    assert box.play(fetch).returncode == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    sent = box.hubs.sent
    words = box.moved(serve).replace("0.0.0.0", "127.0.0.1").replace("8000", port).split(" ")
    mirror = subprocess.Popen(
        [sys.executable, "-m", "acestep_fetch", *words[1:]],
        env=box.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        box.variables["ACESTEP_CHECKPOINTS_DIR"] = str(box.root / "other")
        box.add("acestep-fetch", f"until (: < /dev/tcp/127.0.0.1/{port}) 2>/dev/null; do /bin/sleep 0.1; done\n"
                f'exec {sys.executable} -m acestep_fetch "$@"')  # fmt: skip
        played = box.play(asking.replace("mirror:8000", f"127.0.0.1:{port}"))
    finally:
        mirror.terminate()
        mirror.wait(20)
    assert played.returncode == 0, played.stderr
    ready(box.root / "other", roots, "acestep-v15-sft")
    assert box.hubs.sent == sent


def test_a_bucket(box: Box, roots: dict[HubName, Path]) -> None:
    there, back = (block(PAGE, "A bucket", "sh", number).text for number in (0, 1))
    assert box.run(["acestep-fetch"]).returncode == 0
    assert box.play(there).returncode == 0
    assert not (box.root / "work/bucket:ace-step/.acestep-fetch").exists()
    shutil.rmtree(box.root / "work/checkpoints")
    sent = box.hubs.sent
    played = box.play(back)
    assert played.returncode == 0, played.stderr
    ready(box.root / "work/checkpoints", roots)
    assert box.hubs.sent == sent  # nothing was fetched again


def test_a_box_without_a_network(box: Box, roots: dict[HubName, Path]) -> None:
    needs_, create, take = (block(PAGE, "A box without a network", "sh", number) for number in range(3))
    away = "export HF_ENDPOINT=http://127.0.0.1:9 MODELSCOPE_ENDPOINT=http://127.0.0.1:9\n"
    inside = f"export ACESTEP_CHECKPOINTS_DIR={box.root}/inside\n{away}"
    for script in (inside + needs_.text, create.text, inside + take.text):
        played = box.play(script, moved=False)
        assert played.returncode == 0, played.stderr
    ready(box.root / "inside", roots, "acestep-v15-sft")


def test_every_recipe_is_played_here() -> None:
    source = Path(__file__).read_text("utf-8")
    played = re.findall(r'block\(PAGE, "([^"]+)", "(\w+)"', source)
    not_played = {("Docker", "sh")}  # `docker build` itself
    assert {(each.section, each.language) for each in blocks(PAGE)} <= {*played} | not_played
