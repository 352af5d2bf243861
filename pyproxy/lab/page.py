"""The bookshop's page in HTML: one self-contained document, so that a browser shows which version answered."""

from __future__ import annotations

from html import escape
from typing import Any

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · the bookshop</title>
<style>
  body {{ margin: 0; background: #f6f5f1; color: #22252b; font: 16px/1.55 system-ui, sans-serif; }}
  header {{ background: #24425c; color: #fff; padding: .8rem 1.5rem; display: flex; gap: 1rem; align-items: baseline; }}
  header b {{ font-size: 1.1rem; margin-right: auto; }}
  header a {{ color: #cfe3f5; }}
  main {{ max-width: 62rem; margin: 1.5rem auto; padding: 0 1.5rem; display: grid; gap: 1.2rem; }}
  @media (min-width: 44rem) {{ main {{ grid-template-columns: 2fr 3fr; }} }}
  h1 {{ grid-column: 1 / -1; margin: .4rem 0 0; font-size: 1.7rem; }}
  section {{ background: #fff; border: 1px solid #dcdad2; border-radius: .6rem; padding: 1rem 1.2rem; }}
  h2 {{ margin: 0 0 .6rem; font-size: 1.05rem; }}
  dl {{ display: grid; grid-template-columns: auto 1fr; gap: .2rem 1rem; margin: 0; }}
  dt {{ color: #6a6f78; }}  dd {{ margin: 0; }}
  blockquote {{ margin: 0 0 .9rem; padding-left: .9rem; border-left: 3px solid #cfd6dd; }}
  cite {{ color: #6a6f78; font-style: normal; }}
  .stars {{ letter-spacing: .1em; }}  .red {{ color: #b3261e; }}  .black {{ color: #22252b; }}
  .who {{ margin: .8rem 0 0; color: #6a6f78; font: .85rem ui-monospace, monospace; }}
  .error {{ background: #fdecea; border: 1px solid #e4b4b0; border-radius: .4rem; padding: .5rem .7rem; }}
</style>
</head>
<body>
<header><b>The bookshop</b>{user}<a href="/productpage">reload</a></header>
<main>
<h1>{title}</h1>
<section><h2>Details</h2>{details}</section>
<section><h2>What readers say</h2>{reviews}</section>
</main>
<p class="who" style="text-align: center">{who}</p>
</body>
</html>
"""


def render_page(answer: dict[str, Any]) -> str:
    """productpage's JSON answer as a page. Every value in it is escaped."""
    details, reviews = answer["details"], answer["reviews"]
    title = details["book"]["title"] if "book" in details else "A book without details"
    return _PAGE.format(
        title=escape(title),
        user=_user(answer["user"]),
        details=_details(details),
        reviews=_reviews(reviews),
        who=_who(answer),
    )


def _user(user: str) -> str:
    if user:
        return f'<span>signed in as <strong>{escape(user)}</strong></span><a href="/productpage?user=">sign out</a>'
    return '<a href="/productpage?user=jason">sign in as jason</a>'


def _details(details: dict[str, Any]) -> str:
    if "error" in details:
        return _error("The details are not available", details)
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in details["book"].items())
    return f'<dl>{facts}</dl><p class="who">{_who(details)}</p>'


def _reviews(reviews: dict[str, Any]) -> str:
    if "error" in reviews:
        return _error("The reviews are not available", reviews)
    ratings = reviews.get("ratings", {})
    stars = ratings.get("stars", [])
    quotes = []
    for number, review in enumerate(reviews["reviews"]):
        shown = _stars(stars[number], reviews["colour"]) if number < len(stars) else ""
        quotes.append(
            f"<blockquote>{escape(review['text'])}<br><cite>{escape(review['reader'])}</cite> {shown}</blockquote>"
        )
    trouble = _error("The stars are not available", ratings) if "error" in ratings else ""
    asked = f"<br>{_who(ratings)}" if stars else ""
    return f'{"".join(quotes)}{trouble}<p class="who">{_who(reviews)}{asked}</p>'


def _stars(count: int, colour: str) -> str:
    """Shape and words besides the colour: not every reader sees red."""
    shown = "★" * count + "☆" * (5 - count)
    return f'<span class="stars {escape(colour)}" title="{count} of 5, {escape(colour)}">{shown}</span>'


def _who(answer: dict[str, Any]) -> str:
    """The instance that answered: `reviews v2 from 127.0.1.4: 17`."""
    return escape("{service} {version} from {host}: {count}".format_map(answer))


def _error(what: str, answer: dict[str, Any]) -> str:
    return f'<p class="error">{escape(what)}: {escape(answer["error"])}</p>'
