"""What exists, what is answered, and that nothing is raised: called in this process, against hubs on loopback."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from acestep_fetch.compat import model_downloader as m
from acestep_fetch.core.model import HubName
from tests.compat.conftest import MODELS, Application
from tests.end_to_end.conftest import Hubs
from tests.support.faults import Rule, Status
from tests.support.trees import OWNER, tree_digests

SFT, LM = "acestep-v15-sft", "acestep-5Hz-lm-0.6B"


def safetensors(size: int = 4096) -> bytes:
    """A file that is what it says."""
    header = json.dumps({"weight": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size)


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


OWN_DIT = {
    "config.json": b"{}",
    "model.safetensors": safetensors(),
    "silence_latent.pt": b"x",
    "modeling_acestep_v15_turbo.py": b"#",
}


# ---- where


def test_the_folder_is_the_argument_then_the_variable_then_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert m.get_project_root() == Path.cwd()
    assert m.get_checkpoints_dir() == Path.cwd() / "checkpoints"
    monkeypatch.setenv("ACESTEP_PROJECT_ROOT", str(tmp_path / "root"))
    assert m.get_project_root() == (tmp_path / "root").resolve()
    assert m.get_checkpoints_dir() == (tmp_path / "root").resolve() / "checkpoints"
    monkeypatch.setenv("ACESTEP_CHECKPOINTS_DIR", "~/models")
    assert m.get_checkpoints_dir() == Path.home().resolve() / "models"
    assert m.get_checkpoints_dir(str(tmp_path)) == m.get_checkpoints_dir(tmp_path) == tmp_path
    assert m.get_checkpoints_dir("") == m.get_checkpoints_dir()


def test_the_lists_are_the_catalogues() -> None:
    assert next(iter(m.list_available_models().items())) == ("main", "ACE-Step/Ace-Step1.5")
    assert m.list_available_models() == {"main": m.MAIN_MODEL_REPO, **m.SUBMODEL_REGISTRY}
    assert len(m.SUBMODEL_REGISTRY) == 10
    assert "acestep-v15-small" not in m.SUBMODEL_REGISTRY, "no hub has it"
    assert set(m.MAIN_MODEL_COMPONENTS) == {"vae", "Qwen3-Embedding-0.6B", "acestep-v15-turbo", m.DEFAULT_LM_MODEL}
    assert m.VAE_REGISTRY == {"scragvae": "scragnog/Ace-Step-1.5-ScragVAE"}
    checkpoints = {"acestep-v15-turbo", *m.SUBMODEL_REGISTRY}
    assert {name for name in checkpoints if "-lm-" not in name} <= set(m._CHECKPOINT_TO_VARIANT)
    assert m._CHECKPOINT_TO_VARIANT["acestep-v15-xl-sft"] == "xl_sft"


def test_a_vae_is_a_variant_or_an_absolute_path(tmp_path: Path) -> None:
    for nothing in (None, "", "official"):
        assert m.resolve_vae_path(str(tmp_path), nothing) == tmp_path / "vae"
    assert m.resolve_vae_path(tmp_path, "scragvae") == tmp_path / "scragvae"
    assert m.resolve_vae_path("anywhere", str(tmp_path)) == tmp_path
    with pytest.raises(ValueError, match=r"Unknown VAE variant 'no-such'.*official"):
        m.resolve_vae_path(tmp_path, "no-such")
    assert not m.check_vae_exists("no-such", tmp_path)


# ---- what exists


def test_a_model_exists_when_it_is_verified_and_no_longer_when_it_is_damaged(here: Path) -> None:
    assert not m.check_main_model_exists()
    assert m.ensure_main_model()[0]
    assert m.check_main_model_exists("checkpoints")
    assert all(m.check_model_exists(part, here / "checkpoints") for part in m.MAIN_MODEL_COMPONENTS)
    assert m.check_vae_exists("official")
    turbo = here / "checkpoints" / "acestep-v15-turbo"
    (turbo / "modeling_acestep_v15_turbo.py").write_text("# rewritten by the application\n")
    assert m.check_model_exists("acestep-v15-turbo")
    (turbo / "silence_latent.pt").unlink()
    assert not m.check_model_exists("acestep-v15-turbo")
    assert not m.check_main_model_exists()
    assert m.check_model_exists(m.DEFAULT_LM_MODEL), "another component is no worse for it"
    assert m.ensure_dit_model("acestep-v15-turbo", None, None, "modelscope")[0]
    assert m.check_main_model_exists()
    assert (turbo / "modeling_acestep_v15_turbo.py").read_text() == "# rewritten by the application\n"


def test_half_a_folder_does_not_exist_and_is_completed(here: Path, roots: dict[HubName, Path]) -> None:
    sft = here / "checkpoints" / SFT
    sft.mkdir(parents=True)
    assert not m.check_model_exists(SFT)
    whole = roots[HubName.HUGGINGFACE] / OWNER / SFT
    shutil.copy(whole / "model.safetensors", sft)  # a weight file is not a model
    (sft / "config.json").write_bytes((whole / "config.json").read_bytes()[:900])
    assert not m.check_model_exists(SFT)
    ok, message = m.ensure_dit_model(SFT)
    assert ok, message
    assert tree_digests(sft) == tree_digests(whole)
    assert m.ensure_dit_model(SFT) == (True, f"DiT model '{SFT}' is available")
    assert m.download_submodel(SFT)[0]


def test_what_another_tool_downloaded_is_proven_and_not_fetched(
    here: Path, pair: Hubs, roots: dict[HubName, Path]
) -> None:
    shutil.copytree(roots[HubName.HUGGINGFACE] / OWNER / SFT, here / "checkpoints" / SFT)
    assert not m.check_model_exists(SFT), "not yet"
    ok, message = m.ensure_dit_model(SFT)
    assert ok
    assert "0 B fetched" in message
    assert pair.sent == 0
    assert m.check_model_exists(SFT)


def test_ones_own_folder_exists_when_it_is_whole(tmp_path: Path) -> None:
    own = write(tmp_path / "acestep-v15-my-tune", OWN_DIT)
    assert m.check_model_exists("acestep-v15-my-tune", tmp_path)
    assert m.ensure_dit_model("acestep-v15-my-tune", str(tmp_path))[0]
    assert m.check_model_exists(str(own), "elsewhere"), "by its path, as ACE-Step allows"
    for name in OWN_DIT:
        kept = (own / name).read_bytes()
        (own / name).unlink()
        assert not m.check_model_exists("acestep-v15-my-tune", tmp_path), name
        (own / name).write_bytes(kept[:-1])
        assert not m.check_model_exists("acestep-v15-my-tune", tmp_path), name
        (own / name).write_bytes(kept)
    assert m.check_model_exists("acestep-v15-my-tune", tmp_path)


@pytest.mark.parametrize(
    ("index", "whole"),
    [
        (b'{"weight_map": {"a": "one.safetensors", "b": "one.safetensors"}}', True),
        (b'{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}', False),
        (b'{"weight_map": {}}', False),
        (b'{"weight_map": []}', False),
        (b"[]", False),
        (b"{", False),
        (b"[" * 100_000, False),
    ],
)
def test_an_index_is_not_its_shards(index: bytes, whole: bool, tmp_path: Path) -> None:
    files = {"config.json": b"{}", "model.safetensors.index.json": index, "one.safetensors": safetensors()}
    write(tmp_path / "mine", files)
    assert m.check_model_exists("mine", tmp_path) is whole


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        safetensors()[:-1],
        safetensors() + b"x",
        (1 << 40).to_bytes(8, "little"),
        (4).to_bytes(8, "little") + b"[{}]",
        (2).to_bytes(8, "little") + b"{}x",
        b"version https://git-lfs.github.com/spec/v1\n",
    ],
)
def test_a_weight_file_is_whole_by_its_own_header(content: bytes, tmp_path: Path) -> None:
    write(tmp_path / "mine", {"config.json": b"{}", "model.safetensors": content})
    assert not m.check_model_exists("mine", tmp_path)


def test_a_vae_of_ones_own(tmp_path: Path) -> None:
    vae = tmp_path / "my-vae"
    assert m.ensure_vae_model(str(vae), tmp_path) == (False, f"VAE path '{vae}' does not exist.")
    write(vae, {"config.json": b"{}"})
    ok, message = m.ensure_vae_model(str(vae), tmp_path)
    assert (ok, "does not contain VAE weights" in message) == (False, True)
    write(vae, {"diffusion_pytorch_model.safetensors": safetensors()})
    assert m.ensure_vae_model(str(vae), tmp_path) == (True, f"VAE variant '{vae}' is available")
    assert m.check_vae_exists(str(vae))


# ---- names


@pytest.mark.parametrize(
    ("asked", "folder"),
    [("0.6B", LM), ("LM-0.6b", LM), (LM, LM), ("1.7B", "acestep-5Hz-lm-1.7B"), (None, "acestep-5Hz-lm-1.7B")],
)
def test_a_part_of_a_language_models_name_will_do(asked: str | None, folder: str, here: Path) -> None:
    ok, message = m.ensure_lm_model(asked)
    assert ok, message
    assert m.check_model_exists(folder)
    assert m.ensure_lm_model(asked) == (True, f"LM model '{asked if asked == LM else folder}' is available")


def test_unknown_names_are_answered_with_the_known_ones(tmp_path: Path) -> None:
    for ok, message in (
        m.download_submodel("nonsense", tmp_path),
        m.ensure_lm_model("nonsense", tmp_path),
        m.ensure_dit_model("nonsense", tmp_path),
        m.download_vae("nonsense", tmp_path),
        m.ensure_vae_model("nonsense", tmp_path),
    ):
        assert not ok
        assert message.startswith("Unknown ")
        assert "'nonsense'. Available: " in message
    assert "Unknown DiT model: ''" in m.ensure_dit_model("", tmp_path)[1]
    assert "download_main_model" in m.download_vae("official", tmp_path)[1]
    assert not m.check_model_exists("", tmp_path)
    with pytest.raises(RuntimeError, match=r"Unknown model: 'nonsense'\. Available: main, "):
        m.ensure_model_downloaded("nonsense", tmp_path)
    assert list(tmp_path.iterdir()) == []


# ---- downloads


def test_force_fetches_again(here: Path, pair: Hubs) -> None:
    assert m.download_submodel(LM, here / "there")[0]
    first = pair.sent
    assert m.download_submodel(LM, "there", False)[0]
    assert pair.sent == first
    assert m.download_submodel(LM, "there", True, None, "huggingface")[0]
    assert pair.sent >= 2 * first * 0.9


def test_everything_in_one_run_with_a_message_for_each(here: Path) -> None:
    ok, messages = m.download_all_models("there", False, None, "huggingface")
    assert not ok, "these hubs have four of them"
    assert len(messages) == 1 + len(m.SUBMODEL_REGISTRY)
    said = dict(zip(m.list_available_models(), messages, strict=True))
    for name in MODELS:
        assert said[name] == f"{name} is ready in {here / 'there'}"
    assert said["acestep-v15-xl-turbo"] == "acestep-v15-xl-turbo: it is not on any hub"


@pytest.mark.parametrize(
    ("argument", "variable", "asked_first"),
    [
        ("modelscope", "huggingface", "modelscope"),
        (None, "modelscope", "modelscope"),
        ("auto", "modelscope", "huggingface"),
        (None, None, "huggingface"),
        ("nonsense", None, "huggingface"),
    ],
)
def test_the_argument_wins_over_the_variable(
    argument: str | None,
    variable: str | None,
    asked_first: str,
    here: Path,
    pair: Hubs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if variable:
        monkeypatch.setenv("ACESTEP_DOWNLOAD_SOURCE", variable)
    assert m.ensure_lm_model("0.6B", prefer_source=argument)[0]
    receipt = json.loads((here / "checkpoints/.acestep-fetch/receipts" / f"{LM}.json").read_text())
    assert receipt["commits"][LM].startswith(asked_first)


def test_a_token_given_goes_to_hugging_face_alone(here: Path, pair: Hubs) -> None:
    assert m.ensure_lm_model("0.6B", token="hf_of_the_application")[0]
    given = {entry.headers.get("authorization") for entry in pair.hf.recorder.entries}
    assert "Bearer hf_of_the_application" in given
    assert all("hf_of_the_application" not in str(entry.headers) for entry in pair.ms.recorder.entries)


# ---- failures


def test_without_any_hub_what_is_whole_is_used_and_called_unverified_and_the_rest_is_told(
    here: Path, application: Application
) -> None:
    write(here / "checkpoints" / SFT, OWN_DIT)
    application.hubs.hf.kill()
    application.hubs.ms.kill()
    missing = application.start(  # beside the other, because each tries for some seconds
        application.code(
            "from acestep_fetch.compat.model_downloader import ensure_model_downloaded\n"
            "try: ensure_model_downloaded('vae', 'elsewhere')\n"
            "except RuntimeError as error: told = str(error)"
        )
    )
    assert not m.check_model_exists(SFT), "nobody has verified it"
    ok, message = m.ensure_dit_model(SFT)
    assert ok
    assert "could not be verified: ACE-Step/acestep-v15-sft: no hub could be asked" in message
    told = application.ended(missing)
    assert told.startswith("main: ACE-Step/Ace-Step1.5: no hub could be asked; tried: 127.0.0.1")
    assert "What to do: check the connection" in told
    assert "\n" not in told
    assert not (here / "elsewhere" / "vae").exists()


def test_where_the_hubs_are_switched_off_what_is_whole_is_used_and_no_hub_is_asked(
    here: Path, pair: Hubs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    write(here / "checkpoints" / SFT, OWN_DIT)
    asked = len(pair.hf.recorder.entries) + len(pair.ms.recorder.entries)
    ok, message = m.ensure_dit_model(SFT)
    assert ok
    assert "could not be verified" in message
    ok, message = m.ensure_lm_model("0.6B")
    assert not ok
    assert "HF_HUB_OFFLINE" in message
    assert len(pair.hf.recorder.entries) + len(pair.ms.recorder.entries) == asked


def test_a_whole_folder_that_no_hub_knows_is_used_but_not_one_that_is_known_to_be_wrong(
    here: Path, pair: Hubs, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(here / "checkpoints" / "acestep-v15-xl-sft", OWN_DIT)
    ok, message = m.ensure_dit_model("acestep-v15-xl-sft")
    assert ok
    assert "could not be verified: ACE-Step/acestep-v15-xl-sft: no hub has it" in message
    assert not m.download_submodel("acestep-v15-xl-sft", force=True)[0]
    write(here / "checkpoints" / SFT, OWN_DIT)
    for hub in (pair.hf, pair.ms):
        hub.faults.rules.append(Rule(Status(404), path="model.safetensors"))
    monkeypatch.setenv("ACESTEP_FETCH_GIVE_UP_AFTER", "3")
    ok, message = m.ensure_dit_model(SFT)
    assert not ok
    assert "model.safetensors" in message


def test_a_folder_that_cannot_be_made_is_told(here: Path) -> None:
    (here / "file").write_text("")
    for ok, message in (m.ensure_lm_model("0.6B", here / "file"), m.ensure_lm_model("0.6B", here / "file" / "below")):
        assert not ok
        assert str(here / "file") in message
    assert not m.check_main_model_exists(here / "file")


@pytest.mark.parametrize(
    ("variable", "value"),
    [("ACESTEP_DOWNLOAD_SOURCE", "elsewhere"), ("ACESTEP_FETCH_JOBS", "0"), ("ACESTEP_CHECKPOINTS_DIR", "~nobody1/x")],
)
def test_a_wrong_variable_is_named(variable: str, value: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    for ok, message in (m.ensure_main_model(), m.download_submodel(LM), (m.download_all_models()[0], "~nobody1")):
        assert not ok
        assert variable in message or "~nobody1" in message
    assert not m.check_main_model_exists()


@pytest.mark.parametrize("wrong", [3, object(), "null\0byte", ["list"]])
def test_nonsense_for_a_folder_is_an_answer(wrong: object, here: Path) -> None:
    ok, message = m.ensure_lm_model("0.6B", wrong)  # type: ignore[arg-type]
    assert not ok
    assert message


@pytest.mark.parametrize("wrong", [5, 5.0, b"x", ["list"], {"a": 1}, object(), "null\0byte", "x" * 5000, "\ud800"])
def test_nonsense_does_not_exist(wrong: object, tmp_path: Path) -> None:
    assert m.check_model_exists(wrong, tmp_path) is False  # type: ignore[arg-type]
    assert m.check_vae_exists(wrong, tmp_path) is False  # type: ignore[arg-type]
    assert m.check_main_model_exists(wrong) is False  # type: ignore[arg-type]
    assert m.check_model_exists("main", wrong) is False  # type: ignore[arg-type]
    assert m.check_vae_exists("official", wrong) is False  # type: ignore[arg-type]


def test_a_working_folder_that_is_gone_is_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    try:
        assert not m.check_main_model_exists()
        assert not m.ensure_main_model()[0]
    finally:
        os.chdir(tmp_path)


# ---- its own code in its checkpoints


def test_code_is_compared_and_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.compat.application import CODE, write_application

    turbo = write(tmp_path / "models" / "acestep-v15-turbo-shift3", {"modeling_acestep_v15_turbo.py": b"# the hub's"})
    name, root = turbo.name, str(turbo.parent)
    assert m._check_code_mismatch(name, root) == m._sync_model_code_files(name, root) == [], "no ACE-Step here"
    monkeypatch.syspath_prepend(write_application(tmp_path))
    both = ["extra_of_the_application.py", "modeling_acestep_v15_turbo.py"]
    assert m._check_code_mismatch(name, root) == both
    assert m._sync_model_code_files(name, turbo.parent) == both
    assert m._check_code_mismatch(name, turbo.parent) == []
    assert sorted(path.name for path in turbo.iterdir()) == both, "no traces"
    assert {path.read_text() for path in turbo.iterdir()} == {CODE}
    assert m._sync_model_code_files("acestep-v15-turbo", root) == [], "a folder that is not there is not made"
    assert m._check_code_mismatch("vae", root) == m._sync_model_code_files("nonsense", root) == []
