import pytest

from acestep_fetch.display import units


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (425, "425 B"), (1000, "1.0 kB"), (337_400_000, "337.4 MB"), (999_960_000, "1.0 GB"),
     (10_092_095_357, "10.1 GB"), (2 * 10**12, "2.0 TB")],
)  # fmt: skip
def test_sizes_are_decimal_with_one_digit(count: int, text: str) -> None:
    assert units.size(count) == text


@pytest.mark.parametrize(
    ("speed", "text"), [(0, "0 B/s"), (9.4e6, "9.4 MB/s"), (212.4e6, "212 MB/s"), (1.25e9, "1.2 GB/s")]
)
def test_rates_have_two_or_three_digits(speed: float, text: str) -> None:
    assert units.rate(speed) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0.2 s"), (9.97, "10 s"), (21.3, "21 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (3725, "1 h 02 min")],
)
def test_durations_are_human(seconds: float, text: str) -> None:
    assert units.duration(seconds) == text


def test_countdowns_are_short() -> None:
    assert [units.countdown(s) for s in (None, 28.4, 125, 3725, 9e9)] == ["-", "28s", "2m05s", "1h02m", ">99h"]


def test_a_hundred_per_cent_means_done() -> None:
    assert (units.percent(9_999_999, 10_000_000), units.percent(10, 10), units.percent(0, 0)) == (99, 100, 100)


def test_progress_is_in_the_unit_of_the_total() -> None:
    assert units.progress(41 * 10**8, 10_092_095_357) == "4.1/10.1 GB"
    assert units.progress(20, 425) == "20/425 B"


def test_the_bytes_agree_with_the_per_cent() -> None:
    """Both are rounded down, and say that all is there only when it is."""
    assert units.progress(10_092_095_356, 10_092_095_357) == "10.0/10.1 GB"
    assert units.progress(10_039_999_999, 10_040_000_000) == "9.9/10.0 GB"
    assert units.progress(10_092_095_357, 10_092_095_357) == "10.1/10.1 GB"
    assert units.progress(0, 31_000_000) == "0.0/31.0 MB"


def test_shares_add_up_to_a_hundred() -> None:
    assert units.percentages({"a": 1, "b": 1, "c": 1, "none": 0}) == {"a": 34, "b": 33, "c": 33}
    assert list(units.percentages({"b": 9, "a": 1})) == ["a", "b"]  # names stay where they are
    assert units.percentages({}) == {}


def test_foreign_text_cannot_steer_a_terminal() -> None:
    assert units.one_line("a\r\nb\x1b[31m\x9bé→\u202e\ud800 ") == "a  b?[31m?é→??"


def test_long_paths_are_cut_in_the_middle() -> None:
    path = "acestep-5Hz-lm-1.7B/model.safetensors"
    assert units.shorten(path, len(path)) == path
    assert units.shorten(path, 20) == "acestep-5…afetensors"
    assert units.shorten(path, 20, "...") == "acestep-...fetensors"
    for width in range(1, 50):
        assert len(units.shorten(path, width)) <= width


def test_shards_stay_different() -> None:
    paths = [f"acestep-v15-xl-turbo/model-0000{n}-of-00004.safetensors" for n in (1, 2, 3, 4)]
    for width in range(30, 60):
        short = units.shorten_all(paths, width)
        assert len(set(short)) == 4, short
        assert max(map(len, short)) <= width
    assert units.shorten_all(["a/long/name.bin"] * 2, 9) == ["a/lo….bin"] * 2  # the same file is the same


def test_a_line_that_is_cut_says_so() -> None:
    assert (units.cut("DiT, fine-tuned", 15), units.cut("DiT, fine-tuned", 9)) == ("DiT, fine-tuned", "DiT, fin…")


def test_lines_break_between_words_and_never_in_a_figure() -> None:
    text = "main: 28 files, 10.1 GB in /models/checkpoints-of-mine/acestep, free 85.2 GB at 12 MB/s"
    for width in range(20, 90):
        lines = units.wrap(text, width, "    ")
        assert " ".join(line.strip() for line in lines) == text
        assert not any(line.strip().startswith(("GB", "MB/s")) for line in lines)
        assert all(len(line) <= max(width, 24) or " " not in line.strip() for line in lines)
    assert units.wrap(text, 40, "  ")[1].startswith("  ")
    assert units.wrap("short", 20) == ["short"]
