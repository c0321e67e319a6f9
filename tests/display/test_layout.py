from __future__ import annotations

from collections.abc import Callable

import pytest

from acestep_fetch.display.glyphs import ASCII, UNICODE, Glyphs
from acestep_fetch.display.layout import Row, block
from acestep_fetch.display.tally import Busy, Phase, View

Make = Callable[..., View]


def text(rows: list[Row]) -> list[str]:
    return ["".join(span.text for span in row) for row in rows]


def test_a_wide_terminal_shows_everything(view: Make) -> None:
    rows = text(block(view(), 80, 20, UNICODE))
    assert rows[0].startswith(" 40% ━━━")
    assert rows[0].rstrip().endswith("─   4.1/10.1 GB  212 MB/s  eta 28s")
    assert rows[1] == "     ■ Hugging Face 71 %  ■ ModelScope 29 %  ■ reused 1.0 GB  files 17/26"
    assert rows[2].startswith("     acestep-v15-turbo/model.safetensors    70% ━━━")
    assert rows[3].endswith("1.4/3.7 GB")


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
@pytest.mark.parametrize("phase", [Phase.DOWNLOADING, Phase.WAITING, Phase.VERIFYING])
def test_no_row_is_wider_than_the_terminal(view: Make, phase: Phase, glyphs: Glyphs) -> None:
    standing = view(phase=phase, why="another process writes here " * 3, speed=0.0, eta=None)
    for width in range(18, 130):
        rows = text(block(standing, width, 9, glyphs))
        assert max(map(len, rows)) <= width
        assert "\n" not in "".join(rows)


def test_sixty_columns_keep_what_matters(view: Make) -> None:
    long = Busy("acestep-v15-xl-turbo/model-00001-of-00004.safetensors", 2 * 10**9, 5 * 10**9)
    rows = text(block(view(busy=(long,)), 58, 20, UNICODE))
    assert "4.1/10.1 GB  212 MB/s  eta 28s" in rows[0]
    assert "Hugging Face 71 %" in rows[1]
    assert rows[2] == "     acestep-v15-xl-tu…00004.safetensors  40%   2.0/5.0 GB"


def test_the_block_is_no_higher_than_it_may(view: Make) -> None:
    assert [len(block(view(), 80, height, UNICODE)) for height in (1, 2, 3, 9)] == [1, 2, 3, 4]


def test_ascii_is_ascii(view: Make) -> None:
    assert all(row.isascii() for row in text(block(view(), 60, 9, ASCII)))


def test_a_stall_is_said(view: Make) -> None:
    rows = text(block(view(idle=12.0, speed=0.0, eta=None), 100, 9, UNICODE))
    assert "no data, waiting for Hugging Face, ModelScope" in rows[2]
    assert rows[2].endswith("(12s)")


def test_the_bar_is_coloured_by_who_delivered(view: Make) -> None:
    bar = block(view(done=101, total=101, reused=1, by_source={"huggingface": 75, "modelscope": 25}), 142, 9, UNICODE)
    cells = {span.style: len(span.text) for span in bar[0] if "━" in span.text}
    assert cells["yellow"] == pytest.approx(3 * cells["magenta"], rel=0.1)
    assert set(cells) <= {"yellow", "magenta", "white"}


def test_before_the_plan_there_is_one_line(view: Make) -> None:
    assert text(block(view(total=0, phase=Phase.PROBING, idle=3.0), 80, 9, UNICODE)) == [
        " waiting for Hugging Face and ModelScope to answer (3s)"
    ]
