"""What all views share: header, navigation, keys, colours, and the filters that stand in the address."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from fastapi import Request
from nicegui import app, ui
from nicegui.translations import translations
from stack.services import PROGRAMS

from page.words import harmless

VIEWS = (
    ("o", "Overview", "/"),
    ("t", "Traces", "/traces"),
    ("l", "Logs", "/logs"),
    ("m", "Metrics", "/metrics"),
    ("p", "Map", "/map"),
    ("s", "Story", "/story"),
)
KEYS = (
    *((f"g {key}", name) for key, name, _ in VIEWS),
    ("/", "Search"),
    ("j k", "Next and previous row"),
    ("Enter", "Open the row"),
    ("[ ]", "Newer and older trace"),
    ("?", "These keys"),
)
LONGEST_FILTER = 200
HERE = Path(__file__).parent
# NiceGUI takes the colours of the system unless it is told of others; a choice made here stays in the browser.
CHOSEN_COLOURS = "if (localStorage.colours) setDark(localStorage.colours === 'dark');"
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="4" fill="#3d63dd"/>'
    '<path d="M3 5h6M6 8h7M4 11h5" stroke="#fff" stroke-width="1.6" stroke-linecap="round"/></svg>'
)

Values = Mapping[str, str]


class Filter(NamedTuple):
    """A field to filter by: a list to choose from where there are `options` (texts by value), else one to write in."""

    label: str
    options: Mapping[str, str] | None = None


SERVICE = Filter("Service", {"": "all"} | {each.name: each.name for each in PROGRAMS})


def prepare() -> None:
    """Add to every page what is the same in all of them."""
    ui.add_css(HERE / "page.css", shared=True)
    ui.add_head_html(f"<script>{(HERE / 'page.js').read_text()}</script>", shared=True)
    app.config.vue_config_script += CHOSEN_COLOURS
    translations["en-US"] |= {
        "connection_lost": "The page has ended, or is being restarted.",
        "trying_to_reconnect": "It comes back by itself as soon as it runs again: `make up` starts it.",
    }


@contextmanager
def frame(view: str, title: str = "") -> Generator[None]:
    """The page around the content of a view, which is `main`."""
    ui.query("main.q-page").props("role=none")  # Quasar's, which holds the header too
    ui.page_title(f"{title or view} · All-ERP")
    with ui.element("a").props('class="skip" href="#main"'):
        text("Skip to the content")
    with ui.element("header").classes("top"):
        with ui.element("a").props('href="/" aria-label="All-ERP, overview"').classes("brand"):
            text("All-ERP")
        with ui.element("nav").props('aria-label="views"'):
            for key, name, path in VIEWS:
                link = ui.element("a").props(f'href="{path}" title="{name} (g {key})" data-key="{key}"')
                if name == view:
                    link.props('aria-current="page"')
                with link:
                    text(name)
        _button("Dark or light", "◐", "switchColours()")
        _button("Keys", "?", "showKeys()")
    with ui.element("dialog").props('id="keys" aria-label="keys"'):
        heading("Keys")
        with ui.element("dl").classes("fields"):
            for keys, what in KEYS:
                with ui.element("dt"):
                    for key in keys.split():
                        text(key, tag="kbd")
                text(what, tag="dd")
        _button("Close", "Close", "document.getElementById('keys').close()")
    with ui.element("main").props('id="main" tabindex="-1"'):
        yield


def text(content: str, classes: str = "", tag: str = "span") -> ui.label:
    """A text, as it is."""
    label = ui.label(harmless(content)).classes(classes)
    label.tag = tag
    return label


def heading(content: str, level: int = 2) -> ui.label:
    """A heading."""
    return text(content, tag=f"h{level}")


def given(request: Request, names: Mapping[str, Filter]) -> Values:
    """The values of filters that the address names."""
    return {name: _fitting(each, request.query_params.get(name, "")) for name, each in names.items()}


def filters(names: Mapping[str, Filter], values: Values, apply: Callable[[Values], object]) -> None:
    """Fields to filter by: of `values`, those that `names` has.

    `apply` is told of all values after each change; the address then names those that are set.
    """
    now = dict(values)

    def changed(name: str, value: object) -> None:
        now[name] = _fitting(names[name], str(value))
        address = urlencode({key: each for key, each in now.items() if each})
        ui.run_javascript(f"history.replaceState(null, '', location.pathname + '?{address}')")
        apply(dict(now))

    with ui.element("div").classes("filters").props('role="search" aria-label="filters"'):
        for name, each in names.items():
            with ui.element("label"):
                text(each.label)
                _field(each, now[name], partial(changed, name))


def _fitting(each: Filter, value: str) -> str:
    value = value.strip()[:LONGEST_FILTER]
    return value if each.options is None or value in each.options else ""


def _field(each: Filter, value: str, changed: Callable[[str], object]) -> None:
    # `^` makes it an attribute, which is only where the field begins: a value would undo what is being typed.
    if each.options is None:
        field = ui.element("input").props(
            f'type="search" maxlength={LONGEST_FILTER} autocomplete="off" spellcheck="false"'
        )
        field.props["^value"] = value
    else:
        with ui.element("select") as field:
            for option, shown in each.options.items():
                with ui.element("option").props("^selected" if option == value else "") as element:
                    element.props["value"] = option
                    text(shown)
    javascript = "(event) => emit(event.target.value)"
    field.on("input", lambda event: changed(event.args), js_handler=javascript, throttle=0.25, leading_events=False)


def button(label: str, on_click: Callable[[], object], *, primary: bool = False) -> ui.element:
    """A button with a text, of which `label` can be set."""
    with ui.element("button").props('type="button"').classes("primary" if primary else "") as made:
        text(label)
    return made.on("click", lambda _: on_click(), args=[])


def _button(name: str, shown: str, javascript: str) -> None:
    with ui.element("button").props('type="button"').classes("plain") as made:
        made.props["aria-label"] = made.props["title"] = name
        text(shown)
    made.on("click", js_handler=f"() => {javascript}")


def copy_button(label: str, javascript: str) -> None:
    """A button that copies what the JavaScript gives."""
    with ui.element("button").props('type="button"') as made:
        text(label)
    made.on("click", js_handler=f"(event) => copyText({javascript}, event.currentTarget)")
