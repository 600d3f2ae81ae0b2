"""The tables and texts of a page, as a reader of HTML finds them."""

from html.parser import HTMLParser

VOID = {"meta", "link", "img", "line", "circle", "br"}


class Tables(HTMLParser):
    """Collect tables by caption, all links and sources, and the text of the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.addresses: list[str] = []
        self.images: list[dict[str, str]] = []
        self.headings: list[int] = []
        self.tags: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self._rows: list[list[str]] = []
        self._caption = ""
        self.feed(page)
        assert self._open == [], "elements are closed in order"

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.text += " "
        told = dict(attributes)
        self.addresses += [told[name] for name in ("src", "href") if name in told]
        if tag == "img":
            self.images.append(told)
        if tag not in VOID:
            self._open.append(tag)
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append(int(tag[1]))
        if tag == "table":
            self._rows, self._caption = [], ""
        if tag == "tr":
            self._rows.append([])
        if tag in ("th", "td"):
            self._rows[-1].append("")

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        assert self._open.pop() == tag
        if tag == "table":
            self.tables[self._caption] = self._rows

    def handle_data(self, data):
        if "style" in self._open:
            return
        self.text += data
        if "caption" in self._open:
            self._caption += data
        elif {"th", "td"} & set(self._open):
            self._rows[-1][-1] += data
