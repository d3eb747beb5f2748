"""/docs, made from the table of doors and what the app declares; the page loads nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import msgspec

from ...batch import TopicSpec
from ...plan.plan import Plan, path_of
from ...schema.rows import is_json
from ..routes import Route
from ..wire.errors import STATUS
from .examples import EXAMPLES, Example
from .openapi import command
from .samples import Samples

LINE_CHARS = 100  # characters of an answer that is shown in one line
HOST = "$host"  # in the page, until somebody asks for it under an address
STYLE = """
:root{color-scheme:light dark;--soft:#8881;--line:#8884;--accent:light-dark(#0b57a4,#8ac0ff)}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;margin:0}
.all{display:grid;grid-template-columns:18rem minmax(0,1fr);max-width:80rem;margin:auto}
nav{position:sticky;top:0;align-self:start;max-height:100vh;overflow:auto;padding:1.5rem 1rem;font-size:.8rem}
nav a{display:block;color:inherit;text-decoration:none;padding:.1rem 0}
nav a:hover{color:var(--accent)}nav b{display:block;margin-top:1rem}nav i{font-style:normal;opacity:.6}
main{padding:1rem 1.5rem 4rem;min-width:0}a{color:var(--accent)}
h1{font-size:1.7rem}h2{margin-top:3rem;border-bottom:1px solid var(--line)}
h3{font:600 1rem ui-monospace,monospace;margin:2.2rem 0 .3rem;overflow-wrap:anywhere;scroll-margin-top:1rem}
h3 span{display:inline-block;min-width:3.6rem;color:var(--accent)}
h4{font-size:.85rem;margin:1rem 0 .2rem;opacity:.75}p{margin:.3rem 0}
table{border-collapse:collapse;width:100%;font-size:.9rem;margin:.6rem 0}
td,th{border-top:1px solid var(--line);padding:.3rem .8rem .3rem 0;text-align:left;vertical-align:top}
td:first-child{width:19rem;min-width:4rem}
code,pre{font:.85rem/1.45 ui-monospace,monospace}td code{overflow-wrap:anywhere}
pre{background:var(--soft);border-radius:.4rem;padding:.6rem .8rem;margin:.2rem 0}
pre{white-space:pre-wrap;overflow-wrap:anywhere}
pre.answer{border-left:3px solid var(--line);border-radius:0 .4rem .4rem 0;max-height:24rem;overflow:auto}
@media(max-width:52rem){.all{display:block}nav{position:static;max-height:none}td:first-child{width:auto}}
"""


def page(routes: Sequence[Route], plan: Plan, samples: Samples) -> str:
    """The whole page, with ``HOST`` in the place of the address."""
    groups = list(dict.fromkeys(route.group for route in routes))
    parts = [
        f"<h1>{escape(plan.app)} on Penstock</h1>"
        "<p>Every door of the running app. The same for machines: <a href='/openapi.json'>/openapi.json</a></p>",
        f"<h2 id=topics>Topics of this app</h2>{_table([_topic(t) for t in plan.topics])}",
    ]
    if plan.subscriptions:
        rows = [
            (each.name, f"{path_of(each.source, each.domain_topic)} to {each.receiver}, {each.condition}")
            for each in plan.subscriptions
        ]
        parts.append(f"<h2 id=subscriptions>Subscriptions of this app</h2>{_table(rows)}")
    for group in groups:
        mine = [route for route in routes if route.group == group]
        parts.append(f"<h2 id='{_anchor(group)}'>{escape(group)}</h2>{''.join(_door(r, samples) for r in mine)}")
    parts.append(_errors())
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(plan.app)} on Penstock</title>"
        "<link rel=icon href='data:,'><meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<style>{STYLE}</style><div class=all>{_contents(routes, groups, plan)}"
        f"<main>{''.join(parts)}</main></div></html>"
    )


def _contents(routes: Sequence[Route], groups: Sequence[str], plan: Plan) -> str:
    lines = ["<a href='#topics'><b>Topics of this app</b></a>"]
    if plan.subscriptions:
        lines.append("<a href='#subscriptions'><b>Subscriptions of this app</b></a>")
    for group in groups:
        lines.append(f"<a href='#{_anchor(group)}'><b>{escape(group)}</b></a>")
        mine = [route for route in routes if route.group == group]
        lines += [f"<a href='#{_name(r)}'><i>{r.method}</i> {_broken(r.path)}</a>" for r in mine]
    return f"<nav>{''.join(lines)}<a href='#errors'><b>Errors</b></a></nav>"


def _topic(topic: TopicSpec) -> tuple[str, str]:
    about = ["domain"] if topic.domain else []
    about += [f"{topic.partitions} partitions", f"key {topic.key}" if topic.key else "no key"]
    if topic.dedupe_us is not None:
        about.append(f"repeats dropped within {topic.dedupe_us // 1_000_000} s")
    fields = ", ".join(f"{f.name} {f.type}{' or null' if f.nullable else ''}" for f in topic.schema)
    return topic.name, f"{', '.join(about)}: {'any JSON' if is_json(topic.schema) else fields}"


def _door(route: Route, samples: Samples) -> str:
    parts = [
        f"<h3 id='{_name(route)}'><span>{route.method}</span> {escape(route.path)}</h3><p>{escape(route.summary)}</p>"
    ]
    if route.query:
        parts.append(f"<h4>Query</h4>{_table(route.query)}")
    if route.body:
        parts.append(f"<h4>Content-Type of the body</h4>{_table(route.body)}")
    parts += [_example(example, samples) for example in EXAMPLES.get((route.method, route.path), ())]
    return "".join(parts)


def _example(example: Example, samples: Samples) -> str:
    title = f"Example: {example.title}" if example.title else "Example"
    typed = f"<h4>{escape(title)}</h4><pre>{escape(command(example, samples))}</pre>"
    if not example.answer:
        return typed
    return f"{typed}<pre class=answer>{escape(_laid_out(samples.answer(example.answer)))}</pre>"


def _errors() -> str:
    codes: dict[int, list[str]] = {}
    for _, status, code in STATUS:
        codes.setdefault(status, []).append(code)
    rows = [(str(status), ", ".join(dict.fromkeys(names))) for status, names in sorted(codes.items())]
    answer = {"code": "invalid_event", "message": "row 1, field 'n': …", "row": 1, "field": "n", "reason": "…"}
    shown = _laid_out(msgspec.json.encode({"error": answer}).decode())
    return (
        "<h2 id=errors>Errors</h2><p>An error says what was wrong, where, and what to do. Of 503, come again after "
        f"<code>Retry-After</code> seconds.</p><pre class=answer>{escape(shown)}</pre>{_table(rows)}"
    )


def _laid_out(json: str) -> str:
    """In one line if it fits."""
    return json if len(json) <= LINE_CHARS else msgspec.json.format(json.encode(), indent=2).decode()


def _table(rows: Sequence[tuple[str, str]]) -> str:
    lines = (f"<tr><td><code>{escape(name)}</code><td>{escape(what)}" for name, what in rows)
    return f"<table>{''.join(lines)}</table>"


def _broken(path: str) -> str:
    """A path that may go on in the next line before each of its parts."""
    return escape(path).replace("/", "<wbr>/")


def _name(route: Route) -> str:
    return _anchor(f"{route.method} {route.path}")


def _anchor(text: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in text.lower()).strip("-")
