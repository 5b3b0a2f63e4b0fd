"""Files to entries: Bundles, single resources, NDJSON, gzip, folders. One bad line costs one line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from twin.errors import UnusableInput
from twin.record import RecordIssue

BUNDLE_TYPES = ("collection", "searchset", "transaction", "batch", "document")
SUFFIXES = (".json", ".ndjson", ".jsonl", ".json.gz", ".ndjson.gz", ".jsonl.gz", ".xml")


@dataclass(frozen=True)
class Entry:
    """One resource and where it stood: "Bundle.entry[3]", "file.ndjson:12"; in a folder also the file."""

    resource: dict[str, Any]
    source: str
    full_url: str = ""
    file: str = ""


def read_entries(source: str | Path | Mapping[str, Any]) -> Iterator[Entry | RecordIssue]:
    """Every resource of `source` in order, and an issue for whatever could not be read.

    source : a parsed Bundle, a file (JSON Bundle or resource, NDJSON, either in gzip), or a folder of files.
    Raises : UnusableInput when nothing can be read at all: no such file, XML, not JSON, no FHIR resource.
    """
    if isinstance(source, Mapping):
        yield from _document(dict(source), "")
        return
    path = Path(source)
    if path.is_dir():
        yield from _folder(path)
    elif path.is_file():
        yield from _file(path, "")
    else:
        raise UnusableInput(
            "no-such-file",
            f"there is no file or folder {path.name!r}. Nothing was read. Give a FHIR R4 Bundle (JSON), "
            "NDJSON (plain or .gz), or a folder of them.",
        )


def _folder(folder: Path) -> Iterator[Entry | RecordIssue]:
    files = sorted(f for f in folder.rglob("*") if f.is_file() and f.name.lower().endswith(SUFFIXES))
    if not files:
        raise UnusableInput(
            "empty-folder",
            f"folder {folder.name!r} holds no file ending in {', '.join(SUFFIXES[:-1])}. Nothing was read.",
        )
    for file in files:
        name = file.relative_to(folder).as_posix()
        try:
            for item in _file(file, name):
                yield replace(item, file=name) if isinstance(item, Entry) else item
        except UnusableInput as why:
            yield RecordIssue(name, why.code, str(why))


def _file(path: Path, name: str) -> Iterator[Entry | RecordIssue]:
    text = _text(path)
    start = text.lstrip()[:1]
    if start == "<":
        raise UnusableInput(
            "xml",
            f"file {path.name!r} is XML. FHIR XML is not read; nothing of it was used. "
            "Convert it to FHIR JSON.",
        )
    lines = "ndjson" in path.name.lower() or "jsonl" in path.name.lower()
    if start not in ("{", "[") and not lines:
        raise UnusableInput(
            "not-json",
            f"file {path.name!r} is not JSON. Nothing of it was used. Give FHIR R4 JSON or NDJSON.",
        )
    if not lines:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            if text.count("\n") < 1:
                raise UnusableInput(
                    "not-json",
                    f"file {path.name!r} begins like JSON but cannot be parsed (cut off?). "
                    "Nothing of it was used.",
                ) from None
        else:
            yield from _document(document, name)
            return
    yield from _lines(text, path.name, name)


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        return raw.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as why:
        raise UnusableInput(
            "unreadable",
            f"file {path.name!r} cannot be read as UTF-8 text or gzip ({type(why).__name__}). "
            "Nothing of it was used.",
        ) from why


def _lines(text: str, file_name: str, name: str) -> Iterator[Entry | RecordIssue]:
    found = False
    issues: list[RecordIssue] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        source = f"{name or file_name}:{number}"
        try:
            resource = json.loads(line)
            if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
                raise ValueError("not a FHIR resource")
        except (ValueError, RecursionError):
            issues.append(
                RecordIssue(source, "bad-line", "the line is not a FHIR resource in JSON. Line not used.")
            )
            continue
        found = True
        if resource["resourceType"] == "Bundle":
            yield from _bundle(resource, f"{source}#")
        else:
            yield Entry(resource, source)
    if not found:
        raise UnusableInput(
            "not-json",
            f"file {file_name!r} holds no FHIR resource in JSON, neither as one document nor line by line. "
            "Nothing of it was used.",
        )
    yield from issues


def _document(document: Any, name: str) -> Iterator[Entry | RecordIssue]:
    label = f"{name}#" if name else ""
    if document == []:
        raise UnusableInput(
            "empty-list",
            f"the document {name or 'given'} is an empty list: it holds no FHIR resource. Nothing was read. "
            "Give a FHIR R4 Bundle or resource.",
        )
    if isinstance(document, list):
        for i, item in enumerate(document):
            if isinstance(item, dict) and isinstance(item.get("resourceType"), str):
                yield Entry(item, f"{label}[{i}]")
            else:
                yield RecordIssue(f"{label}[{i}]", "not-a-resource", "not a FHIR resource. Item not used.")
        return
    if not isinstance(document, dict) or not isinstance(document.get("resourceType"), str):
        raise UnusableInput(
            "not-fhir",
            f"the document {name or 'given'} has no resourceType: it is not FHIR. Nothing of it was used. "
            "Give a FHIR R4 Bundle or resource.",
        )
    if document["resourceType"] != "Bundle":
        yield Entry(document, name or document["resourceType"])
        return
    yield from _bundle(document, label)


def _bundle(bundle: dict[str, Any], label: str) -> Iterator[Entry | RecordIssue]:
    kind = bundle.get("type")
    if kind not in BUNDLE_TYPES:
        shown = kind if isinstance(kind, str) else type(kind).__name__
        yield RecordIssue(
            f"{label}Bundle.type",
            "bundle-type",
            f"Bundle type {shown!r} is not one of {list(BUNDLE_TYPES)}. Its entries were read all the same.",
            "warning",
        )
    links = bundle.get("link")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("relation") == "next":
            yield RecordIssue(
                f"{label}Bundle.link",
                "incomplete-page",
                "the Bundle is one page of several and names a next page that was not read: the record is "
                "incomplete. Export all pages.",
                "warning",
            )
    entries = bundle.get("entry")
    if not isinstance(entries, list):
        raise UnusableInput("empty-bundle", "the Bundle has no entries. Nothing was read.")
    for i, entry in enumerate(entries):
        source = f"{label}Bundle.entry[{i}]"
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
            yield RecordIssue(source, "not-a-resource", "the entry holds no FHIR resource. Entry not used.")
            continue
        request = entry.get("request")
        if isinstance(request, dict) and request.get("method") == "DELETE":
            yield RecordIssue(source, "deleted", "the entry deletes its resource. Entry not used.")
            continue
        url = entry.get("fullUrl")
        yield Entry(resource, source, url if isinstance(url, str) else "")
