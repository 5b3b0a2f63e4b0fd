"""Docstrings say "name : text" line by line; make each such line a list item when it is shown."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ENTRY = re.compile(r"^([A-Za-z_][\w, .*]*?) : (?=\S)")


class FourQuestions(griffe.Extension):
    """Turn the project's `Returns : ...` lines into list items."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is None:
            return
        lines: list[str] = []
        inside = False
        for line in obj.docstring.value.splitlines():
            entry = _ENTRY.match(line)
            if entry:
                if not inside:
                    lines.append("")
                inside = True
                lines.append(f"- **{entry[1]}**: {line[entry.end() :]}")
            elif inside and line.strip():
                lines.append(f"    {line.strip()}")
            else:
                inside = False
                lines.append(line)
        obj.docstring.value = "\n".join(lines)
