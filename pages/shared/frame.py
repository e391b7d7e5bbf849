"""The frame around every page: navigation, the one shared `Scenario`, and the link to it.

The scenario lives in the session; widgets and links only ask to change it (`change`). A page starts
with `scenario = frame.begin()`. All plumbing between link, session and widgets is in this file.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlencode

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx
from threadpoolctl import threadpool_limits

from attention.scenario import FIELDS, Number, Scenario, Text, from_link, to_link

TITLE = "Self-attention, touched"


class PageName(NamedTuple):
    file: str
    title: str


# In reading order, by the groups of the menu; the first is the default page.
PAGES = {
    "See": (
        PageName("playground", "Playground"),
        PageName("learn", "Watch it learn"),
        PageName("fails", "Where it fails"),
    ),
    "Understand": (
        PageName("start", "Why attention"),
        PageName("memory", "Memory"),
        PageName("qkv", "Q, K and V"),
        PageName("scaling", "The score and √d_k"),
        PageName("softmax", "Softmax"),
        PageName("heads", "Several heads"),
        PageName("masks", "Masks"),
        PageName("order", "Order"),
        PageName("block", "The Transformer block"),
    ),
    "Real models": (
        PageName("bert", "BERT: real heads"),
        PageName("gpt", "GPT: the next word"),
        PageName("yours", "Your own model"),
    ),
    "Practise": (
        PageName("practice", "Practice"),
        PageName("glossary", "Glossary and sources"),
    ),
}

SCENARIO = "_scenario"
NOTES = "_notes"  # sentences about what was ignored or refused
MEMORY = "_memory"  # values of widgets that are not part of the scenario
ACTED = "_acted"  # a widget changed something since the last run
PAGE = "_page"  # the file of the page on screen
ARRIVED = "_arrived"
THINGS = "_things"  # what a page keeps in the session, such as a training run
FRAMED = "_framed"  # this run came through app.py

HISTORY = 400  # places in the browser's history that a session remembers

Link = tuple[tuple[str, str], ...]


def navigation():
    """Declare the pages; the one to run comes back."""
    groups = {group: [_page(name) for name in names] for group, names in PAGES.items()}
    return st.navigation(groups, position="top")


def _page(name: PageName):
    default = name == next(iter(PAGES.values()))[0]
    return st.Page(f"pages/{name.file}.py", title=name.title, url_path=name.file, default=default)


def neighbours() -> tuple[PageName | None, PageName | None]:
    """The pages before and after this one, in reading order."""
    order = [name for names in PAGES.values() for name in names]
    here = next((i for i, name in enumerate(order) if name.file == st.session_state[PAGE]), 0)
    before = order[here - 1] if here else None
    return before, order[here + 1] if here + 1 < len(order) else None


def link_to(name: PageName, label: str, **fields) -> None:
    """Show a link to another page that takes the scenario along, with some fields changed."""
    params, _ = to_link(st.session_state[SCENARIO].replace(**fields))
    st.page_link(_page(name), label=label, query_params=params or None)


def run() -> None:
    """Run the page that the address asks for: all that app.py does."""
    one_blas_thread()
    st.set_page_config(page_title=TITLE, layout="wide", initial_sidebar_state="collapsed")
    page = navigation()
    here = page.url_path or next(iter(PAGES.values()))[0].file
    st.session_state[ARRIVED] = st.session_state.get(PAGE) != here
    st.session_state[PAGE] = here
    follow_link(page.url_path)
    st.session_state[FRAMED] = True
    page.run()


@st.cache_resource
def one_blas_thread() -> None:
    """Keep BLAS to one thread: the matrices are small, and many people share the processor."""
    threadpool_limits(limits=1, user_api="blas")


def begin() -> Scenario:
    """Start a page: return the scenario, and show what was ignored or refused.

    Streamlit's first run on a fresh server starts a page in `pages/` without app.py when the page
    is asked for directly; then the pages are declared here and the run starts again through app.py.
    """
    if not st.session_state.pop(FRAMED, False):
        navigation()
        st.rerun()
    notes = st.session_state.get(NOTES, ())
    if notes:
        with st.container(border=True, horizontal=True, vertical_alignment="center", key="notes"):
            st.text("\n".join(notes), width="stretch")
            st.button("Dismiss", on_click=_dismiss, type="tertiary")
    return st.session_state[SCENARIO]


def scenario() -> Scenario:
    """The scenario as it is now."""
    return st.session_state[SCENARIO]


def change(**fields) -> bool:
    """Change fields of the scenario, from a widget's callback; return whether that was possible.
    What is refused is said, and the scenario stays as it was."""
    st.session_state[ACTED] = True
    st.session_state[NOTES] = ()
    try:
        st.session_state[SCENARIO] = st.session_state[SCENARIO].replace(**fields)
    except ValueError as problem:
        say(f"Nothing was changed: {problem}.")
        return False
    return True


def reset() -> None:
    """Go back to the first screen."""
    st.session_state[SCENARIO] = Scenario()
    st.session_state[NOTES] = ()
    st.session_state[ACTED] = True


def say(*sentences: str) -> None:
    """Show sentences at the top of the page until they are dismissed or something changes."""
    st.session_state[NOTES] = (*st.session_state.get(NOTES, ()), *sentences)


def acted() -> None:
    """Tell that a widget acted without changing the scenario (a popover, a dialog)."""
    st.session_state[ACTED] = True


def bound(
    field: str, value=..., take: Callable | None = None, suffix: str = "", labels: Sequence = ()
) -> dict:
    """Return key and callback that tie a widget to a field of the scenario.

    The widget shows `value` (by default the field's own) and its change goes through `take(new)`
    (by default `change(field=new)`). The widget's state is set only where it differs, so that fast
    typing is never overwritten by an earlier run. The key is the field's name; a `suffix` sets a
    second widget of the same field apart. labels: what a selectbox or multiselect calls its
    options; when they change, the browser would go on showing the old ones, so the value is sent
    again.
    """
    if value is ...:
        value = getattr(st.session_state[SCENARIO], field)
    key = f"{field}{suffix}"
    seen, labels = session("labels", dict), tuple(labels)
    renamed, seen[key] = seen.get(key, labels) != labels, labels
    if _is_new_here(key) or st.session_state[key] != value or renamed:
        st.session_state[key] = value

    def on_change():
        new = st.session_state[key]
        if not _is_choice(field, new):
            acted()
        elif take is not None:
            take(new)
        else:
            change(**{field: new})

    return {"key": key, "on_change": on_change}


def _is_choice(field: str, new) -> bool:
    """False for what a browser sends of itself: an old label where labels changed, or nothing after
    quick clicks on a control that always has a value."""
    kind = FIELDS[field]
    if isinstance(kind, Text | Number):  # typed or drawn; `change` says what is wrong with it
        return True
    try:
        kind.check(tuple(new) if isinstance(new, list) else new)
    except ValueError:
        return False
    return True


def _is_new_here(key: str) -> bool:
    """True when a widget was last shown on another page, or never: Streamlit then shows a new and
    empty one, though the session still remembers the old one's value."""
    places = session("places", dict)
    here = st.session_state[PAGE]
    is_new = key not in st.session_state or places.get(key) != here
    places[key] = here
    return is_new


def kept(key: str, default=None) -> dict:
    """Return key and callback for a widget that is not part of the scenario, such as an answer.

    Streamlit forgets a widget that a page does not show; this one's value outlives page changes
    within the session. It is not in the link.
    """
    memory = st.session_state.setdefault(MEMORY, {})
    if _is_new_here(key):
        st.session_state[key] = memory.get(key, default)

    def on_change():
        acted()
        memory[key] = st.session_state[key]

    return {"key": key, "on_change": on_change}


def session(key: str, make: Callable, *, new: bool = False):
    """Return what this session keeps under `key`, made at the first call or anew."""
    things = st.session_state.setdefault(THINGS, {})
    if new or key not in things:
        things[key] = make()
    return things[key]


def arrived() -> bool:
    """True in the run in which the reader came to this page from another."""
    return st.session_state[ARRIVED]


def go_to(file: str) -> None:
    """Leave for another page and take the scenario along; call it from the page, not a callback."""
    name = next(name for names in PAGES.values() for name in names if name.file == file)
    params, _ = to_link(st.session_state[SCENARIO])
    st.switch_page(_page(name), query_params=params or None)


def remember(key: str, value) -> None:
    """Keep a value for the session, from a widget's callback; `kept(key)` and `recall` find it."""
    acted()
    st.session_state.setdefault(MEMORY, {})[key] = value


def recall(key: str, default=None):
    """What `kept` or `remember` holds under a key, also of a widget that is not on this page."""
    return st.session_state.get(MEMORY, {}).get(key, default)


def share_link(scenario: Scenario | None = None) -> str:
    """The whole address that restores what is on screen, or a scenario given."""
    params, _ = to_link(scenario or st.session_state[SCENARIO])
    address = (st.context.url or "").partition("?")[0]
    address += "/" if address.count("/") == 2 else ""
    return f"{address}?{urlencode(params)}" if params else address


@dataclass
class Entry:
    """One place in the browser's history, as far as this session made it."""

    page: str
    link: Link
    scenario: Scenario | None  # None where a click in the menu only passed through, without a link


@dataclass
class History:
    """The session's places, the one the reader is at, and every link it has given or written."""

    entries: list[Entry] = field(default_factory=list)
    at: int = -1
    known: dict[Link, None] = field(default_factory=dict)  # oldest first

    def nearest(self, page: str, link: Link) -> int | None:
        """Where Back or Forward went: the nearest place with this page and link."""
        places = [
            place
            for place, entry in enumerate(self.entries)
            if (entry.page, entry.link) == (page, link)
        ]
        return min(places, key=lambda place: abs(place - self.at), default=None)

    def know(self, *links: Link) -> None:
        """Remember links as this session's own."""
        self.known |= dict.fromkeys(links)
        while len(self.known) > HISTORY:
            del self.known[next(iter(self.known))]

    def go_on(self, *entries: Entry) -> None:
        """Add places after the present one; what lay beyond is gone, as in the browser."""
        del self.entries[self.at + 1 :]
        self.entries += entries
        del self.entries[:-HISTORY]
        self.at = len(self.entries) - 1


def follow_link(page: str) -> None:
    """Make session and address bar agree.

    The address is read on arrival, and when it holds a link that this session has not seen. Back
    and Forward bring back the very scenario that stood there, also what no link could hold. A run
    that a widget started never reads it, since the browser may not have taken in the last link
    yet. A click in the menu arrives without a link: the session goes on and writes its own.
    """
    state = st.session_state
    given: Link = tuple(sorted(st.query_params.to_dict().items()))
    went_back, widget = _is_history_navigation(), state.pop(ACTED, False)
    history = session("history", History)
    place = history.nearest(page, given) if went_back else None

    if place is not None:
        state[SCENARIO] = history.entries[place].scenario or state[SCENARIO]
        state[NOTES] = ()
    elif SCENARIO not in state or went_back or not (widget or given in history.known):
        state[SCENARIO], state[NOTES] = from_link(dict(given))
    params, _ = to_link(state[SCENARIO])
    link: Link = tuple(sorted(params.items()))
    now = Entry(page, link, state[SCENARIO])
    before = history.entries[history.at] if history.entries else None
    if given != link or (widget and before and (before.page, before.link) != (page, link)):
        st.query_params.from_dict(params)

    history.know((), given, link)
    if place is not None:
        history.entries[place], history.at = now, place
    elif before != now:
        came_from_menu = not given and link and before and before.page != page
        passed_through = [Entry(page, (), None)] if came_from_menu else []
        if before and (before.page, before.link) == (page, link):
            history.entries[history.at] = now
        else:
            history.go_on(*passed_through, now)


def _is_history_navigation() -> bool:
    context = get_script_run_ctx()
    return bool(context and context.is_history_navigation)


def _dismiss() -> None:
    st.session_state[NOTES] = ()
    acted()
