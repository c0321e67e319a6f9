"""``acestep-fetch [get]``: makes models ready, lists them, or shows what would be done."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from acestep_fetch import __version__
from acestep_fetch.core.errors import UsageError
from acestep_fetch.core.secrecy import Secret
from acestep_fetch.options import Options, expanded, parse_count, parse_size, parse_source

if TYPE_CHECKING:
    from acestep_fetch.display import Mode

_EPILOG: Final = """\
examples:
  acestep-fetch                                    the main model, into ./checkpoints
  acestep-fetch --model acestep-v15-sft            another model (main too, if it is missing)
  acestep-fetch --all --prefer-source modelscope   everything, ModelScope first
  acestep-fetch --list                             what there is
  acestep-fetch verify                             are finished files still what they were? (offline)
  acestep-fetch repair                             fetch what is damaged, of large files only the pieces
  acestep-fetch serve ./checkpoints                share them on the LAN; see `acestep-fetch serve --help`

proxies: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY (http://, https://, socks5://, with USER:PASSWORD@) and NO_PROXY
"""


def parser() -> argparse.ArgumentParser:
    """The documented flags and ours beside them."""
    top = argparse.ArgumentParser(
        prog="acestep-fetch",
        description="ACE-Step checkpoints from Hugging Face and ModelScope at once: resumable, every byte proven.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = top.add_argument_group("what to fetch (nothing named: the main model)")
    what.add_argument(
        "-m", "--model", action="append", default=[], metavar="NAME", help="a model, or OWNER/NAME; repeatable"
    )
    what.add_argument("-a", "--all", action="store_true", help="every model of the catalogue")
    what.add_argument("-l", "--list", action="store_true", help="show the models and end")
    what.add_argument("--skip-main", action="store_true", help="do not fetch the main model along with another")
    what.add_argument(
        "--include", action="append", default=[], metavar="GLOB", help="only files that match; repeatable"
    )
    what.add_argument("--exclude", action="append", default=[], metavar="GLOB", help="no files that match; repeatable")
    what.add_argument("--revision", metavar="REV", help="a branch, tag or commit")
    what.add_argument("-f", "--force", action="store_true", help="fetch again what is there")
    what.add_argument("-n", "--dry-run", action="store_true", help="show what would be done and end")
    how = top.add_argument_group("where from, where to")
    how.add_argument("--prefer-source", metavar="SOURCE", help="huggingface, modelscope or auto")
    how.add_argument("-d", "--dir", metavar="DIR", help="the checkpoints folder (default ./checkpoints)")
    how.add_argument(
        "-t", "--token", type=Secret, help="Hugging Face token; better: --token-file, it stays out of `ps`"
    )
    how.add_argument("--token-file", metavar="FILE", help="a file that holds the token")
    how.add_argument(
        "--ca-bundle",
        metavar="FILE",
        help="believe the certificates in FILE (PEM) and no others; else those of ACESTEP_FETCH_CA_BUNDLE, "
        "SSL_CERT_FILE with SSL_CERT_DIR, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, the first that is set; else the system's",
    )
    how.add_argument("--limit-rate", metavar="RATE", help="at most so much a second, all together, e.g. 80MB/s")
    how.add_argument("-x", "--connections", metavar="N", help="at most so many connections to one hub (default 32)")
    how.add_argument("-j", "--jobs", metavar="N", help="at most so many files at once")
    show = top.add_argument_group("output")
    show.add_argument(
        "--progress", choices=["auto", "bar", "plain", "json", "none"], default="auto", help="how to show progress"
    )
    show.add_argument("-q", "--quiet", action="store_true", help="only errors, and the ready folders on stdout")
    show.add_argument("-v", "--verbose", action="store_true", help="every retry and decision")
    show.add_argument("--version", action="version", version=f"acestep-fetch {__version__}")
    return top


def run(arguments: Sequence[str]) -> int:
    given = parser().parse_args(arguments)
    options = _options(given)
    if given.list:
        from acestep_fetch.cli.listing import print_models

        return print_models(options)
    return _fetch(options, given)


def _options(given: argparse.Namespace) -> Options:
    return Options.from_environment(
        directory=expanded(given.dir) if given.dir else None,
        models=tuple(name for text in given.model for name in text.split(",")),
        all_models=given.all,
        skip_main=given.skip_main,
        include=tuple(given.include),
        exclude=tuple(given.exclude),
        revision=given.revision,
        force=given.force,
        dry_run=given.dry_run,
        prefer=parse_source(given.prefer_source) if given.prefer_source else None,
        token=_token(given),
        ca_bundle=expanded(given.ca_bundle) if given.ca_bundle else None,
        connections=_told("--connections", given.connections, parse_count),
        jobs=_told("--jobs", given.jobs, parse_count),
        limit_rate=_told("--limit-rate", given.limit_rate, parse_size),
    )


def _told(flag: str, text: str | None, parse: Callable[[str], int]) -> int | None:
    """What a flag says, None where it is not given. Raises `UsageError` that names the flag."""
    try:
        return None if text is None else parse(text)
    except UsageError as error:
        raise UsageError(f"{flag}: {error.message}", hint=error.hint) from None


def _token(given: argparse.Namespace) -> Secret | None:
    if given.token and given.token_file:
        raise UsageError("--token and --token-file exclude each other")
    if not given.token_file:
        return given.token or None
    try:
        token = Secret(expanded(given.token_file).read_text("utf-8").strip())
    except (OSError, UnicodeDecodeError) as exc:
        named = "(a token, not a file)" if given.token_file.startswith("hf_") else given.token_file
        raise UsageError(f"--token-file {named}: {getattr(exc, 'strerror', None) or 'not a text'}") from exc
    if not token:
        raise UsageError(f"--token-file {given.token_file}: the file is empty")
    return token


def _fetch(options: Options, given: argparse.Namespace) -> int:
    from acestep_fetch import api
    from acestep_fetch.cli.running import run_loop
    from acestep_fetch.display import open_display

    api.wanted_models(options)  # a wrong name is told before anything is drawn
    mode: Mode = "plain" if options.dry_run and given.progress == "auto" else given.progress
    with open_display(mode, quiet=given.quiet, verbose=given.verbose) as display:
        report = api.up_to_date(options, display) or run_loop(options, display)
    if isinstance(report, int):
        return report
    if options.dry_run and not report.error and given.progress != "json":
        from acestep_fetch.cli.plan import print_plan

        print_plan(report)
    elif given.quiet:
        for folder in report.folders:
            print(folder)
    return report.exit_code
