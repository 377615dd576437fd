"""Text from files as text on a page: in HTML and in Markdown alike, and never more than text."""

import re
import unicodedata

#: All but letters, digits, single blanks within a line, and `-` and `_` within a word.
_MARK = re.compile(r"[^\w -]|(?<![^\W_])[-_]|[-_](?![^\W_])|^ |(?<= ) ")


def escaped(text: str) -> str:
    """Text from data, manifests or results as HTML, MyST and Markdown show it letter by letter.

    Every mark becomes a numeric reference: to a browser it is the character, and to either language
    nothing that could begin anything. What has no picture, such as the mark that turns the
    direction of writing, becomes a placeholder.
    """
    return _MARK.sub(_reference, text)


def _reference(found: re.Match[str]) -> str:
    hidden = unicodedata.category(found[0]) in ("Cc", "Cf", "Cs") and found[0] not in "\t\n\r"
    return f"&#{0xFFFD if hidden else ord(found[0])};"
