"""Completion in the shells themselves: each is asked what it offers, and typed into."""

from __future__ import annotations

from pathlib import Path

import pytest

from acestep_fetch.cli.commands import COMMANDS
from acestep_fetch.cli.shells import bash, fish, zsh
from acestep_fetch.cli.surface import Argument, Flag, Group, Kind, Page, Value, every, model_names, pages
from tests.cli.conftest import Run
from tests.cli.shells import SHELLS, candidates, need, script_of, typed

pytestmark = pytest.mark.skipif("sys.platform == 'win32'", reason="the shells are those of Unix")


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    need(request.param)
    return str(request.param)


@pytest.fixture
def script(shell: str, tmp_path: Path) -> Path:
    return script_of(shell, tmp_path)


def test_what_each_shell_offers(shell: str, script: Path, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "words.txt").touch()
    asked = offered(
        shell, script, "", "ver", "--mod", "--prog", "--model ", "--model acestep-v15-xl-", "-m sc",
        "--prefer-source ", "--progress=", "--limit-rate ", "--all --skip", "verify --f", "verify ma", "verify main ",
        "list --mod", "completion ", "--local", "--model=main --all --pre", f"--dir {tmp_path}/w",
        f"--dir={tmp_path}/w", f"serve {tmp_path}/w", f"--token-file {tmp_path}/wo",
    )  # fmt: skip
    assert asked[""] == {command.name for command in COMMANDS}
    assert asked["ver"] == {command.name for command in COMMANDS if command.name.startswith("ver")}
    assert asked["--mod"] == {"--model"}
    assert "--progress" in asked["--prog"]
    assert asked["--model "] == {name for name, _ in model_names()}
    assert asked["--model acestep-v15-xl-"] == {f"acestep-v15-xl-{kind}" for kind in ("turbo", "sft", "base")}
    assert asked["-m sc"] == {"scragvae"}
    assert asked["--prefer-source "] == {"huggingface", "modelscope", "auto"}
    assert asked["--progress="] == {"auto", "bar", "plain", "json", "none"}
    assert asked["--limit-rate "] == set()
    assert asked["--all --skip"] == {"--skip-main"}
    assert asked["verify --f"] == {"--fast"}
    assert asked["verify ma"] == {"main"}
    assert "acestep-v15-base" in asked["verify main "]
    assert asked["list --mod"] == set()
    assert asked["completion "] == {"bash", "zsh", "fish"}
    assert asked["--local"] == set()  # understood, and never offered
    assert asked["--model=main --all --pre"] == {"--prefer-source"}
    for flag in ("--dir ", "--dir=", "serve "):
        assert last_parts(asked[f"{flag}{tmp_path}/w"]) == {"weights"}
    assert last_parts(asked[f"--token-file {tmp_path}/wo"]) == {"words.txt"}


def offered(shell: str, script: Path, *lines: str) -> dict[str, set[str]]:
    """What `shell` offers behind ``acestep-fetch ``."""
    told = candidates(shell, script, [f"acestep-fetch {line}" for line in lines])
    return {line.removeprefix("acestep-fetch "): hits for line, hits in told.items()}


def last_parts(paths: set[str]) -> set[str]:
    """zsh hands out what follows the folder, the others the whole path; a folder may end in a slash."""
    return {Path(path).name for path in paths}


def test_a_line_that_is_typed_with_tabs(shell: str, script: Path) -> None:
    keys = "acestep-fetch --mo\tacestep-v15-s\tf\t--prefer\tmo\t--skip\t"
    # `small` and `sft` begin alike: the shell waits there for a letter more
    words = [part for word in typed(shell, script, keys) for part in word.split("=")]  # zsh writes --model=...
    assert words == ["--model", "acestep-v15-sft", "--prefer-source", "modelscope", "--skip-main"]


def test_commands_inside_a_command(shell: str, tmp_path: Path) -> None:
    nothing, files = (), (Argument(Value("FILE", Kind.FILE, many=True), "what to load"),)
    origin = Group("options", (Flag(("--origin",), "and where it's said [long]"),))
    show = Page("config show", "what holds", "", (origin,), nothing, "")
    load = Page("config load", "from files", "", (), files, "")
    help_ = Group("options", (Flag(("-h", "--help"), "help"),))
    top = [
        Page("get", "make ready", "", (help_,), nothing, ""),
        Page("config", "settings", "", (help_,), nothing, "", (show, load)),
    ]
    script = tmp_path / "nested"
    script.write_text({"bash": bash, "zsh": zsh, "fish": fish}[shell].script(top, [("main", "it's all")]))
    (tmp_path / "settings.toml").touch()
    loading = f"config load {tmp_path}/sett"
    asked = offered(shell, script, "config ", "config show --o", "config --h", loading)
    assert asked["config "] == {"show", "load"}
    assert asked["config show --o"] == {"--origin"}
    assert asked["config --h"] == {"--help"}
    assert last_parts(asked[loading]) == {"settings.toml"}


def test_every_flag_that_is_shown_and_no_other_is_in_every_script() -> None:
    words = {module: module.script(pages(), model_names()) for module in (bash, zsh, fish)}
    for page in every(pages()):
        for name in (name for flag in page.flags for name in flag.names):
            assert name in words[bash]
            assert name in words[zsh]
            assert f" -l {name[2:]} " in words[fish] or f" -s {name[1:]} " in words[fish]
    assert not any("--local-dir" in text or "-l local-dir" in text for text in words.values())


def test_an_unknown_shell_is_refused(run: Run) -> None:
    ended = run("completion", "tcsh")
    assert ended.code == 2
    assert "bash" in ended.err
