"""``acestep-fetch recommend``: which models suit this machine's GPU, and why. Opens no socket."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from acestep_fetch.catalogue import load_catalogue
from acestep_fetch.cli.arguments import add_gpu, add_json, add_offline_anyhow, command_parser
from acestep_fetch.cli.explaining import explanation
from acestep_fetch.cli.results import print_document
from acestep_fetch.display.units import one_line, size


def parser() -> argparse.ArgumentParser:
    top = command_parser(
        "recommend",
        "Names the models that suit a GPU, with the rule that chose them: the one of this machine (nvidia-smi, "
        "rocm-smi; MAX_CUDA_VRAM and MAX_MPS_VRAM simulate one, in GB), or one that --for-gpu describes.",
        "  acestep-fetch recommend\n  acestep-fetch recommend --for-gpu 12GB --json",
    )
    add_gpu(top)
    add_offline_anyhow(top)
    add_json(top)
    return top


def run(arguments: Sequence[str]) -> int:
    from acestep_fetch.engine.gpu import recommend

    given = parser().parse_args(arguments)
    found = recommend(given.for_gpu or "auto")
    if given.json:
        print_document("recommend", found.to_dict())
        return 0
    catalogue = load_catalogue()
    print(one_line(f"GPU: {found.detection.how}"))
    for line in explanation(found):
        print(line)
    for name in found.models:
        model = catalogue.find(name)
        print(f"  {name:<28}{size(model.size):>9}  {model.purpose}")
    if found.also:
        print(f"would work too: {', '.join(found.also)}")
    total = sum(catalogue.find(name).size for name in found.models)
    print(f"about {size(total)} in all; fetch them with: acestep-fetch --for-gpu {given.for_gpu or ''}".rstrip())
    return 0
