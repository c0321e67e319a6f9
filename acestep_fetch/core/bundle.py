"""What is carried to a box without a network: what it needs, and where in a few volumes its bytes lie.

Both are locks with something beside them, so that each can be given to ``--lock`` as it is. `Needs` says which bytes
of which files are missing; a `Bundle` says which volume has them. A volume is nothing but bytes, one extent behind the
other. Each content is carried once, whatever number of files it is for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from acestep_fetch.core.errors import UsageError
from acestep_fetch.core.lock import Lock, parse, render
from acestep_fetch.core.model import SHA256_HEX, RepoId
from acestep_fetch.core.paths import why_unsafe_name
from acestep_fetch.core.spans import Span, SpanSet

BUNDLE_NAME: Final = "bundle.json"


@dataclass(frozen=True, slots=True)
class Needs:
    """`lacks` are spans of files by their paths under the checkpoints folder, for models of the `lock`. Of `repos`
    nothing is known but that they are not complete."""

    lock: Lock
    lacks: Mapping[str, tuple[Span, ...]]
    repos: tuple[str, ...]

    @property
    def size(self) -> int:
        return sum(len(span) for spans in self.lacks.values() for span in spans)


def render_needs(needs: Needs) -> str:
    rows = {path: [[span.start, span.stop] for span in spans] for path, spans in sorted(needs.lacks.items())}
    return render(needs.lock, {"repos": list(needs.repos), "lacks": rows})


def parse_needs(text: str | bytes, name: str) -> Needs:
    """Raises `UsageError`."""
    lock, rows = parse(text, name)
    try:
        sizes = {file.path: file.size for model in lock.models for file in model.files}
        lacks = {path: _lacking(path, spans, sizes[path]) for path, spans in rows["lacks"].items()}
        repos = tuple(str(RepoId.parse(repo)) for repo in rows["repos"])
    except (ValueError, TypeError, KeyError, AttributeError, UsageError) as exc:
        raise UsageError(f"{name}: it does not say what is needed ({exc!r})", hint=_NEEDS_HINT) from None
    return Needs(lock, lacks, repos)


def _lacking(path: str, pairs: Iterable[Iterable[int]], size: int) -> tuple[Span, ...]:
    """In order, and each byte once: so they are laid out, and read again."""
    spans = tuple(SpanSet(Span(*map(int, pair)) for pair in pairs))
    if any(span.stop > size for span in spans):
        raise ValueError(f"{path} has no such bytes")
    return spans


_NEEDS_HINT: Final = "the box without a network writes it: acestep-fetch bundle needs -o needs.json"


@dataclass(frozen=True, slots=True)
class Extent:
    """Bytes of a content, and where they lie."""

    span: Span
    volume: int
    offset: int


@dataclass(frozen=True, slots=True)
class Content:
    """`path` is one of the files that it is for."""

    path: str
    size: int
    sha256: str
    extents: tuple[Extent, ...]

    @property
    def volumes(self) -> set[int]:
        return {extent.volume for extent in self.extents}


@dataclass(frozen=True, slots=True)
class Volume:
    """`sha256` is "" until it is written."""

    name: str
    size: int
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Bundle:
    lock: Lock
    contents: tuple[Content, ...]
    volumes: tuple[Volume, ...]

    def with_digest(self, volume: int, sha256: str) -> Bundle:
        volumes = list(self.volumes)
        volumes[volume] = replace(volumes[volume], sha256=sha256)
        return replace(self, volumes=tuple(volumes))

    def is_laid_out_as(self, other: Bundle) -> bool:
        """Whether a volume of the one is a volume of the other."""
        return [replace(v, sha256="") for v in self.volumes] == [replace(v, sha256="") for v in other.volumes] and (
            self.contents == other.contents
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """A content to be carried, and which of its bytes."""

    path: str
    size: int
    sha256: str
    spans: tuple[Span, ...]


def lay_out(lock: Lock, wanted: Iterable[Wanted], split: int) -> Bundle:
    """The same volumes for the same wishes, each of at most `split` bytes. An extent is cut where a volume is full."""
    contents, fill = list[Content](), [0]
    for each in sorted(wanted, key=lambda each: (each.path, each.sha256)):
        extents = list[Extent]()
        for span in each.spans:
            start = span.start
            while start < span.stop:
                if fill[-1] == split:
                    fill.append(0)
                stop = min(span.stop, start + split - fill[-1])
                extents.append(Extent(Span(start, stop), len(fill) - 1, fill[-1]))
                fill[-1] += stop - start
                start = stop
        contents.append(Content(each.path, each.size, each.sha256, tuple(extents)))
    volumes = tuple(Volume(f"volume-{n:04}.bin", size) for n, size in enumerate(fill, 1) if size)
    return Bundle(lock, tuple(contents), volumes)


def render_bundle(bundle: Bundle) -> str:
    volumes = [{"name": v.name, "size": v.size, "sha256": v.sha256} for v in bundle.volumes]
    contents = [
        {
            "path": content.path,
            "size": content.size,
            "sha256": content.sha256,
            "extents": [[e.span.start, e.span.stop, e.volume, e.offset] for e in content.extents],
        }
        for content in bundle.contents
    ]
    return render(bundle.lock, {"volumes": volumes, "contents": contents})


def parse_bundle(text: str | bytes, name: str) -> Bundle:
    """Raises `UsageError`."""
    lock, rows = parse(text, name)
    try:
        volumes = tuple(_volume(row) for row in rows["volumes"])
        contents = tuple(_content(row, volumes) for row in rows["contents"])
    except (ValueError, TypeError, KeyError) as exc:
        hint = "copy it once more, or make it anew with: acestep-fetch bundle create"
        raise UsageError(f"{name}: this is no bundle ({exc!r})", hint=hint) from None
    return Bundle(lock, contents, volumes)


def _volume(row: Mapping[str, Any]) -> Volume:
    volume = Volume(row["name"], row["size"], row["sha256"])
    if why_unsafe_name(volume.name) or not _is_size(volume.size):
        raise ValueError(f"{volume.name!r} is no volume")
    if volume.sha256 and not SHA256_HEX.fullmatch(volume.sha256):
        raise ValueError(f"the digest of {volume.name}")
    return volume


def _content(row: Mapping[str, Any], volumes: tuple[Volume, ...]) -> Content:
    extents = tuple(Extent(Span(start, stop), at, offset) for start, stop, at, offset in row["extents"])
    content = Content(str(row["path"]), row["size"], row["sha256"], extents)
    if not _is_size(content.size) or not SHA256_HEX.fullmatch(content.sha256):
        raise ValueError(f"size and digest of {content.path}")
    for extent in extents:
        fits = _is_size(extent.offset) and 0 <= extent.volume < len(volumes) and extent.span.stop <= content.size
        if not fits or extent.offset + len(extent.span) > volumes[extent.volume].size:
            raise ValueError(f"where {content.path} lies")
    return content


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
