"""Reads pages: texts, tags, identifiers, the colours of the style sheet."""

import re
from html.parser import HTMLParser


class Page(HTMLParser):
    """Text, tooltips, tags and loaded addresses of a page, and the attributes of its elements."""

    def __init__(self, text):
        super().__init__()
        self.words, self.titles, self.tags, self.loaded, self.elements = [], [], set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.elements.append((tag, dict(attrs)))
        for key, value in attrs:
            if key == "title":
                self.titles.append(value)
            if key in ("src", "href"):
                self.loaded.append(value)

    def handle_data(self, data):
        if self.lasttag not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def having(self, key):
        """Values of an attribute, in the order of the page."""
        return [attributes[key] for _, attributes in self.elements if key in attributes]


def themes(page):
    """The colours of a page by name: of light screens, of dark ones, of paper."""
    blocks = re.findall(r":root \{(.*?)\}", page, re.S)
    return [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in blocks]


def contrast(one, other):
    """The ratio of contrast of two colours as WCAG 2 defines it."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour):
    shares = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
