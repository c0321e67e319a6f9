"""ACE-Step's own ways of calling its downloader, unchanged, in a process in which ``install()`` was called."""

from __future__ import annotations

from pathlib import Path

from acestep_fetch import compat
from acestep_fetch.core.model import HubName
from tests.compat.application import API_SERVER_OF_FEBRUARY, CODE, write_application
from tests.compat.conftest import INSTALL, ROOT, Application
from tests.end_to_end.conftest import Hubs
from tests.support.trees import MAIN, OWNER, tree_digests

PARTS = ("vae", "Qwen3-Embedding-0.6B", "acestep-v15-turbo", "acestep-5Hz-lm-1.7B")


def is_whole(roots: dict[HubName, Path], folder: Path, model: str, part: str = "") -> bool:
    """Python files are left out: ACE-Step rewrites them."""
    ours, theirs = (
        {path: digest for path, digest in tree_digests(tree).items() if not path.endswith(".py")}
        for tree in (folder / (part or model), roots[HubName.HUGGINGFACE] / OWNER / model / part)
    )
    return ours == theirs


def test_the_handler_of_february(application: Application, roots: dict[HubName, Path]) -> None:
    write_application(application.folder)
    told = application.run(
        "from acestep.handler import AceStepHandler\n"
        "h = AceStepHandler()\n"
        "told = [h.initialize_service('.', 'acestep-v15-sft', prefer_source='huggingface'),"
        " h.initialize_service('.', 'acestep-v15-nonsense')]"
    )
    assert told[0] == ["ready", True]
    assert told[1][1] is False
    assert told[1][0].startswith("Failed to download DiT model 'acestep-v15-nonsense': Unknown DiT model")
    assert "acestep-v15-sft" in told[1][0], "it says what there is"
    folder = application.folder / "checkpoints"
    for code in ("acestep-v15-sft/modeling_acestep_v15_base.py", "acestep-v15-turbo/extra_of_the_application.py"):
        assert (folder / code).read_text() == CODE, "after a download it is the application's"
    assert is_whole(roots, folder, "acestep-v15-sft")
    assert all(is_whole(roots, folder, MAIN, part) for part in PARTS)


def test_the_newer_initialisation_with_a_vae_and_its_own_code(
    application: Application, roots: dict[HubName, Path]
) -> None:
    write_application(application.folder)
    shared = application.folder / "shared models"
    initialise = "from acestep.orchestrator import Service\ns = Service()\ntold = [*s.initialize(), s.vae_path]"
    environment = {"ACESTEP_CHECKPOINTS_DIR": str(shared), "ACESTEP_VAE_CHECKPOINT": "scragvae"}
    assert application.run(initialise, **environment) == ["ready", True, str(shared / "scragvae")]
    assert all(is_whole(roots, shared, MAIN, part) for part in PARTS)
    assert (shared / "scragvae" / "config.json").stat().st_size == 425
    turbo = shared / "acestep-v15-turbo"
    assert (turbo / "modeling_acestep_v15_turbo.py").read_text() == CODE
    assert (turbo / "extra_of_the_application.py").read_text() == CODE
    assert not (turbo / "__init__.py").exists()
    asked = len(application.hubs.hf.recorder.entries)
    again = application.run(initialise, **environment)
    assert again[:2] == ["ready", True], "its rewritten files are no reason to fetch anything"
    assert len(application.hubs.hf.recorder.entries) == asked


def test_the_wizard(application: Application, roots: dict[HubName, Path]) -> None:
    write_application(application.folder)
    told = application.run(
        "from acestep.wizard import prepare\n"
        "told = [prepare('checkpoints', 'acestep-5Hz-lm-0.6B'), prepare('checkpoints', task='text2music')]"
    )
    assert [ok for ok, _ in told] == [True, True], told
    assert told[1][1] == "LM model 'acestep-5Hz-lm-1.7B' is available"
    for model in ("acestep-v15-base", "acestep-5Hz-lm-0.6B"):
        assert is_whole(roots, application.folder / "checkpoints", model)


def test_the_api_server_on_its_event_loop(application: Application, roots: dict[HubName, Path]) -> None:
    write_application(application.folder)
    names = ["acestep-v15-turbo", "vae", "acestep-5Hz-lm-0.6B", "acestep-v15-nonsense"]
    told = application.run(
        f"import asyncio\nfrom acestep.api_server import lifespan\ntold = asyncio.run(lifespan('.', {names}))"
    )
    assert told[:3] == [f"checkpoints/{name}" for name in names[:3]]
    assert told[3].startswith("[API Server] Warning: Failed to download acestep-v15-nonsense: Unknown model")
    assert is_whole(roots, application.folder / "checkpoints", "acestep-5Hz-lm-0.6B")


def test_the_api_server_of_february(application: Application) -> None:
    write_application(application.folder, api_server_py=API_SERVER_OF_FEBRUARY)
    told = application.run("from acestep import api_server\ntold = api_server.load('acestep-5Hz-lm-0.6B', 'there')")
    assert told == "there/acestep-5Hz-lm-0.6B"
    assert (application.folder / told / "config.json").exists()


def test_what_others_call_without_any_ace_step(application: Application, roots: dict[HubName, Path]) -> None:
    told = application.run(
        "from pathlib import Path\n"
        "import acestep.model_downloader\n"
        "from acestep import model_downloader as m\n"
        "from acestep.model_downloader import _sync_model_code_files, ensure_lm_model\n"
        "told = [acestep.model_downloader.ensure_main_model(checkpoints_dir='a', token='hf_x', prefer_source='auto'),\n"
        "  ensure_lm_model(model_name='0.6B', checkpoints_dir='a'),\n"
        "  m.download_submodel('acestep-v15-sft', Path('a')),\n"
        "  m.ensure_main_model('a', None, 'modelscope'), m.check_model_exists('acestep-v15-turbo', 'a'),\n"
        "  _sync_model_code_files('acestep-v15-turbo', 'a'), m._check_code_mismatch('acestep-v15-turbo', Path('a'))]"
    )
    assert [answer[0] for answer in told[:4]] == [True] * 4, told
    assert told[4:] == [True, [], []]
    assert is_whole(roots, application.folder / "a", "acestep-v15-sft")


def test_the_service_row_shows_the_variants(application: Application) -> None:
    write_application(application.folder)
    told = application.run("from acestep.ui.service_row import build_vae_dropdown\ntold = build_vae_dropdown()")
    assert told == {"choices": ["official", "scragvae"], "value": "official"}


def test_a_module_is_run_with_the_drop_in_and_no_change_to_it(application: Application) -> None:
    (application.folder / "song.py").write_text(
        "import sys\nfrom acestep.model_downloader import ensure_lm_model\n"
        "if __name__ == '__main__':\n    print(sys.argv[1:], ensure_lm_model('0.6B', 'there')[0])\n"
    )
    process = application.start(["-m", "acestep_fetch.compat", "song", "--port", "1"])
    out, err = process.communicate(timeout=60)
    assert out == "['--port', '1'] True\n", err
    write_application(application.folder)
    process = application.start(["-m", "acestep_fetch.compat", "acestep.model_downloader", "--list"])
    assert "acestep-v15-xl-turbo" in process.communicate(timeout=60)[0]
    process = application.start(["-m", "acestep_fetch.compat"])
    assert "usage: python -m acestep_fetch.compat MODULE" in process.communicate(timeout=60)[1]
    assert process.returncode == 1


def test_the_command_line_of_acestep_download(application: Application, pair: Hubs) -> None:
    command = (
        "import sys\nsys.argv = ['acestep-download', *{}]\nfrom acestep.model_downloader import main\ntold = main()"
    )
    assert application.run(command.format(["--list"])) == 0
    told = application.run(command.format(["-m", "acestep-5Hz-lm-0.6B", "--skip-main", "-d", "there", "-f"]))
    assert (told, (application.folder / "there/acestep-5Hz-lm-0.6B/config.json").exists()) == (0, True)
    assert application.run(command.format(["-m", "nonsense"])) == 2
    listed = application.start(application.code("import acestep.model_downloader as m; m.print_model_list()"))
    assert "acestep-v15-xl-turbo" in listed.communicate(timeout=60)[0]


def test_the_page_says_what_is_tested_here() -> None:
    page = (ROOT / "docs" / "drop-in.md").read_text("utf-8")
    assert INSTALL in page
    assert "python -m acestep_fetch.compat acestep.api_server" in page
    assert INSTALL.strip() in (compat.__doc__ or "")


def test_importing_costs_little_and_no_network_library(application: Application) -> None:
    heavy = ("aiohttp", "asyncio", "httpx", "huggingface_hub", "modelscope", "rich", "socket")
    code = (
        "import sys, time\nstart = time.process_time()\nimport acestep_fetch.compat.model_downloader\n"
        f"print(time.process_time() - start, *[name for name in {heavy!r} if name in sys.modules])"
    )
    runs = [application.start(["-c", code]).communicate(timeout=60)[0].split() for _ in range(5)]
    assert all(len(run) == 1 for run in runs), runs
    best = min(float(run[0]) for run in runs)
    print(f"\nimported in {1000 * best:.0f} ms of CPU")
    assert best < 0.05 * 4  # under a load that takes the caches and the clock away
