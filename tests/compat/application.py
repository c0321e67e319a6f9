"""An application that calls its downloader as ACE-Step does, place by place: written for these tests, nothing copied.

Its own downloader must never be reached: every name that downloads or looks raises.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

OLD: Final = '''
"""Stands for the downloader that ACE-Step brings."""
from pathlib import Path

MAIN_MODEL_REPO = "old/old"
SUBMODEL_REGISTRY = {"old": "old/old"}
FORK_EXTRA = "a name that only a fork has"


def _smart_download(*args, **kwargs):
    raise AssertionError("the old downloader was used")


check_main_model_exists = check_model_exists = check_vae_exists = _smart_download
ensure_main_model = ensure_lm_model = ensure_dit_model = ensure_vae_model = _smart_download
download_main_model = download_submodel = download_all_models = download_vae = _smart_download
_check_code_mismatch = _sync_model_code_files = get_checkpoints_dir = _smart_download


def a_forks_own():
    return download_submodel("acestep-v15-nonsense")
'''

# The handler of February.
HANDLER: Final = """
from pathlib import Path
from acestep.model_downloader import (
    ensure_main_model,
    ensure_dit_model,
    check_main_model_exists,
    check_model_exists,
)


class AceStepHandler:
    def initialize_service(self, project_root, config_path, prefer_source=None):
        checkpoint_path = Path(project_root) / "checkpoints"
        if not check_main_model_exists(checkpoint_path):
            success, msg = ensure_main_model(checkpoint_path, prefer_source=prefer_source)
            if not success:
                return f"Failed to download main model: {msg}", False
        if not check_model_exists(config_path, checkpoint_path):
            success, msg = ensure_dit_model(config_path, checkpoint_path, prefer_source=prefer_source)
            if not success:
                return f"Failed to download DiT model '{config_path}': {msg}", False
        return "ready", True
"""

# The newer one, in parts.
ORCHESTRATOR: Final = """
import os
from pathlib import Path


class Service:
    def initialize(self, project_root=None, config_path="acestep-v15-turbo", vae_checkpoint=None, prefer_source=None):
        from acestep.model_downloader import DEFAULT_VAE_VARIANT, get_checkpoints_dir

        if os.environ.get("ACESTEP_CHECKPOINTS_DIR"):
            checkpoint_dir = str(get_checkpoints_dir())
        elif project_root:
            checkpoint_dir = os.path.join(project_root, "checkpoints")
        else:
            checkpoint_dir = str(get_checkpoints_dir())
        variant = vae_checkpoint or os.environ.get("ACESTEP_VAE_CHECKPOINT") or DEFAULT_VAE_VARIANT
        failure = self._present(Path(checkpoint_dir), config_path, prefer_source, variant)
        if failure is not None:
            return failure
        self._sync(config_path, Path(checkpoint_dir))
        from acestep.model_downloader import resolve_vae_path

        self.vae_path = str(resolve_vae_path(checkpoint_dir, variant))
        return "ready", True

    def _present(self, checkpoint_path, config_path, prefer_source, variant):
        from acestep.model_downloader import (
            DEFAULT_VAE_VARIANT,
            check_main_model_exists,
            check_model_exists,
            check_vae_exists,
            ensure_dit_model,
            ensure_main_model,
            ensure_vae_model,
        )

        if not check_main_model_exists(checkpoint_path):
            ok, msg = ensure_main_model(checkpoint_path, prefer_source=prefer_source)
            if not ok:
                return f"ERROR: Failed to download main model: {msg}", False
        if not check_model_exists(config_path, checkpoint_path):
            ok, msg = ensure_dit_model(config_path, checkpoint_path, prefer_source=prefer_source)
            if not ok:
                return f"ERROR: Failed to download DiT model: {msg}", False
        if variant and variant != DEFAULT_VAE_VARIANT and not check_vae_exists(variant, checkpoint_path):
            ok, msg = ensure_vae_model(variant, checkpoint_path, prefer_source=prefer_source)
            if not ok:
                return f"ERROR: Failed to download VAE: {msg}", False
        return None

    @staticmethod
    def _sync(config_path, checkpoint_path):
        from acestep.model_downloader import _check_code_mismatch, _sync_model_code_files

        if _check_code_mismatch(config_path, checkpoint_path):
            _sync_model_code_files(config_path, checkpoint_path)
        assert _check_code_mismatch(config_path, checkpoint_path) == []
"""

# The wizard on the command line.
WIZARD: Final = """
from .model_downloader import SUBMODEL_REGISTRY, ensure_dit_model, ensure_lm_model, ensure_main_model


def prepare(checkpoint_dir, lm_model=None, task="extract"):
    ok, msg = ensure_main_model(checkpoint_dir)
    if ok and task in ("extract", "lego", "complete"):
        ok, msg = ensure_dit_model("acestep-v15-base", checkpoint_dir)
    choices = [name for name in SUBMODEL_REGISTRY.keys() if "lm" in name]
    assert lm_model is None or lm_model in SUBMODEL_REGISTRY, choices
    if ok and lm_model:
        ok, msg = ensure_lm_model(lm_model, checkpoints_dir=checkpoint_dir)
    elif ok:
        ok, msg = ensure_lm_model(checkpoints_dir=checkpoint_dir)
    return ok, msg
"""

# The API server's second implementation, and how the function is handed around.
SECOND: Final = """
def ensure_model_downloaded(model_name, checkpoint_dir):
    raise AssertionError("the old downloader was used")
"""
API_SERVER: Final = """
import os
from typing import Callable
from acestep.api.model_download import ensure_model_downloaded as _ensure_model_downloaded


def initialize(root: str, names: list, ensure_model_downloaded: Callable[[str, str], str]) -> list:
    checkpoint_dir = os.path.join(root, "checkpoints")
    found = []
    for name in names:
        try:
            found.append(ensure_model_downloaded(name, checkpoint_dir))
        except Exception as e:
            found.append(f"[API Server] Warning: Failed to download {name}: {e}")
    return found


async def lifespan(root: str, names: list) -> list:
    return initialize(root, names, _ensure_model_downloaded)
"""
# The same in February, all in one module.
API_SERVER_OF_FEBRUARY: Final = """
def _ensure_model_downloaded(model_name, checkpoint_dir):
    raise AssertionError("the old downloader was used")


def load(name, checkpoint_dir):
    return _ensure_model_downloaded(name, checkpoint_dir)
"""

SERVICE_ROW: Final = """
from acestep.model_downloader import DEFAULT_VAE_VARIANT, list_available_vae_variants


def build_vae_dropdown():
    choices = list_available_vae_variants()
    return {"choices": choices, "value": DEFAULT_VAE_VARIANT}
"""

CODE: Final = "# ACE-Step's own version\n"

FILES: Final = {
    "__init__.py": "",
    "model_downloader.py": OLD,
    "handler.py": HANDLER,
    "orchestrator.py": ORCHESTRATOR,
    "wizard.py": WIZARD,
    "api/__init__.py": "",
    "api/model_download.py": SECOND,
    "api_server.py": API_SERVER,
    "ui/service_row.py": SERVICE_ROW,
    "models/turbo/__init__.py": "raise AssertionError('not to be run')\n",
    "models/turbo/modeling_acestep_v15_turbo.py": CODE,
    "models/turbo/extra_of_the_application.py": CODE,
    "models/sft/modeling_acestep_v15_base.py": CODE,
}


def write_application(folder: Path, **changed: str | None) -> Path:
    """`folder`/acestep, as above; `changed` gives other content for a file (``_`` for ``.``), or None for none."""
    for name, text in {**FILES, **{name.replace("_py", ".py"): text for name, text in changed.items()}}.items():
        path = folder / "acestep" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(text, "utf-8")
    return folder
