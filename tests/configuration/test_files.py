"""Which files are read, what may be in them, and how it is told where something is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from acestep_fetch.configuration.files import everything, fields_of, remarks, sources
from acestep_fetch.configuration.settings import SETTINGS, Folder, Kind
from acestep_fetch.core.errors import UsageError
from tests.configuration.conftest import Place

TABLE = "[tool.acestep-fetch]\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows has %APPDATA% for it")
def test_the_files_that_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder, ours = Path("/w"), "acestep-fetch.toml"
    here = [folder / ".env", folder / ours, folder / "pyproject.toml"]
    assert [source.file for source in sources({}, folder)] == [
        *here,
        tmp_path / ".config" / "acestep-fetch" / "config.toml",
        Path("/etc") / ours,
    ]
    assert [source.file for source in sources({"XDG_CONFIG_HOME": "/x"}, folder)][3] == Path(
        "/x/acestep-fetch/config.toml"
    )
    assert len(sources({"XDG_CONFIG_HOME": "not/absolute"}, None)) == 1


def test_paths_in_a_file_begin_at_the_file(place: Place) -> None:
    place.write("user", 'dir = "models"\n')
    assert place.found()["dir"].value == place.user.parent / "models"
    place.write("user", 'dir = "/models"\n')
    assert place.found()["dir"].value == Path("/models")
    place.write("acestep-fetch.toml", 'dir = "models"\n')
    assert place.found()["dir"].value == place.here / "models"


@pytest.mark.parametrize("folder", ["/models", "../models", "models/../../x", "~/models"])
def test_a_folders_files_cannot_have_anything_written_elsewhere(folder: str, place: Place) -> None:
    for name, table in (("acestep-fetch.toml", ""), ("pyproject.toml", TABLE)):
        place.write(name, f'{table}dir = "{folder}"\n')
        with pytest.raises(UsageError, match=f"{name}:[12]: dir: .*{folder} is outside of this folder"):
            place.found()
        assert place.found({"ACESTEP_FETCH_DIR": "/mine"})["dir"].value == Path("/mine")
        (place.here / name).unlink()


@pytest.mark.parametrize("said", ["model = ['main', 'evil/.ssh']", "locked = true", "lock = 'their.lock'"])
@pytest.mark.parametrize(
    "variable", ["ACESTEP_FETCH_DIR=/home", "ACESTEP_CHECKPOINTS_DIR=..", "ACESTEP_PROJECT_ROOT=/"]
)
def test_only_models_of_the_catalogue_go_where_a_folders_env_leads(said: str, variable: str, place: Place) -> None:
    place.write(".env", f"{variable}\n")
    place.write("acestep-fetch.toml", f"model = 'main'\n{said if not said.startswith('model') else ''}\n")
    if said.startswith("model"):
        assert place.found()["dir"].origin.kind == "dotenv"
        place.write("acestep-fetch.toml", f"{said}\n")
    with pytest.raises(UsageError, match=r"acestep-fetch.toml:\d: .* would be put into .*, outside of this folder"):
        place.found()
    key = said.split(" ")[0]
    assert place.found({f"ACESTEP_FETCH_{key.upper()}": "main" if key == "model" else "no"})
    place.write(".env", "ACESTEP_CHECKPOINTS_DIR=models\n")
    assert place.found()[key].origin.kind == "project"


WRONG = {
    "key": ("acestep-fetch.toml", "jobs = 2\n\nconections = 3\n", "acestep-fetch.toml:3: there is no setting conec"),
    "did you mean": ("acestep-fetch.toml", "conections = 3\n", "did you mean connections?"),
    "accepted names": ("acestep-fetch.toml", "x = 3\n", "there are model, all, for-gpu, skip-main"),
    "value": ("acestep-fetch.toml", "connections = 0\n", "acestep-fetch.toml:1: connections: '0' is not a whole"),
    "type": ("acestep-fetch.toml", "connections = [1]\n", "acestep-fetch.toml:1: connections: a text, a number"),
    "switch": ("acestep-fetch.toml", 'all = "perhaps"\n', "acestep-fetch.toml:1: all: 'perhaps' is neither yes nor no"),
    "number for a switch": ("acestep-fetch.toml", "all = 2\n", "acestep-fetch.toml:1: all: '2' is neither"),
    "true for a number": ("acestep-fetch.toml", "jobs = true\n", "acestep-fetch.toml:1: jobs: 'yes' is not a whole"),
    "list of lists": ("acestep-fetch.toml", 'model = [["main"]]\n', "acestep-fetch.toml:1: model: a list of texts"),
    "table": ("acestep-fetch.toml", "[jobs]\nn = 1\n", "acestep-fetch.toml: jobs: a text, a number"),
    "syntax": ("acestep-fetch.toml", "jobs = \n", "acestep-fetch.toml: Invalid value (at line 1"),
    "pyproject": ("pyproject.toml", f"{TABLE}jobs = 2\nfoo = 1\n", "pyproject.toml:3: there is no setting foo"),
    ".env": (".env", "\nACESTEP_FETCH_JOBS=all\n", ".env:2: ACESTEP_FETCH_JOBS: 'all' is not a whole number"),
    ".env name": (".env", "ACESTEP_FETCH_JOB=1\n", "did you mean ACESTEP_FETCH_JOBS?"),
    ".env theirs": (".env", "ACESTEP_DOWNLOAD_SOURCE=both\n", ".env:1: ACESTEP_DOWNLOAD_SOURCE: 'both' is not"),
    "user": ("user", "jobs = 0\n", "config.toml:1: jobs: '0'"),
    "nested without end": ("acestep-fetch.toml", f"jobs = {'[' * 5000}\n", "acestep-fetch.toml: it cannot be read"),
    "brackets only": ("user", "[" * 5000, "config.toml: "),
    "digits without end": ("acestep-fetch.toml", f"jobs = {'9' * 5000}\n", "acestep-fetch.toml: it cannot be read"),
    "hexadecimal": ("acestep-fetch.toml", f"jobs = 0x{'f' * 5000}\n", "acestep-fetch.toml:1: jobs: a text, a number"),
    "NUL": ("acestep-fetch.toml", 'dir = "a\\u0000"\n', "acestep-fetch.toml:1: dir: 'a\\x00' is no path"),
    "NUL in a list": ("pyproject.toml", f'{TABLE}adopt = ["\\u0000"]\n', "pyproject.toml:2: adopt: '\\x00' is no path"),
    ".env NUL": (".env", "ACESTEP_CHECKPOINTS_DIR=a\0b\n", ".env:1: ACESTEP_CHECKPOINTS_DIR: 'a\\x00b' is no path"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "text", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_with_its_place(name: str, text: str, said: str, place: Place) -> None:
    place.write(name, text)
    with pytest.raises(UsageError) as caught:
        place.found()
    assert said in f"{caught.value.message}\n{caught.value.hint}"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".env", "ACESTEP_LM_MODEL_PATH=x\nACESTEP_CONFIG_PATH=y\nOTHER=1\nnonsense\nPORT=7860\n"),
        ("pyproject.toml", '[tool.other]\nacestep-fetch = 1\n[project]\nname = "acestep-fetch"\n'),
        ("pyproject.toml", "this is not TOML, and mentions acestep-fetch"),
        ("pyproject.toml", '[tool]\nacestep-fetch = "text"\n'),
        ("pyproject.toml", "tool = 5 # acestep-fetch\n"),
        ("pyproject.toml", "[[tool]]\nname = 'acestep-fetch'\n"),
        ("pyproject.toml", f"acestep-fetch = {'[' * 5000}\n"),
        ("pyproject.toml", f"acestep-fetch = {'9' * 5000}\n"),
        ("acestep-fetch.toml", "# nothing\n"),
        ("user", ""),
    ],
)
def test_what_is_for_others_is_left_to_them(name: str, text: str, place: Place) -> None:
    place.write(name, text)
    assert place.found() == {}


def test_a_python_environment_called_env_is_no_file(place: Place) -> None:
    (place.here / ".env").mkdir()
    (place.here / "acestep-fetch.toml").mkdir()
    os.mkfifo(place.here / "pyproject.toml")  # reading it would wait for ever
    assert place.found() == {}


def test_what_is_no_text_is_told_of_our_own_files_only(place: Place) -> None:
    (place.here / ".env").write_bytes(b"ACESTEP_FETCH_JOBS=\xff\n")
    (place.here / "pyproject.toml").write_bytes(b"acestep-fetch \xff\n")
    assert place.found() == {}
    (place.here / "acestep-fetch.toml").write_bytes(b"jobs = \xff\n")
    with pytest.raises(UsageError, match=r"^acestep-fetch.toml: it is not text"):
        place.found()


def test_a_file_without_end_is_refused(place: Place) -> None:
    place.write("acestep-fetch.toml", "#" * (1 << 20) + "\njobs = 1")
    with pytest.raises(UsageError, match="larger than 1 MiB"):
        place.found()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_cannot_be_read_is_told(place: Place) -> None:
    place.write("acestep-fetch.toml", "jobs = 1")
    (place.here / "acestep-fetch.toml").chmod(0)
    with pytest.raises(UsageError, match=r"^acestep-fetch.toml: Permission denied"):
        place.found()


SENDS = ("hf-endpoint", "ms-endpoint", "proxy", "no-proxy", "ca-bundle", "probe-url", "token-file")


@pytest.mark.parametrize("key", [*SENDS, "token", "ms-token"])
@pytest.mark.parametrize("overruled", [False, True])
def test_a_folders_files_cannot_send_anything_elsewhere(key: str, overruled: bool, place: Place) -> None:
    """Not even where it would not count today."""
    variable = f"ACESTEP_FETCH_{key.upper().replace('-', '_')}"
    environ = {variable: "https://mine"} if overruled else {}
    for name, text in (("acestep-fetch.toml", f'{key} = "x"\n'), ("pyproject.toml", f'{TABLE}{key} = "x"\n')):
        place.write(name, text)
        with pytest.raises(UsageError, match=f"{name}:[12]: {key}: the files of a folder cannot set this"):
            place.found(environ)
        (place.here / name).unlink()
    place.write(".env", f"{variable}=https://evil\n")
    if key in SENDS:
        with pytest.raises(UsageError, match=f".env:1: {variable}: the files of a folder cannot set this"):
            place.found(environ)
    else:
        assert place.found(environ)[key].origin.kind == ("variable" if overruled else "dotenv")
    (place.here / ".env").unlink()
    place.write("user", f'{key} = "x"\n')
    assert place.found()[key].origin.kind == "user"


def test_every_address_and_every_secret_is_among_those_that_a_folder_cannot_set() -> None:
    """A new setting that leads somewhere is to be thought about."""
    closed = {setting.key for setting in SETTINGS if setting.folder is not Folder.MAY}
    assert closed == {*SENDS, "token", "ms-token", "summary-file"}
    assert {s.key for s in SETTINGS if s.metavar in ("URL", "HOSTS", "TOKEN") or s.is_secret} <= closed


def test_names_of_others_in_a_folders_env_are_not_read_and_that_is_remarked(place: Place) -> None:
    place.write(".env", "HF_TOKEN=hf_ofTheFolder1\nHF_ENDPOINT=https://evil\nhttps_proxy=http://evil\n")
    found = place.found()
    assert found.keys() == {"token"}
    assert fields_of(found) == {"token": "hf_ofTheFolder1"}
    said = remarks({"ACESTEP_FETCH_CONECTIONS": "1"}, everything(place.environ(), place.here))
    assert [remark.split(": ")[:-1] for remark in said] == [
        ["ACESTEP_FETCH_CONECTIONS"],
        [".env:2", "HF_ENDPOINT"],
        [".env:3", "https_proxy"],
    ]


def test_nothing_gets_into_the_environment(place: Place) -> None:
    place.write(".env", "HF_TOKEN=hf_ofTheFolder1\nACESTEP_FETCH_JOBS=2\n")
    before = dict(os.environ)
    place.found()
    assert dict(os.environ) == before


def test_no_secret_is_in_what_is_printed_of_the_layers(place: Place) -> None:
    place.write(".env", "HF_TOKEN=sEcReT-sEcReT\nMODELSCOPE_API_TOKEN=sEcReT-sEcReT\n")
    place.write("user", 'proxy = "http://u:sEcReT-sEcReT@h"\n')
    layers = everything(place.environ({"ACESTEP_FETCH_TOKEN": "sEcReT-sEcReT"}), place.here)
    assert "sEcReT" not in repr(place.found())
    assert "sEcReT" not in repr([layer.file for layer in layers])
    assert "sEcReT" not in repr([entry for layer in layers for entry in layer.entries.values()])


def test_several_values_are_a_list_or_one_text(place: Place) -> None:
    assert [s.key for s in SETTINGS if s.kind is Kind.MANY] == ["model", "include", "exclude", "adopt"]
    place.write("acestep-fetch.toml", 'model = "main,acestep-v15-sft"\ninclude = ["{a,b}.json", "*.txt"]\n')
    found = place.found()
    assert found["model"].value == ("main", "acestep-v15-sft")
    assert found["include"].value == ("{a,b}.json", "*.txt")
