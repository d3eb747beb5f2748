"""The page of what was caught. All of it is made here, escaped. Its script asks for what is new and says what is
chosen; no other runs, for the policy names this one by its hash."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from html import escape

from ...plan.plan import SubscriptionSpec
from .catcher import ANSWERS, Catcher, CaughtRequest
from .paths import PATH, path_of

SHOWN = 500  # subscriptions of one page; those that something was caught of come first

STYLE = """
:root{color-scheme:light dark;--soft:#8881;--line:#8884;--accent:light-dark(#0b57a4,#8ac0ff);
--bad:light-dark(#a11,#f99)}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:auto;padding:1rem 1.5rem 4rem}
a{color:var(--accent)}h1{font-size:1.7rem}
h2{font:600 1.1rem ui-monospace,monospace;margin:2.2rem 0 .2rem;border-top:1px solid var(--line);padding-top:1rem;
overflow-wrap:anywhere}
p{margin:.3rem 0}.bad{color:var(--bad)}
summary{cursor:pointer;overflow-wrap:anywhere;padding:.15rem 0}summary span{margin-right:1rem}
table{border-collapse:collapse;width:100%;font-size:.9rem;margin:.4rem 0}
td{border-top:1px solid var(--line);padding:.2rem .8rem .2rem 0;vertical-align:top;overflow-wrap:anywhere}
td:first-child{width:14rem}
code,pre,summary{font:.85rem/1.5 ui-monospace,monospace}
pre{background:var(--soft);border-radius:.4rem;padding:.6rem .8rem;white-space:pre-wrap;overflow-wrap:anywhere;
max-height:24rem;overflow:auto}
#new{position:sticky;top:.5rem;float:right}select,button{font:inherit}
"""
SCRIPT = f"""
const last = Number(document.body.dataset.last), button = document.getElementById("new");
button.addEventListener("click", () => location.reload());
document.addEventListener("change", async (event) => {{
  const chosen = event.target;
  await fetch(chosen.dataset.path, {{
    method: "PUT",
    headers: {{"content-type": "application/json"}},
    body: JSON.stringify({{answer: chosen.value}}),
  }});
  location.reload();
}});
setInterval(async () => {{
  const said = await fetch(`{PATH}/requests?since=${{last}}`).catch(() => null);
  if (!said || !said.ok) return;
  const {{requests}} = await said.json();
  if (!requests.length) return;
  if (!document.querySelector("details[open]")) return location.reload();
  button.textContent = `${{requests.length}} more: show`;
  button.hidden = false;
}}, 1000);
"""


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"


HEADERS = {
    "content-security-policy": f"default-src 'none'; script-src {_hash(SCRIPT)}; style-src {_hash(STYLE)}; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


def page(catcher: Catcher) -> str:
    caught: dict[str, list[CaughtRequest]] = {}
    for name, request in catcher.kept():
        caught.setdefault(name, []).append(request)
    names = sorted(catcher.subscriptions, key=lambda name: name not in caught)
    parts = [_subscription(catcher, catcher.subscriptions[name], caught.get(name, ())) for name in names[:SHOWN]]
    left = f"<p>{len(names) - SHOWN:,} subscriptions more, of which nothing was caught." if names[SHOWN:] else ""
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Caught webhooks</title>"
        "<link rel=icon href='data:,'><meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<style>{STYLE}</style><body data-last={catcher.count}><button id=new hidden></button>"
        "<h1>Caught webhooks</h1><p>What <code>penstock dev</code> would have sent: nobody outside has got any of it. "
        "To the app it is delivered, where it is answered so. <code>--deliver</code> sends it for real. "
        f"As JSON: <a href='{PATH}/requests'>{PATH}/requests</a></p>"
        f"{''.join(parts)}{left}<script>{SCRIPT}</script></html>"
    )


def _subscription(catcher: Catcher, spec: SubscriptionSpec, caught: Sequence[CaughtRequest]) -> str:
    chosen = catcher.answer_of(spec.name)
    options = "".join(
        f"<option value='{name}'{' selected' if name == chosen else ''}>{name}: {escape(meaning)}</option>"
        for name, (_, meaning) in ANSWERS.items()
    )
    return (
        f"<h2 id='{escape(spec.name)}'>{escape(spec.name)}</h2>"
        f"<p>{escape(spec.source)} to {escape(spec.receiver)}, {escape(spec.condition)}</p>"
        f"<p><label>It is answered <select data-path='{escape(path_of(spec.name))}/answer' autocomplete=off>{options}"
        f"</select></label></p>{''.join(map(_request, caught)) or '<p>Nothing was caught of it.</p>'}"
    )


def _request(caught: CaughtRequest) -> str:
    at = datetime.fromtimestamp(caught.at / 1e6, UTC).isoformat(" ", "milliseconds").removesuffix("+00:00")
    signature = {"verified": "signed, verified", "none": "not signed"}.get(caught.signature, caught.signature)
    bad = " class=bad" if caught.signature not in ("verified", "none") else ""
    rows = "".join(f"<tr><td><code>{escape(n)}</code><td><code>{escape(v)}</code>" for n, v in caught.headers)
    cut = f"<p>The first {len(caught.body):,} of {caught.size:,} bytes.</p>" if caught.size > len(caught.body) else ""
    return (
        f"<details><summary><span>{at}</span><span>{escape(caught.header('webhook-id'))}</span>"
        f"<span>attempt {escape(caught.header('penstock-attempt'))}</span><span>{caught.answered}</span>"
        f"<span{bad}>{escape(signature)}</span></summary><table>{rows}</table>"
        f"<pre>{escape(caught.body.decode(errors='replace'))}</pre>{cut}</details>"
    )
