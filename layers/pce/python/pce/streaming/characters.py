"""Texts of hosts and people, made fit for formats of one line. They may be hostile."""

import re

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""C0 and C1 controls but tab and line ends, the line separators of Unicode, lone surrogates."""


def visible(text: str) -> str:
    r"""The text with every control character as ``\u0007``. Tabs and line ends stay: each format
    has its own way with them."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
