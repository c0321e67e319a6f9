"""Every knob: flag over environment over default, and a wrong value names where it came from."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep_fetch.core.errors import UsageError
from acestep_fetch.core.model import HubName
from acestep_fetch.options import Options, parse_size, parse_source


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("500K", 500_000),
        ("500k", 500_000),
        ("1Ki", 1024),
        ("1KiB/s", 1024),
        ("80MB/s", 80_000_000),
        ("80 MB", 80_000_000),
        ("80MBps", 80_000_000),
        ("1.5GiB", 1_610_612_736),
        (" 2T ", 2_000_000_000_000),
        ("1b", 1),
        ("0.5K", 500),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "0", "0.5", "-1", "1e6", "K", "1X", "1 0", "nan", "inf", "1MB/h", "1,5G", ".5M", "0x10"]
)
def test_what_is_not_a_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="not a size") as caught:
        parse_size(text)
    assert "80MB/s" in (caught.value.hint or "")


def test_a_size_without_end_is_refused() -> None:
    with pytest.raises(UsageError):
        parse_size("9" * 400)


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=12))
def test_no_text_breaks_the_reading_of_sizes(text: str) -> None:
    with suppress(UsageError):
        assert parse_size(text) >= 1


@pytest.mark.parametrize(
    ("text", "source"),
    [("auto", None), ("", None), (" HuggingFace ", HubName.HUGGINGFACE), ("modelscope", HubName.MODELSCOPE)],
)
def test_sources_are_known_by_their_names(text: str, source: HubName | None) -> None:
    assert parse_source(text) == source


@pytest.mark.parametrize("text", ["hf", "hugging face", "both", "huggingface,modelscope"])
def test_other_sources_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a source"):
        parse_source(text)


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("ACESTEP_CHECKPOINTS_DIR", "/data/ckpt", "directory", Path("/data/ckpt")),
        ("ACESTEP_FETCH_PREFER_SOURCE", "modelscope", "prefer", HubName.MODELSCOPE),
        ("ACESTEP_DOWNLOAD_SOURCE", "huggingface", "prefer", HubName.HUGGINGFACE),
        ("ACESTEP_FETCH_CONNECTIONS", "4", "connections", 4),
        ("ACESTEP_FETCH_JOBS", "1", "jobs", 1),
        ("ACESTEP_FETCH_LIMIT_RATE", "1MiB/s", "limit_rate", 1 << 20),
        ("ACESTEP_FETCH_STALL_TIMEOUT", " 2.5 ", "stall_timeout", 2.5),
        ("HF_ENDPOINT", "https://hf-mirror.com", "huggingface_endpoint", "https://hf-mirror.com"),
        ("MODELSCOPE_DOMAIN", "www.modelscope.ai", "modelscope_endpoint", "www.modelscope.ai"),
    ],
)
def test_the_environment_overrules_the_default_and_a_flag_the_environment(
    variable: str, text: str, name: str, value: object
) -> None:
    assert getattr(Options.from_environment({variable: text}), name) == value
    assert getattr(Options.from_environment({variable: " "}), name) == getattr(Options(), name)
    flag = 17
    assert getattr(Options.from_environment({variable: text}, **{name: flag}), name) == flag


WRONG = [
    ("ACESTEP_FETCH_PREFER_SOURCE", "hf"),
    ("ACESTEP_DOWNLOAD_SOURCE", "both"),
    ("ACESTEP_FETCH_CONNECTIONS", "many"),
    ("ACESTEP_FETCH_CONNECTIONS", "1.5"),
    ("ACESTEP_FETCH_JOBS", "all"),
    ("ACESTEP_FETCH_LIMIT_RATE", "fast"),
    ("ACESTEP_FETCH_PROBE_DEADLINE", "3d"),
    ("ACESTEP_FETCH_CONNECT_TIMEOUT", "x"),
    ("ACESTEP_FETCH_STALL_TIMEOUT", "1,5"),
    ("ACESTEP_FETCH_GIVE_UP_AFTER", "-"),
    ("ACESTEP_FETCH_LEASE_WAIT", "an hour"),
]


@pytest.mark.parametrize(("variable", "text"), WRONG)
def test_a_wrong_value_names_its_variable(variable: str, text: str) -> None:
    with pytest.raises(UsageError, match=f"^{variable}: "):
        Options.from_environment({variable: text})


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("ACESTEP_FETCH_CONNECTIONS", "0"),
        ("ACESTEP_FETCH_CONNECTIONS", "257"),
        ("ACESTEP_FETCH_JOBS", "0"),
        ("ACESTEP_FETCH_PROBE_DEADLINE", "0"),
        ("ACESTEP_FETCH_STALL_TIMEOUT", "-1"),
        ("ACESTEP_FETCH_STALL_TIMEOUT", "nan"),
        ("ACESTEP_CHECKPOINTS_DIR", "~nobody-of-this-name/x"),
    ],
)
def test_a_value_out_of_bounds_names_its_variable(variable: str, text: str) -> None:
    with pytest.raises(UsageError, match=variable):
        Options.from_environment({variable: text})


@pytest.mark.parametrize(
    "given", [{"connections": 0}, {"connections": 257}, {"jobs": 0}, {"stall_timeout": 0.0}, {"probe_deadline": -1.0}]
)
def test_what_cannot_work_cannot_be_built(given: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(given))):
        Options(**given)  # type: ignore[arg-type]


def test_tokens_are_not_in_what_is_printed() -> None:
    shown = repr(Options(token="hf_secret", modelscope_token="ms-secret"))
    assert "secret" not in shown
