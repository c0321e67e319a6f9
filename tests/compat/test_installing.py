"""Where ``acestep.model_downloader`` comes from, before and after `install`, and that it can be undone."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import pytest

from acestep_fetch import compat
from acestep_fetch.compat import model_downloader as ours
from tests.compat.application import API_SERVER_OF_FEBRUARY, write_application


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "acestep"]:
        del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    finders = list(sys.meta_path)
    _forget()
    yield
    compat.uninstall()
    _forget()
    assert sys.meta_path == finders


@pytest.fixture
def ace_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an ACE-Step that can be imported."""
    monkeypatch.syspath_prepend(write_application(tmp_path, api_server_py=API_SERVER_OF_FEBRUARY))
    return tmp_path / "acestep"


def module(name: str = "acestep.model_downloader") -> ModuleType:
    return importlib.import_module(name)


def test_without_ace_step_there_is_nothing_else() -> None:
    with pytest.raises(ImportError):
        module()
    compat.install()
    assert module().ensure_main_model is ours.ensure_main_model
    assert module("acestep").model_downloader is module()
    for missing in ("acestep.handler", "acestep.api_server", "acestep.api.model_download"):
        with pytest.raises(ImportError):
            module(missing)
    with pytest.raises(ImportError, match="cannot import name '_smart_download'"):
        exec("from acestep.model_downloader import _smart_download")
    compat.uninstall()
    with pytest.raises(ImportError):
        module()


def test_ace_step_gets_our_names_and_keeps_its_others(ace_step: Path) -> None:
    compat.install()
    assert "acestep.model_downloader" not in sys.modules, "installing imports nothing"
    assert module().check_model_exists is ours.check_model_exists
    assert module().SUBMODEL_REGISTRY is ours.SUBMODEL_REGISTRY
    assert module().FORK_EXTRA == "a name that only a fork has"
    assert module().a_forks_own()[1].startswith("Unknown model: 'acestep-v15-nonsense'"), "it calls ours"
    assert Path(module().__file__ or "") == ace_step / "model_downloader.py"
    assert "Stands for the downloader" in inspect.getsource(module())


def test_every_name_of_the_contract_is_there(ace_step: Path) -> None:
    compat.install()
    names = [
        *("MAIN_MODEL_REPO", "MAIN_MODEL_COMPONENTS", "DEFAULT_LM_MODEL", "SUBMODEL_REGISTRY", "get_project_root"),
        *("get_checkpoints_dir", "check_main_model_exists", "check_model_exists", "list_available_models"),
        *("download_main_model", "download_submodel", "download_all_models", "ensure_main_model", "ensure_lm_model"),
        *("ensure_dit_model", "VAE_REGISTRY", "DEFAULT_VAE_VARIANT", "list_available_vae_variants", "resolve_vae_path"),
        *("check_vae_exists", "download_vae", "ensure_vae_model", "_check_code_mismatch", "_sync_model_code_files"),
        *("_CHECKPOINT_TO_VARIANT", "print_model_list", "main", "ensure_model_downloaded"),
    ]
    for name in names:
        assert getattr(module(), name) is getattr(ours, name)


@pytest.mark.parametrize(
    ("name", "parameters"),
    {
        "get_checkpoints_dir": "custom_dir=None",
        "check_main_model_exists": "checkpoints_dir=None",
        "check_model_exists": "model_name, checkpoints_dir=None",
        "download_main_model": "checkpoints_dir=None, force=False, token=None, prefer_source=None",
        "download_submodel": "model_name, checkpoints_dir=None, force=False, token=None, prefer_source=None",
        "download_all_models": "checkpoints_dir=None, force=False, token=None, prefer_source=None",
        "ensure_main_model": "checkpoints_dir=None, token=None, prefer_source=None",
        "ensure_lm_model": "model_name=None, checkpoints_dir=None, token=None, prefer_source=None",
        "ensure_dit_model": "model_name, checkpoints_dir=None, token=None, prefer_source=None",
        "resolve_vae_path": "checkpoint_dir, vae_variant",
        "check_vae_exists": "vae_variant=None, checkpoints_dir=None",
        "download_vae": "vae_variant, checkpoints_dir=None, force=False, token=None, prefer_source=None",
        "ensure_vae_model": "vae_variant=None, checkpoints_dir=None, token=None, prefer_source=None",
        "ensure_model_downloaded": "model_name, checkpoint_dir",
        "_check_code_mismatch": "model_name, checkpoints_dir",
        "_sync_model_code_files": "model_name, checkpoints_dir",
    }.items(),
)
def test_signatures_are_the_contracts(name: str, parameters: str) -> None:
    found = inspect.signature(getattr(ours, name)).parameters.values()
    said = (p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in found)
    assert ", ".join(said) == parameters
    assert all(p.kind is p.POSITIONAL_OR_KEYWORD for p in found)


def test_what_was_imported_before_is_ours_too(ace_step: Path) -> None:
    before, handler, api = module(), module("acestep.handler"), module("acestep.api.model_download")
    server, kept = module("acestep.api_server"), module().FORK_EXTRA
    old = before.ensure_main_model
    compat.install()
    assert module() is before
    assert before.ensure_main_model is ours.ensure_main_model
    assert handler.ensure_main_model is ours.ensure_main_model, "it had imported the name"
    assert handler.check_model_exists is ours.check_model_exists
    assert api.ensure_model_downloaded is ours.ensure_model_downloaded
    assert server._ensure_model_downloaded is ours.ensure_model_downloaded
    assert before.FORK_EXTRA is kept
    compat.uninstall()
    assert before.ensure_main_model is handler.ensure_main_model is old
    assert before.MAIN_MODEL_REPO == "old/old"
    assert not hasattr(before, "print_model_list"), "it had no such name"
    assert api.ensure_model_downloaded is not ours.ensure_model_downloaded


def test_installing_twice_is_installing_once(ace_step: Path) -> None:
    finders = len(sys.meta_path)
    compat.install()
    first = module()
    compat.install()
    assert len(sys.meta_path) == finders + 2
    assert module() is first
    compat.uninstall()
    compat.uninstall()
    assert module().MAIN_MODEL_REPO == "old/old"


def test_a_reload_stays_ours_until_it_is_undone(ace_step: Path) -> None:
    compat.install()
    assert importlib.reload(module()).ensure_dit_model is ours.ensure_dit_model
    compat.uninstall()
    assert importlib.reload(module()).MAIN_MODEL_REPO == "old/old"


def test_an_older_ace_step_without_a_downloader_gets_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(write_application(tmp_path, model_downloader_py=None))
    compat.install()
    assert importlib.util.find_spec("acestep.model_downloader") is not None
    assert module("acestep.handler").ensure_dit_model is ours.ensure_dit_model
    assert not hasattr(module(), "FORK_EXTRA")
    package = module("acestep")
    compat.uninstall()
    assert module("acestep") is package, "it is not ours to take away"
    assert not hasattr(package, "model_downloader")


def test_a_path_that_is_added_later_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compat.install()
    monkeypatch.syspath_prepend(write_application(tmp_path))
    assert module("acestep.handler").ensure_main_model is ours.ensure_main_model
    assert module().FORK_EXTRA


def test_a_test_of_the_application_can_patch_a_name(ace_step: Path) -> None:
    compat.install()
    with patch("acestep.model_downloader.resolve_vae_path", return_value="patched"):
        assert module().resolve_vae_path("a", "b") == "patched"
    assert module().resolve_vae_path is ours.resolve_vae_path
