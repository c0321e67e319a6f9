from __future__ import annotations

import pickle
import sys
from pathlib import Path
from types import ModuleType

import pytest

from acestep_fetch.hubs import tokens
from acestep_fetch.hubs.account import Account, Login, no_login


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A login that modelscope itself saved, below `tmp_path`."""
    monkeypatch.delenv("MODELSCOPE_API_TOKEN", raising=False)
    from modelscope_hub.config import HubConfig

    HubConfig(config_dir=tmp_path, endpoint="https://www.modelscope.cn", token="").save_token("ms-secret")
    return tmp_path


def huggingface_hub(monkeypatch: pytest.MonkeyPatch, get_token: object) -> None:
    fake = ModuleType("huggingface_hub")
    fake.get_token = get_token  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)


@pytest.mark.parametrize(
    ("env", "token"),
    [
        ({"HF_TOKEN": " hf_a\n"}, "hf_a"),
        ({"HUGGING_FACE_HUB_TOKEN": "hf_b"}, "hf_b"),
        ({"HF_TOKEN": "hf_a", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "true"}, None),
        ({"HF_TOKEN": "  "}, None),
        ({"HF_OIDC_RESOURCE": "models/x"}, "hf_sdk"),
        ({"HF_TOKEN": "hf_a", "HF_OIDC_RESOURCE": "models/x"}, "hf_a"),
    ],
)
async def test_huggingface(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, env: dict[str, str], token: str | None
) -> None:
    huggingface_hub(monkeypatch, lambda: "hf_sdk")
    assert (await tokens.huggingface_login({"HF_HOME": str(tmp_path), **env})).token == token


@pytest.mark.parametrize("variable", ["HF_TOKEN_PATH", "HF_HOME", "XDG_CACHE_HOME"])
async def test_a_token_file_leads_to_the_sdk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str) -> None:
    huggingface_hub(monkeypatch, lambda: "hf_sdk")
    file = tmp_path / "huggingface" / "token"
    file.parent.mkdir()
    value = {"HF_TOKEN_PATH": file, "HF_HOME": file.parent, "XDG_CACHE_HOME": tmp_path}[variable]
    assert (await tokens.huggingface_login({variable: str(value)})).token is None
    file.write_text("x")
    assert (await tokens.huggingface_login({variable: str(value)})).token == "hf_sdk"


async def test_a_failing_sdk_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise RuntimeError("secret")

    huggingface_hub(monkeypatch, fail)
    login = await tokens.huggingface_login({"HF_OIDC_RESOURCE": "x"})
    assert login.token is None
    assert "RuntimeError" in (login.warning or "")
    assert "secret" not in (login.warning or "")


@pytest.mark.parametrize(("value", "token"), [("ms-a", "ms-a"), ("", None), (" ", None)])
async def test_modelscopes_variable_wins_even_when_empty(saved: Path, value: str, token: str | None) -> None:
    env = {"MODELSCOPE_HOME": str(saved), "MODELSCOPE_API_TOKEN": value}
    assert await tokens.modelscope_login(env) == Login(token)


async def test_the_login_that_modelscope_saved(saved: Path, tmp_path: Path) -> None:
    found = Login("ms-secret", "www.modelscope.cn")
    assert await tokens.modelscope_login({"MODELSCOPE_HOME": str(saved)}) == found
    older = {"MODELSCOPE_HOME": str(tmp_path / "none"), "MODELSCOPE_CREDENTIALS_PATH": str(saved / "credentials")}
    assert await tokens.modelscope_login(older) == found


async def test_without_a_login_modelscope_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "modelscope_hub.config", None)
    assert await tokens.modelscope_login({"MODELSCOPE_HOME": str(tmp_path)}) == Login()


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return sys.exit, ("the pickle was loaded",)


@pytest.mark.parametrize("place", [".", "credentials", "credentials/cookies"])
async def test_a_jar_that_others_can_write_is_never_opened(saved: Path, place: str) -> None:
    (saved / "credentials" / "cookies").write_bytes(pickle.dumps(Bomb()))
    (saved / place).chmod(0o777)
    login = await tokens.modelscope_login({"MODELSCOPE_HOME": str(saved)})
    assert login.token is None
    assert "can be written by everybody" in (login.warning or "")


async def test_another_users_jar_is_never_opened(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (saved / "credentials" / "cookies").write_bytes(pickle.dumps(Bomb()))
    monkeypatch.setattr("os.getuid", lambda: 4242)
    login = await tokens.modelscope_login({"MODELSCOPE_HOME": str(saved)})
    assert "belongs to another user" in (login.warning or "")


@pytest.mark.parametrize("content", [b"", b"junk", pickle.dumps({"a": 1}), pickle.dumps(7)])
async def test_a_broken_jar_is_no_crash(saved: Path, content: bytes) -> None:
    (saved / "credentials" / "cookies").write_bytes(content)
    assert (await tokens.modelscope_login({"MODELSCOPE_HOME": str(saved)})).token is None


@pytest.mark.parametrize("token", ["a b", "a\nb", "töken", "a;b"])
async def test_a_token_that_cannot_be_a_header_is_not_sent(token: str) -> None:
    account = Account("Hub", token, no_login)
    assert account.token_for("https://h") is None
    assert "characters" in account.take_warnings()[0]


@pytest.mark.parametrize(
    ("made_for", "asked", "sent"),
    [
        (None, "http://127.0.0.1:1", True),
        ("modelscope.cn", "https://modelscope.cn", True),
        (".modelscope.cn", "https://www.modelscope.cn", True),
        ("www.modelscope.cn", "https://modelscope.cn", True),
        ("modelscope.cn", "https://www.modelscope.ai", False),
        ("modelscope.cn", "https://evilmodelscope.cn", False),
        ("modelscope.cn", "https://modelscope.cn.evil", False),
    ],
)
async def test_where_a_saved_login_goes(made_for: str | None, asked: str, sent: bool) -> None:
    async def find() -> Login:
        return Login("t", made_for)

    account = Account("Hub", None, find)
    await account.ready()
    assert (account.token_for(asked) == "t") is sent
