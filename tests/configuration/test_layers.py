"""The order of the layers, exactly, and who is named where a text is wrong."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from acestep_fetch.cli import get
from acestep_fetch.cli.arguments import options_of, origin_of, showing_of
from acestep_fetch.configuration.layers import flags, resolve, variables
from acestep_fetch.configuration.settings import SETTINGS
from acestep_fetch.core.errors import UsageError
from acestep_fetch.core.model import HubName
from acestep_fetch.options import Options
from tests.configuration.conftest import Place

# One setting in every layer there is but the machine's file, which a test cannot write. Highest first.
LAYERS: list[tuple[str, Any]] = [
    ("flag", "/flag"),
    ("ACESTEP_FETCH_DIR", "/ours"),
    ("ACESTEP_CHECKPOINTS_DIR", "/theirs"),
    ("ACESTEP_PROJECT_ROOT", "/root"),
    (".env ACESTEP_FETCH_DIR", "/env-ours"),
    (".env ACESTEP_CHECKPOINTS_DIR", "/env-theirs"),
    ("acestep-fetch.toml", "toml"),
    ("pyproject.toml", "pyproject"),
    ("user", "/user"),
]


@pytest.mark.parametrize("highest", range(len(LAYERS) + 1))
def test_the_highest_layer_that_says_something_counts(
    highest: int, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, dotenv = list[str](), ""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place.xdg))
    for name, value in LAYERS[highest:]:
        if name == "flag":
            arguments = ["--dir", value]
        elif name.startswith(".env "):
            dotenv += f"{name.removeprefix('.env ')}={value}\n"
        elif name.endswith(".toml"):
            table = "[tool.acestep-fetch]\n" if name == "pyproject.toml" else ""
            place.write(name, f'{table}dir = "{value}"\n')
        elif name == "user":
            place.write("user", f'dir = "{value}"\n')
        else:
            monkeypatch.setenv(name, value)
    place.write(".env", dotenv)
    monkeypatch.chdir(place.here)
    directory = options_of(get.parser().parse_args(arguments)).directory
    expected = [*(place.here / value / ("checkpoints" if value == "/root" else "") for _, value in LAYERS), None]
    assert directory == expected[highest]


def test_an_acestep_fetch_toml_is_the_whole_truth_of_its_folder(place: Place) -> None:
    place.write("acestep-fetch.toml", "jobs = 2\n")
    place.write("pyproject.toml", "[tool.acestep-fetch]\nconnections = 3\n")
    assert place.found().keys() == {"jobs"}


def test_the_api_reads_the_environment_and_files_only_when_asked(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write("acestep-fetch.toml", "jobs = 2\nconnections = 5\n")
    monkeypatch.chdir(place.here)
    assert Options.from_environment({"ACESTEP_FETCH_JOBS": "4"}).connections == Options().connections
    found = Options.from_configuration({"ACESTEP_FETCH_JOBS": "4"})
    assert (found.jobs, found.connections) == (4, 5)
    assert Options.from_configuration({}, place.here.parent).jobs is None
    assert Options.from_configuration({}, jobs=7).jobs == 7


def test_what_to_fetch_is_said_to_get_only(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """`repair`, and whoever calls the API, would otherwise fetch something else than what they were told to."""
    monkeypatch.setenv("ACESTEP_FETCH_ALL", "yes")
    monkeypatch.setenv("ACESTEP_FETCH_INCLUDE", "*.json")
    monkeypatch.setenv("ACESTEP_FETCH_DRY_RUN", "1")
    assert Options.from_environment() == Options.from_configuration() == Options()
    assert options_of(Namespace(dir=None)) == Options()
    options = options_of(get.parser().parse_args([]))
    assert (options.all_models, options.include, options.dry_run) == (True, ("*.json",), True)


def test_a_named_model_goes_before_all_of_a_lower_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACESTEP_FETCH_ALL", "1")
    options = options_of(get.parser().parse_args(["--model", "a,b"]))
    assert (options.models, options.all_models) == (("a", "b"), False)


def test_a_token_of_a_higher_layer_goes_before_a_file_of_a_lower_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place.here / "t").write_text("hf_fromTheFile1\n")
    monkeypatch.setenv("ACESTEP_FETCH_TOKEN_FILE", str(place.here / "t"))
    assert options_of(get.parser().parse_args([])).token == "hf_fromTheFile1"
    assert options_of(get.parser().parse_args(["--token", "hf_fromTheFlag1"])).token == "hf_fromTheFlag1"
    assert Options.from_environment(token="hf_fromTheCall1").token == "hf_fromTheCall1"
    monkeypatch.setenv("ACESTEP_FETCH_TOKEN", "hf_fromTheVariable1")
    with pytest.raises(UsageError, match="ACESTEP_FETCH_TOKEN and ACESTEP_FETCH_TOKEN_FILE exclude each other"):
        Options.from_environment()


@pytest.mark.parametrize(
    ("variable", "key", "written"),
    [
        ("HF_TOKEN", "token", "ACESTEP_FETCH_TOKEN=hf_ofTheFolder1"),
        ("HTTPS_PROXY", "proxy", None),
        ("SSL_CERT_FILE", "ca-bundle", None),
        ("NO_PROXY", "no-proxy", None),
    ],
)
def test_a_variable_that_others_read_goes_before_all_files(
    variable: str, key: str, written: str | None, place: Place
) -> None:
    if written:
        place.write(".env", written)
    place.write("user", f'{key} = "http://u/ser"\n')
    said = place.found({variable: "x"})[key]
    assert (said.value, said.origin.name) == (None, variable)
    assert place.found()[key].value is not None


def test_switches_can_be_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACESTEP_FETCH_SKIP_MAIN", "true")
    monkeypatch.setenv("ACESTEP_FETCH_QUIET", "1")
    assert options_of(get.parser().parse_args([])).skip_main
    assert showing_of(get.parser().parse_args([])).quiet
    assert not options_of(get.parser().parse_args(["--no-skip-main"])).skip_main
    assert not showing_of(get.parser().parse_args(["--no-quiet"])).quiet


def test_another_word_for_skip_main() -> None:
    assert options_of(get.parser().parse_args(["--model", "acestep-v15-sft", "--no-main"])).skip_main


@pytest.mark.parametrize(
    ("environ", "color"),
    [
        ({}, "auto"),
        ({"NO_COLOR": "1"}, "never"),
        ({"NO_COLOR": ""}, "auto"),
        ({"FORCE_COLOR": "1"}, "always"),
        ({"FORCE_COLOR": "0"}, "never"),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, "never"),
        ({"NO_COLOR": "1", "ACESTEP_FETCH_COLOR": "always"}, "always"),
    ],
)
def test_colours(environ: dict[str, str], color: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    for name, text in environ.items():
        monkeypatch.setenv(name, text)
    showing = showing_of(get.parser().parse_args([]))
    assert showing.color == color
    assert bool(showing.environ.get("NO_COLOR")) is (color == "never")
    assert showing_of(get.parser().parse_args(["--color", "never"])).environ["NO_COLOR"]


def test_an_empty_flag_is_a_scripts_unset_variable() -> None:
    given = {"dir": "", "token": "", "prefer_source": "", "model": []}
    assert resolve(SETTINGS, [flags(given, SETTINGS)]) == {}
    with pytest.raises(UsageError, match=r"^--jobs: "):
        resolve(SETTINGS, [flags({"jobs": ""}, SETTINGS)])


def test_an_empty_text_in_a_file_is_not_set_either(tmp_path: Path) -> None:
    (tmp_path / "acestep-fetch.toml").write_text('dir = ""\nrevision = ""\njobs = ""\n')
    options = Options.from_configuration({"ACESTEP_PROJECT_ROOT": ""}, tmp_path)
    assert (options.directory, options.revision, options.jobs) == (None, None, None)


def test_lists_and_units_in_variables() -> None:
    environ = {
        "ACESTEP_FETCH_MODEL": "main, acestep-v15-sft",
        "ACESTEP_FETCH_EXCLUDE": "*.md,vae/*",
        "ACESTEP_FETCH_TIMEOUT": "5m",
        "ACESTEP_FETCH_WAIT": "0",
        "ACESTEP_FETCH_MIN_FREE": "2GB",
        "ACESTEP_FETCH_ONLY_SOURCE": "modelscope",
    }
    found = {key: said.value for key, said in resolve(SETTINGS, variables(environ)).items()}
    assert found == {
        "model": ("main", "acestep-v15-sft"),
        "exclude": ("*.md", "vae/*"),
        "timeout": 300.0,
        "wait": 0.0,
        "min-free": 2_000_000_000,
        "only-source": HubName.MODELSCOPE,
    }


@pytest.mark.parametrize(("older", "key"), [("GIVE_UP_AFTER", "timeout"), ("LEASE_WAIT", "wait")])
def test_the_names_of_earlier_versions_go_on(older: str, key: str) -> None:
    assert resolve(SETTINGS, variables({f"ACESTEP_FETCH_{older}": "7"}))[key].value == 7.0


def test_every_new_flag_gets_where_it_belongs() -> None:
    flags = (
        "--only-source modelscope --hf-endpoint http://m --ms-endpoint http://n --proxy http://u:pass@p --no-proxy a,b "
        "--timeout 5m --connect-timeout 2 --stall-timeout 1.5s --no-wait --min-free 2GB"
    )
    options = options_of(get.parser().parse_args(flags.split()))
    assert options == Options(
        only=HubName.MODELSCOPE,
        huggingface_endpoint="http://m",
        modelscope_endpoint="http://n",
        proxy="http://u:pass@p",
        no_proxy="a,b",
        give_up_after=300.0,
        connect_timeout=2.0,
        stall_timeout=1.5,
        lease_wait=0.0,
        min_free=2_000_000_000,
    )
    assert "pass" not in repr(options)
    shown = showing_of(get.parser().parse_args(["--progress-interval", "1m", "--progress", "plain", "-v"]))
    assert (shown.progress, shown.progress_interval, shown.verbose) == ("plain", 60.0, True)


def test_who_says_where_the_folder_is(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.here)
    assert origin_of(Namespace(dir=None), "dir") == "the default"
    place.write("acestep-fetch.toml", 'dir = "models"\n')
    assert origin_of(Namespace(dir=None), "dir") == "acestep-fetch.toml:1: dir"
    monkeypatch.setenv("ACESTEP_CHECKPOINTS_DIR", "y")
    assert origin_of(Namespace(dir=None), "dir") == "ACESTEP_CHECKPOINTS_DIR"
    assert origin_of(Namespace(dir="x"), "dir") == "--dir"


def test_a_named_lock_goes_before_the_one_of_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def lock(*arguments: str) -> Path | None:
        return options_of(get.parser().parse_args(arguments)).lock

    assert lock() is None
    monkeypatch.setenv("ACESTEP_FETCH_LOCKED", "yes")
    assert lock() == Path("acestep-fetch.lock")
    assert lock("--lock", "other.lock") == Path("other.lock")
    assert lock("--no-locked") is None
    monkeypatch.setenv("ACESTEP_FETCH_LOCK", "named.lock")
    assert lock() == Path("named.lock")
    assert lock("--locked") == Path("acestep-fetch.lock")


def test_the_hubs_own_word_for_offline_is_a_lower_layer() -> None:
    assert Options.from_environment({"HF_HUB_OFFLINE": "1"}).offline
    assert not Options.from_environment({"HF_HUB_OFFLINE": "1", "ACESTEP_FETCH_OFFLINE": "0"}).offline
    assert not Options.from_environment({"HF_HUB_OFFLINE": "0"}).offline


def test_models_for_a_gpu_are_displaced_by_a_named_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACESTEP_FETCH_FOR_GPU", "12GB")
    chosen = options_of(get.parser().parse_args(["-q"])).models
    assert "main" in chosen
    assert options_of(get.parser().parse_args(["--model", "acestep-v15-sft"])).models == ("acestep-v15-sft",)
    both = options_of(get.parser().parse_args(["-q", "--for-gpu", "12GB", "--model", "other"])).models
    assert both == ("other", *chosen)


def test_folders_to_adopt_from_are_a_list_of_any_layer(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (place.here / name).mkdir()
    monkeypatch.chdir(place.here)
    place.write("acestep-fetch.toml", 'adopt = ["a", "b"]\n')
    assert options_of(get.parser().parse_args([])).adopt == (place.here / "a", place.here / "b")
    monkeypatch.setenv("ACESTEP_FETCH_ADOPT", "a,nowhere")
    with pytest.raises(UsageError, match="nowhere: no such folder"):
        options_of(get.parser().parse_args([]))
    assert options_of(get.parser().parse_args(["--adopt", "b"])).adopt == (Path("b"),)
