"""Domains of a plan: what a text says of one, and which topics flow into it from others."""

from __future__ import annotations

import re

from ..batch import DOMAIN_TOPIC, TopicSpec
from ..errors import DeclarationError
from .plan import Plan
from .reachability import reached

_NAME = re.compile(DOMAIN_TOPIC)


def resolve_topic(plan: Plan, text: str) -> tuple[TopicSpec, str | None]:
    """What ``orders``, ``tx`` or ``tx/acme`` names: a topic or a domain of the app, and of a domain the one topic;
    None: all of it. Whether that topic has any event yet is not looked at.

    Raises ``DeclarationError`` saying what there is.
    """
    name, slash, domain_topic = text.partition("/")
    found = next((topic for topic in plan.topics if topic.name == name), None)
    if found is None:
        known = ", ".join(topic.name for topic in plan.topics) or "none"
        raise DeclarationError(f"there is no topic {name!r:.200}; the app has {known}")
    if not slash:
        return found, None
    if not found.domain:
        raise DeclarationError(f"{text!r:.200}: '{name}' is a topic and no domain; write {name}")
    if not _NAME.fullmatch(domain_topic):
        raise DeclarationError(
            f"{text!r:.200}: behind the slash comes the name of a domain topic, 1 to 64 letters, digits, '-', '_' and "
            "'.', no '-' or '.' in front"
        )
    return found, domain_topic


def upstream_domains(plan: Plan, domain: str) -> list[str]:
    """It, and all domains whose events come to it and stay in the topic of their name."""
    domains = plan.domains
    ways = [(stage.source, stage.to) for stage in plan.stages if stage.to_topic is None]
    ways += [(each.source, each.topic) for each in plan.subscriptions if each.to_topic is None]
    found = [domain]
    for target in found:  # which grows meanwhile
        found += sorted({source for source, to in ways if to == target and source in domains} - set(found))
    return found


def declared_domain_topics(plan: Plan, domain: str) -> set[str]:
    """Those of it that stages and subscriptions name as their target."""
    upstream = upstream_domains(plan, domain)
    named = [(stage.to, stage.to_topic) for stage in plan.stages]
    named += [(each.topic, each.to_topic) for each in plan.subscriptions]
    return {topic for to, topic in named if topic is not None and to in upstream}


def keeps_topics(plan: Plan, source: str, target: str) -> bool:
    """Is all that comes of an event of one domain in another in the topic of the same name?"""
    if not {source, target} <= plan.domains.keys():
        return False
    ways: dict[str, list[str]] = {}
    feeding = [(each.source, each.to, each.to_topic) for each in plan.stages]
    feeding += [(each.source, each.topic, each.to_topic) for each in plan.subscriptions]
    for read, to, _ in feeding:
        ways.setdefault(read, []).extend([to] if to is not None else [])
    there = {source, *reached([source], ways)}
    return not any(topic is not None and read in there for read, _, topic in feeding)
