"""The page of the target: who may do what, and which arguments and outputs there are, is what the program has."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from tests.deploy.azure.built import of, plan_built
from tests.deploy.azure.test_identities import assigned
from tests.deploy.components import example

pytestmark = pytest.mark.clouds

PAGE = (Path(__file__).parents[3] / "docs" / "deploy-azure.md").read_text()
ROLES = {
    "a638d3c7-ab3a-418d-83e6-5f17a39d4fde": "Azure Event Hubs Data Receiver",
    "2b629674-e913-4c01-ae53-ef4638d8f975": "Azure Event Hubs Data Sender",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
}
Row = tuple[str, str, str]  # who, what it may, on what


def section(page: str, title: str) -> list[list[str]]:
    """The cells of the rows of the section's first table."""
    text = page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def said(page: str) -> set[Row]:
    rows = section(page, "Who may do what")
    return {(who, may, what) for who, _, may, on in rows for what in on.split(", ")}


def check_table(page: str) -> None:
    program = plan_built(example("flights"))
    there = {(who, ROLES[role], on.rpartition("/")[2]) for who, role, on in assigned(program)}
    for rule in of(program, "eventhub:EventHubAuthorizationRule"):
        (right,) = rule["rights"]
        there.add((rule["authorizationRuleName"], right, rule["eventHubName"]))
    assert said(page) == there, f"the page and the program differ in {sorted(said(page) ^ there)}"


def test_the_table_of_identities_is_what_the_program_has() -> None:
    check_table(PAGE)


def test_a_right_that_the_page_forgets_is_found() -> None:
    with pytest.raises(AssertionError, match=r"differ in \[\('scaler', 'Listen', 'features'\)\]"):
        check_table(PAGE.replace("| Listen | departures, features,", "| Listen | departures,"))


def test_every_argument_and_every_output_is_on_the_page() -> None:
    from penstock.deploy.azure import PenstockApp, PenstockAppArgs

    told = {name for row in section(PAGE, "Arguments") for name in re.findall(r"`(\w+)`", row[0])}
    assert told == {field.name for field in fields(PenstockAppArgs)}
    outputs = re.findall(r"`(\w+)`", PAGE.partition("\nOutputs: ")[2].partition("(the\n")[0])
    assert outputs == list(PenstockApp.__annotations__)
