"""Every model that ACE-Step's documentation names, and how a typed name finds it."""

from __future__ import annotations

import pytest

from acestep_fetch.catalogue import Catalogue, Model, load_catalogue
from acestep_fetch.core.errors import UsageError
from acestep_fetch.core.model import RepoId
from acestep_fetch.core.paths import why_unsafe

OWN_REPOSITORY = [
    "acestep-v15-small",
    "acestep-v15-base",
    "acestep-v15-sft",
    "acestep-v15-turbo-shift1",
    "acestep-v15-turbo-shift3",
    "acestep-v15-turbo-continuous",
    "acestep-v15-xl-turbo",
    "acestep-v15-xl-sft",
    "acestep-v15-xl-base",
    "acestep-5Hz-lm-0.6B",
    "acestep-5Hz-lm-4B",
]
INSIDE_MAIN = ["acestep-v15-turbo", "acestep-5Hz-lm-1.7B"]
MAIN_COMPONENTS = {"vae", "Qwen3-Embedding-0.6B", "acestep-v15-turbo", "acestep-5Hz-lm-1.7B"}
CATALOGUE = load_catalogue()


def test_main_comes_first_and_brings_its_four_components() -> None:
    main = CATALOGUE.models[0]
    assert (main.name, str(main.repo)) == ("main", "ACE-Step/Ace-Step1.5")
    assert set(main.folders) == MAIN_COMPONENTS
    assert sum(component.size for component in main.components) == pytest.approx(main.size, rel=0.01)


def test_the_catalogue_is_the_documented_one() -> None:
    assert [model.name for model in CATALOGUE.models] == ["main", *OWN_REPOSITORY]
    assert dict(CATALOGUE.inside) == dict.fromkeys(INSIDE_MAIN, "main")


def test_what_others_made_is_found_by_name_but_is_not_part_of_everything() -> None:
    extra = CATALOGUE.find("scragvae")
    assert (extra.name, str(extra.repo)) == ("scragvae", "scragnog/Ace-Step-1.5-ScragVAE")
    assert CATALOGUE.find("scragnog/Ace-Step-1.5-ScragVAE") == extra
    assert extra not in CATALOGUE.models
    with pytest.raises(UsageError, match="belongs to"):
        CATALOGUE.find("someone/scragvae")


@pytest.mark.parametrize("name", OWN_REPOSITORY)
def test_a_model_has_its_repository_its_folder_and_a_description(name: str) -> None:
    model = CATALOGUE.find(name)
    assert str(model.repo) == f"ACE-Step/{name}"
    assert model.folders == (name,)
    assert why_unsafe(name) is None
    assert model.size > 1e9
    assert model.purpose
    assert model.group in ("dit", "xl", "lm")
    assert model.quality in ("Good", "Better", "Best")
    assert model.speed in ("Fast", "Medium", "Slow")


def test_only_what_no_hub_has_is_announced() -> None:
    assert [model.name for model in CATALOGUE.models if model.announced] == ["acestep-v15-small"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        *[(name, "main") for name in INSIDE_MAIN],
        ("MAIN", "main"),
        (" acestep-v15-SFT ", "acestep-v15-sft"),
        ("ACESTEP-5HZ-LM-1.7b", "main"),
        ("small", "acestep-v15-small"),
        ("xl-turbo", "acestep-v15-xl-turbo"),
        ("v15-base", "acestep-v15-base"),
        ("Shift3", "acestep-v15-turbo-shift3"),
        ("continuous", "acestep-v15-turbo-continuous"),
        ("4b", "acestep-5Hz-lm-4B"),
        ("lm-0.6B", "acestep-5Hz-lm-0.6B"),
        ("ace-step/ace-step1.5", "main"),
        ("ACE-Step/acestep-v15-xl-sft", "acestep-v15-xl-sft"),
    ],
)
def test_a_typed_name_finds_its_model(text: str, name: str) -> None:
    assert CATALOGUE.find(text).name == name


@pytest.mark.parametrize("text", ["turbo", "v15-turbo", "1.7B", "lm-1.7B"])
def test_a_short_form_of_what_main_brings_is_main(text: str) -> None:
    assert CATALOGUE.find(text).name == "main"


@pytest.mark.parametrize("name", INSIDE_MAIN)
def test_a_component_with_its_owner_is_the_component(name: str) -> None:
    assert CATALOGUE.find(f"ACE-Step/{name}").name == "main"


@pytest.mark.parametrize("text", ["someone/their-model", " someone/their-model "])
def test_any_other_repository_becomes_a_folder_of_its_name(text: str) -> None:
    model = CATALOGUE.find(text)
    assert (model.name, str(model.repo), model.components) == ("their-model", "someone/their-model", ())


@pytest.mark.parametrize(
    ("text", "name"), [("sft", "acestep-v15-sft"), ("base", "acestep-v15-base"), ("turbo", "main")]
)
def test_a_short_form_is_what_is_left_without_the_family(text: str, name: str) -> None:
    assert CATALOGUE.find(text).name == name


def test_an_ambiguous_short_form_names_the_candidates() -> None:
    two = Catalogue((Model("a-x", RepoId("o", "a-x")), Model("b-x", RepoId("o", "b-x"))), {})
    with pytest.raises(UsageError, match="a-x, b-x"):
        two.find("x")


@pytest.mark.parametrize(
    ("text", "closest"),
    [
        ("acestep-v15-bse", "acestep-v15-base"),
        ("acestep-v1.5-sft", "acestep-v15-sft"),
        ("acestep-v15-tubro", "acestep-v15-turbo"),
        ("acestep-5hz-lm-4", "acestep-5Hz-lm-4B"),
        ("mian", "main"),
        ("acestep_v15_xl_base", "acestep-v15-xl-base"),
    ],
)
def test_a_mistyped_name_is_answered_with_the_closest(text: str, closest: str) -> None:
    with pytest.raises(UsageError, match="no model called") as caught:
        CATALOGUE.find(text)
    assert f"did you mean {closest}?" in (caught.value.hint or "")


@pytest.mark.parametrize("text", ["", " ", "-", "zzzz", "*", "a\x1bb"])
def test_a_name_like_nothing_is_answered_with_the_list(text: str) -> None:
    with pytest.raises(UsageError, match="no model called") as caught:
        CATALOGUE.find(text)
    assert "--list" in (caught.value.hint or "")
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("text", ["a/b/c", "/x", "x/", "../x", "https://huggingface.co/a/b"])
def test_what_looks_like_a_repository_must_be_one(text: str) -> None:
    with pytest.raises(UsageError, match="not a repository id"):
        CATALOGUE.find(text)


def test_models_are_brought_in_order_and_once() -> None:
    brought = CATALOGUE.bring(["acestep-v15-sft", "acestep-v15-turbo", "main", "v15-sft", "ACE-Step/acestep-v15-sft"])
    assert [model.name for model in brought] == ["acestep-v15-sft", "main"]


def test_two_repositories_for_one_folder_are_refused() -> None:
    with pytest.raises(UsageError, match="would both become"):
        CATALOGUE.bring(["one/x", "two/x"])


@pytest.mark.parametrize(
    "text", ["someone/vae", "someone/acestep-v15-turbo", "someone/Main", "someone/ACESTEP-v15-base"]
)
def test_a_strangers_repository_cannot_take_the_place_of_a_known_folder(text: str) -> None:
    with pytest.raises(UsageError):
        CATALOGUE.bring(["main", "acestep-v15-base", text])
