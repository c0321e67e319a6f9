"""The names and exit codes that scripts rely on."""

from __future__ import annotations

import pytest

from acestep_fetch.core import errors
from acestep_fetch.core.errors import Failure, FetchError, SourceError, StoppedError, StuckError, UsageError

EXIT_CODES = {
    "FetchError": ("failure", 1, False),
    "UsageError": ("usage", 2, False),
    "NotFoundError": ("not-found", 3, False),
    "AccessError": ("access", 4, False),
    "NetworkError": ("network", 5, True),
    "SourceError": ("source", 5, True),
    "IntegrityError": ("integrity", 6, False),
    "DiskFullError": ("disk-full", 7, False),
    "DiskError": ("disk", 8, False),
    "LeaseError": ("lease", 9, True),
    "PartialError": ("partial", 10, True),
    "StuckError": ("stuck", 1, True),
    "IncompleteError": ("incomplete", 11, False),
    "LockedError": ("locked", 12, False),
    "StoppedError": ("stopped", 130, True),
}


def test_names_and_exit_codes_of_errors_never_change() -> None:
    found = {
        name: (kind.name, kind.exit_code, kind.retryable)
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, FetchError)
    }
    assert found == EXIT_CODES


@pytest.mark.parametrize("name", EXIT_CODES)
def test_the_table_in_the_docstring_says_the_same(name: str) -> None:
    code = EXIT_CODES[name][1]
    line = next(row for row in (errors.__doc__ or "").splitlines() if name in row)
    assert f"exit {code}" in line or name == "SourceError"


def test_an_error_keeps_its_facts_apart_from_its_message() -> None:
    error = UsageError("no", hint="yes", attempts=["one", "two"])
    assert (str(error), error.message, error.hint, error.attempts) == ("no", "no", "yes", ("one", "two"))


def test_a_failed_request_says_only_what_the_server_said() -> None:
    error = SourceError(Failure.BUSY, "429")
    assert (error.failure, error.message, error.retry_after, error.of_resolver) == (Failure.BUSY, "429", None, False)
    told = SourceError(Failure.BUSY, "429", hint="later", retry_after=3.0, of_resolver=True)
    assert (told.hint, told.retry_after, told.of_resolver) == ("later", 3.0, True)


def test_no_text_of_an_error_has_a_secret() -> None:
    secret = "hf_" + "aB3" * 9
    error = FetchError(secret, hint=secret, attempts=[secret])
    assert not any(
        secret in text for text in (str(error), repr(error), error.message, error.hint or "", *error.attempts)
    )


def test_errors_with_words_of_their_own_say_what_to_do() -> None:
    stuck, stopped = StuckError("it stood still"), StoppedError()
    assert (
        (stuck.message, stopped.message) == (str(stuck), str(stopped)) == ("it stood still", "the download was stopped")
    )
    assert all(
        "what is there is kept" in (e.hint or "") or "what has arrived is kept" in (e.hint or "")
        for e in (stuck, stopped)
    )


def test_what_nobody_said_is_not_there() -> None:
    assert (FetchError("no").hint, FetchError("no").attempts) == (None, ())


def test_each_kind_of_failure_has_words_of_its_own_for_people() -> None:
    assert len(Failure) == len({str(failure) for failure in Failure}) == 13
    assert all(failure.replace(" ", "").isalpha() and failure.islower() for failure in Failure)
