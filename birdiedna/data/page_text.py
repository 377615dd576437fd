"""Escape text from files so that it stays plain text in HTML and in Markdown."""

import re
import unicodedata

#: All but letters, digits, single blanks within a line, and `-` and `_` within a word.
_MARK = re.compile(r"[^\w -]|(?<![^\W_])[-_]|[-_](?![^\W_])|^ |(?<= ) ")


def escaped(text: str) -> str:
    """Escape text from data, manifests or results for HTML, MyST and Markdown.

    Punctuation becomes numeric references: browsers show the character, and neither language
    interprets it. Invisible characters, such as direction marks, become a placeholder.
    """
    return _MARK.sub(_reference, text)


def _reference(found: re.Match[str]) -> str:
    hidden = unicodedata.category(found[0]) in ("Cc", "Cf", "Cs") and found[0] not in "\t\n\r"
    return f"&#{0xFFFD if hidden else ord(found[0])};"
