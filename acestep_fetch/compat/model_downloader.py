"""ACE-Step's ``acestep.model_downloader``, name for name, on top of this package.

What downloads returns ``(ok, message)`` and never raises; the message is for whoever sits before the application.
`ensure_model_downloaded` is the API server's second implementation: it returns a path and raises.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Final

from acestep_fetch.catalogue import load_catalogue
from acestep_fetch.catalogue.models import MAIN
from acestep_fetch.compat import code_sync, presence
from acestep_fetch.compat.downloading import Answer, advice, answering, download, ended, options_for, run, unknown
from acestep_fetch.core.errors import FetchError
from acestep_fetch.options import Options, expanded

Folder = str | os.PathLike[str] | None

_catalogue = load_catalogue()
_main = _catalogue.find(MAIN)
_others = sorted(
    (model for model in _catalogue.models if model is not _main and not model.announced),
    key=lambda model: model.group != "lm",
)

MAIN_MODEL_REPO: Final = str(_main.repo)
MAIN_MODEL_COMPONENTS: Final = list(_main.folders)
DEFAULT_LM_MODEL: Final = "acestep-5Hz-lm-1.7B"
SUBMODEL_REGISTRY: Final = {model.name: str(model.repo) for model in _others}
VAE_REGISTRY: Final = {model.name: str(model.repo) for model in _catalogue.extras if model.group == "vae"}
DEFAULT_VAE_VARIANT: Final = "official"
_CHECKPOINT_TO_VARIANT: Final = dict(code_sync.VARIANTS)


# ---- where


def get_project_root() -> Path:
    """``ACESTEP_PROJECT_ROOT``, else the working folder."""
    named = os.environ.get("ACESTEP_PROJECT_ROOT")
    return expanded(named).resolve() if named else Path.cwd()


def get_checkpoints_dir(custom_dir: Folder = None) -> Path:
    """`custom_dir`, else ``ACESTEP_CHECKPOINTS_DIR``, else ``checkpoints`` in the project's root."""
    if custom_dir:
        return expanded(os.fspath(custom_dir))
    named = os.environ.get("ACESTEP_CHECKPOINTS_DIR")
    return expanded(named).resolve() if named else get_project_root() / "checkpoints"


# ---- what is there


def check_main_model_exists(checkpoints_dir: Folder = None) -> bool:
    """Whether all of the main model is there and verified."""
    return _exists(MAIN, checkpoints_dir)


def check_model_exists(model_name: str, checkpoints_dir: Folder = None) -> bool:
    """Whether the model or component is there and verified; a folder of your own must be whole."""
    return bool(model_name) and _exists(model_name, checkpoints_dir)


def check_vae_exists(vae_variant: str | None = None, checkpoints_dir: Folder = None) -> bool:
    """The same for a variant or an absolute path; False for an unknown variant."""
    try:
        return _exists(_vae_folder(vae_variant), checkpoints_dir)
    except (ValueError, TypeError):  # neither a variant nor a path
        return False


def list_available_models() -> dict[str, str]:
    """Name -> repository, the main model first."""
    return {MAIN: MAIN_MODEL_REPO, **SUBMODEL_REGISTRY}


def list_available_vae_variants() -> list[str]:
    """The main model's first."""
    return [DEFAULT_VAE_VARIANT, *VAE_REGISTRY]


def resolve_vae_path(checkpoint_dir: str | os.PathLike[str], vae_variant: str | None) -> Path:
    """The folder of a variant; an absolute path is that folder itself. Raises ValueError for an unknown variant."""
    return Path(checkpoint_dir) / _vae_folder(vae_variant)


def _vae_folder(variant: str | None) -> str:
    if not variant or variant == DEFAULT_VAE_VARIANT:
        return "vae"
    if variant in VAE_REGISTRY or Path(variant).is_absolute():
        return variant
    known = ", ".join(list_available_vae_variants())
    raise ValueError(f"Unknown VAE variant '{variant}'. Available: {known}, or an absolute path")


def _exists(name: str, folder: Folder) -> bool:
    try:
        return presence.is_ready(name, get_checkpoints_dir(folder))
    except (FetchError, OSError):  # no such home, or the working folder is gone
        return False
    except (TypeError, ValueError):  # of no kind that a name or a folder can be
        return False


# ---- downloads


@answering
def download_main_model(
    checkpoints_dir: Folder = None, force: bool = False, token: str | None = None, prefer_source: str | None = None
) -> Answer:
    """Fetches what is missing of the main model, or with `force` all of it."""
    return _download(MAIN, MAIN, checkpoints_dir, token, prefer_source, force=force)


@answering
def download_submodel(
    model_name: str,
    checkpoints_dir: Folder = None,
    force: bool = False,
    token: str | None = None,
    prefer_source: str | None = None,
) -> Answer:
    """The same for a model of `SUBMODEL_REGISTRY`; False for any other name."""
    if model_name not in SUBMODEL_REGISTRY:
        return False, unknown("model", model_name, SUBMODEL_REGISTRY)
    repo = SUBMODEL_REGISTRY[model_name]
    return _download(model_name, repo, checkpoints_dir, token, prefer_source, force=force)


@answering
def download_vae(
    vae_variant: str,
    checkpoints_dir: Folder = None,
    force: bool = False,
    token: str | None = None,
    prefer_source: str | None = None,
) -> Answer:
    """The same for a VAE of `VAE_REGISTRY`. The official one comes with the main model only."""
    if vae_variant == DEFAULT_VAE_VARIANT:
        return False, "The official VAE comes with the main model: use download_main_model()."
    if vae_variant not in VAE_REGISTRY:
        return False, unknown("VAE variant", vae_variant, VAE_REGISTRY)
    repo = VAE_REGISTRY[vae_variant]
    return _download(vae_variant, repo, checkpoints_dir, token, prefer_source, force=force)


def download_all_models(
    checkpoints_dir: Folder = None, force: bool = False, token: str | None = None, prefer_source: str | None = None
) -> tuple[bool, list[str]]:
    """Everything in one run: whether all of it is ready, and a message for each model, the main model's first."""
    messages = list[str]()

    @answering
    def answer() -> Answer:
        options = options_for((), get_checkpoints_dir(checkpoints_dir), token, prefer_source, force=force)
        report, failures = run(replace(options, all_models=True))
        why = {failure.model: advice(failure) for failure in failures}
        why |= {name: "it is not on any hub" for name, state in report.models.items() if state == "unavailable"}
        names = list_available_models()
        ready = [name for name in names if report.models.get(name) == "ready"]
        for name in names:
            is_ready = name in ready
            messages.append(
                f"{name} is ready in {options.directory}" if is_ready else f"{name}: {why.get(name) or ended(report)}"
            )
        return len(ready) == len(names), ""

    ok, message = answer()
    return ok, messages or [message]


@answering
def ensure_main_model(
    checkpoints_dir: Folder = None, token: str | None = None, prefer_source: str | None = None
) -> Answer:
    """The main model, fetched if it is not there. Any number of threads and processes may ask at once."""
    if check_main_model_exists(checkpoints_dir):
        return True, "Main model is available"
    return download_main_model(checkpoints_dir, token=token, prefer_source=prefer_source)


@answering
def ensure_lm_model(
    model_name: str | None = None,
    checkpoints_dir: Folder = None,
    token: str | None = None,
    prefer_source: str | None = None,
) -> Answer:
    """A language model by name, or by a part of its name (``"0.6B"``); the default one comes with the main model."""
    model_name = model_name or DEFAULT_LM_MODEL
    if check_model_exists(model_name, checkpoints_dir):
        return True, f"LM model '{model_name}' is available"
    known = [name for name in (*SUBMODEL_REGISTRY, *MAIN_MODEL_COMPONENTS) if "-lm-" in name]
    found = next((name for name in known if model_name.lower() in name.lower()), None)
    if found is None:
        return False, unknown("LM model", model_name, known)
    return _ensure("LM model", found, checkpoints_dir, token, prefer_source)


@answering
def ensure_dit_model(
    model_name: str, checkpoints_dir: Folder = None, token: str | None = None, prefer_source: str | None = None
) -> Answer:
    """A DiT by name; ``acestep-v15-turbo`` comes with the main model."""
    if not model_name:
        return False, "Unknown DiT model: '' (pass None for default or choose a valid model)"
    if model_name not in SUBMODEL_REGISTRY and model_name not in MAIN_MODEL_COMPONENTS:
        if check_model_exists(model_name, checkpoints_dir):
            return True, f"DiT model '{model_name}' is available"
        return False, unknown("DiT model", model_name, [name for name in _CHECKPOINT_TO_VARIANT if _offers(name)])
    return _ensure("DiT model", model_name, checkpoints_dir, token, prefer_source)


@answering
def ensure_vae_model(
    vae_variant: str | None = None,
    checkpoints_dir: Folder = None,
    token: str | None = None,
    prefer_source: str | None = None,
) -> Answer:
    """A VAE: the official one with the main model, one of `VAE_REGISTRY`, or an absolute path that must be whole."""
    if not vae_variant or vae_variant == DEFAULT_VAE_VARIANT:
        return ensure_main_model(checkpoints_dir, token, prefer_source)
    if check_vae_exists(vae_variant, checkpoints_dir):
        return True, f"VAE variant '{vae_variant}' is available"
    if Path(vae_variant).is_absolute():
        if not Path(vae_variant).exists():
            return False, f"VAE path '{vae_variant}' does not exist."
        return False, f"VAE path '{vae_variant}' does not contain VAE weights and their config.json, whole."
    return download_vae(vae_variant, checkpoints_dir, token=token, prefer_source=prefer_source)


def ensure_model_downloaded(model_name: str, checkpoint_dir: str | os.PathLike[str]) -> str:
    """The folder of a model or component, fetched if it is not there. Raises RuntimeError with what to do."""
    folder = get_checkpoints_dir(checkpoint_dir)
    if not check_model_exists(model_name, folder):
        ok, message = _ensure_any(model_name, folder)
        if not ok:
            raise RuntimeError(message)
    return str(folder if model_name == MAIN else folder / model_name)


def _download(
    name: str, model: str, folder: Folder, token: str | None, prefer_source: str | None, *, force: bool
) -> Answer:
    return download(name, options_for([model], get_checkpoints_dir(folder), token, prefer_source, force=force))


def _ensure_any(name: str, folder: Path) -> Answer:
    if name == MAIN or name in MAIN_MODEL_COMPONENTS:
        return download_main_model(folder)
    if name in VAE_REGISTRY:
        return download_vae(name, folder)
    if name in SUBMODEL_REGISTRY:
        return download_submodel(name, folder)
    return False, unknown("model", name, [MAIN, *MAIN_MODEL_COMPONENTS, *SUBMODEL_REGISTRY, *VAE_REGISTRY])


def _ensure(kind: str, name: str, folder: Folder, token: str | None, prefer_source: str | None) -> Answer:
    if check_model_exists(name, folder):
        return True, f"{kind} '{name}' is available"
    if name in MAIN_MODEL_COMPONENTS:
        return download_main_model(folder, token=token, prefer_source=prefer_source)
    return download_submodel(name, folder, token=token, prefer_source=prefer_source)


def _offers(name: str) -> bool:
    return name in SUBMODEL_REGISTRY or name in MAIN_MODEL_COMPONENTS


# ---- ACE-Step's own code in its checkpoints


def _check_code_mismatch(model_name: str, checkpoints_dir: str | os.PathLike[str]) -> list[str]:
    return code_sync.mismatched(model_name, get_checkpoints_dir(checkpoints_dir))


def _sync_model_code_files(model_name: str, checkpoints_dir: str | os.PathLike[str]) -> list[str]:
    return code_sync.synchronise(model_name, get_checkpoints_dir(checkpoints_dir))


# ---- the command line


def print_model_list() -> None:
    """``acestep-fetch --list``."""
    from acestep_fetch.cli.listing import show_models

    show_models(Options.from_environment(directory=get_checkpoints_dir()))


def main() -> int:
    """``acestep-fetch``: takes all that ``acestep-download`` takes, and more."""
    from acestep_fetch.cli.main import main as program

    return program()
