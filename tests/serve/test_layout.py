from __future__ import annotations

from pathlib import Path

import pytest

from acestep_fetch.core.model import HubName
from acestep_fetch.serve.layout import find_files, find_repositories, is_checkpoints
from acestep_fetch.serve.library import Library
from tests.support.trees import MODELS, make_catalogue, make_repo, tree_digests

MAIN = "ACE-Step/Ace-Step1.5"


def as_checkpoints(tmp_path: Path, *models: str) -> Path:
    """A checkpoints folder, as ACE-Step has it: main's content at the top, other models beside it."""
    make_catalogue(tmp_path / "hub", scale=1e-6, hub=HubName.HUGGINGFACE, models=models)
    folder = tmp_path / "checkpoints"
    (tmp_path / "hub" / MAIN).rename(folder)
    for name in models[1:]:
        (tmp_path / "hub/ACE-Step" / name).rename(folder / name)
    return folder


def test_a_checkpoints_folder_is_main_and_the_others(tmp_path: Path) -> None:
    folder = as_checkpoints(tmp_path, "main", "acestep-v15-base", "acestep-5Hz-lm-0.6B")
    (folder / ".acestep-fetch").mkdir()
    (folder / "my-own").mkdir()
    (folder / "my-own/a.txt").touch()
    found = find_repositories(folder)
    assert {str(repo) for repo in found} == {
        MAIN,
        "ACE-Step/acestep-v15-base",
        "ACE-Step/acestep-5Hz-lm-0.6B",
        "ACE-Step/my-own",
    }
    main = next(place for repo, place in found.items() if str(repo) == MAIN)
    assert {file.path for file in find_files(folder, main)} == {*MODELS["Ace-Step1.5"], "README.md", ".gitattributes"}


def test_an_incomplete_main_is_not_offered(tmp_path: Path) -> None:
    folder = as_checkpoints(tmp_path, "main", "acestep-v15-base")
    (folder / "vae").rename(tmp_path / "vae")
    assert [str(repo) for repo in find_repositories(folder)] == ["ACE-Step/acestep-v15-base"]
    (folder / "vae").mkdir()  # as a failed download leaves it
    assert [str(repo) for repo in find_repositories(folder)] == ["ACE-Step/acestep-v15-base"]


def test_a_folder_of_repositories_is_told_apart(tmp_path: Path) -> None:
    make_repo(tmp_path, "a/one", {"f": 1})
    make_repo(tmp_path, "b/two", {"d/f": 1})
    (tmp_path / "b/not an id").mkdir()
    (tmp_path / "README.md").touch()
    assert not is_checkpoints(tmp_path)
    assert {str(repo) for repo in find_repositories(tmp_path)} == {"a/one", "b/two"}
    assert find_repositories(tmp_path / "nowhere") == {}


def test_the_layout_can_be_said(tmp_path: Path) -> None:
    make_repo(tmp_path, "a/one", {"f": 1})
    assert {str(repo) for repo in find_repositories(tmp_path, checkpoints=True)} == {"ACE-Step/a"}


async def test_the_same_content_is_the_same_commit_in_both_layouts(tmp_path: Path) -> None:
    make_catalogue(tmp_path / "repos", scale=1e-6, hub=HubName.HUGGINGFACE, models=["main"])
    commits = set[str]()
    for root in (tmp_path / "repos", as_checkpoints(tmp_path, "main")):
        library = Library(root)
        repo = await library.find("ace-step", "ace-step1.5")
        assert repo is not None
        listing = await library.listing(repo)
        assert listing is not None
        commits.add(listing.commit)
        library.close()
    assert len(commits) == 1


@pytest.mark.parametrize("shared", ["silence_latent.pt", "configuration_acestep_v15.py"])
def test_made_up_repositories_share_what_the_real_ones_share(tmp_path: Path, shared: str) -> None:
    make_catalogue(tmp_path / "hf", scale=1e-5, hub=HubName.HUGGINGFACE)
    digests = {path: digest for path, digest in tree_digests(tmp_path / "hf").items() if path.endswith(f"/{shared}")}
    kinds = {digest: [path for path in digests if digests[path] == digest] for digest in digests.values()}
    assert max(len(paths) for paths in kinds.values()) >= 6


def test_the_hubs_differ_as_the_real_ones_do(tmp_path: Path) -> None:
    for hub in HubName:
        make_catalogue(tmp_path / hub, scale=1e-5, hub=hub, models=["main"])
    one, two = (tree_digests(tmp_path / hub / MAIN) for hub in HubName)
    assert one.keys() ^ two.keys() == {"configuration.json"}
    assert {path for path in one if one[path] != two[path]} == {"README.md", ".gitattributes"}
