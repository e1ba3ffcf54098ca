"""What names a source, fit to be shown and logged. Needs no OpenCV."""

from __future__ import annotations

import re


def redact(text: str) -> str:
    """`text` fit to be shown: without user, password, query and properties. Shows too little rather than too much."""
    if text.lower().startswith("gst:"):
        return f"gst:{' ! '.join(element_names(text[4:]))}"
    scheme, separator, rest = text.partition("://")
    if not separator:
        # someone may have forgotten the scheme; a plain path hardly has a colon before an at sign
        credentials, at, host = text.rpartition("@")
        return f"***@{host}" if at and ":" in credentials else text
    # a password may itself hold '/', '?', '#' or '@': everything before the last '@' goes
    _, at, host = rest.rpartition("@")
    address, query, _ = host.partition("#")[0].partition("?")
    # some cameras take the login as a part of the path
    address = re.sub(r"(?i)\b(user\w*|pass\w*|pwd|pw)=[^&/]*", r"\1=***", address)
    return f"{scheme}://{'***@' if at else ''}{address}{'?***' if query else ''}"


def element_names(pipeline: str) -> list[str]:
    """The elements of `pipeline` in order, *** for what may be something else: no property is ever among them."""
    bare = re.sub(r"""\\.|"(\\.|[^"\\])*"|'(\\.|[^'\\])*'""", "", pipeline, flags=re.DOTALL)
    bare = re.split(r"""["']""", bare)[0]
    parts = (part.split() for part in re.split(r"\s!\s", f"{bare} "))
    return [words[0] if words and re.fullmatch(r"[A-Za-z][\w-]*", words[0]) else "***" for words in parts]
