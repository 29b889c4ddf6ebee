"""A page of HTML as a parser sees it."""

from html.parser import HTMLParser

EVIL = '<script>alert("1")</script> & "quoted"'


class Page(HTMLParser):
    """Collects elements, text and what the page refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, {key: value or "" for key, value in attrs}))

    def handle_data(self, data):
        self.words += data.replace("\u00a0", " ") + " "

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.elements if name == tag]
