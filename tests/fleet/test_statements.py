"""The statements, parsed: each that touches a table spread by site names the site, or is meant to ask everywhere."""

from __future__ import annotations

import re

import pytest
import sqlglot
from sqlglot import exp

from edge_reid.fleet import statements
from edge_reid.fleet.records import Filters
from edge_reid.fleet.schema import DISTRIBUTED_TABLES, migrations
from edge_reid.fleet.search import statement

STATEMENTS = {name: text for name, text in vars(statements).items() if name.isupper() and isinstance(text, str)}


def parsed(text: str) -> exp.Expression:
    known = re.sub(r"%\((\w+)\)s", r":\1", text).replace("<#>", "-")  # the parser knows neither psycopg nor pgvector
    tree = sqlglot.parse_one(known, dialect="postgres")
    assert isinstance(tree, exp.Expression)
    return tree


def tables_without_site(tree: exp.Expression) -> list[str]:
    """The spread tables that a statement reads or writes without their site being given, directly or by another's."""
    tables = [table for table in tree.find_all(exp.Table) if table.name in DISTRIBUTED_TABLES]
    scopes = {id(table): scope_of(table) for table in tables}
    pinned: set[int] = set()
    for table in tables:
        scope = scopes[id(table)]
        if isinstance(scope, exp.Insert) and "site" in [column.name for column in scope.this.expressions]:
            pinned.add(id(table))
    equations = [
        (one, other)
        for equation in tree.find_all(exp.EQ)
        for one, other in ((equation.left, equation.right), (equation.right, equation.left))
        if isinstance(one, exp.Column) and one.name == "site"
    ]
    while True:
        more = {
            id(table)
            for one, other in equations
            if (table := owner(one, tables, scopes)) is not None
            and ((giver := owner(other, tables, scopes)) is None or id(giver) in pinned)
        } - pinned
        if not more:
            return [table.name for table in tables if id(table) not in pinned]
        pinned |= more


def scope_of(part: exp.Expression) -> exp.Expression:
    """The query that a part belongs to."""
    scope = part.find_ancestor(exp.Select, exp.Update, exp.Delete, exp.Insert)
    assert scope is not None
    return scope


def owner(side: exp.Expression, tables: list[exp.Table], scopes: dict[int, exp.Expression]) -> exp.Table | None:
    """The spread table whose column this is; None for a parameter, a value, or a variable of a function."""
    if not isinstance(side, exp.Column):
        return None
    scope = scope_of(side)
    if side.table:
        return next((table for table in tables if table.alias_or_name == side.table), None)
    return next((table for table in tables if scopes[id(table)] is scope), None)


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_a_statement_names_the_site_or_is_meant_to_ask_everywhere(name: str) -> None:
    missing = tables_without_site(parsed(STATEMENTS[name]))
    assert bool(missing) == (name in statements.FAN_OUT), missing


def test_a_search_names_the_site_where_it_is_given_one() -> None:
    for exact in (True, False):
        text = statement((1, 512), "visible", Filters(site="north", since=0.0), exact=exact).as_string(None)
        assert tables_without_site(parsed(text)) == []
        text = statement((1, 512), "visible", Filters(device="gate-1"), exact=exact).as_string(None)
        assert tables_without_site(parsed(text)) == ["prototype"]


def test_so_do_the_statements_within_functions() -> None:
    (text,) = [text for _, name, text in migrations() if name == "0002_rules.sql"]
    bodies = re.findall(r"LANGUAGE plpgsql.*?\$\$(.*?)\$\$", text, re.DOTALL)
    found = [
        re.sub(r"^(IF NOT EXISTS \(|RETURN .*?EXISTS \(|IF EXISTS \()", "", piece)
        for body in bodies
        for piece in re.findall(r"(?:SELECT|INSERT INTO|UPDATE|DELETE FROM)\b.*?(?=;|\)\s*(?:THEN|;))", body, re.DOTALL)
    ]
    touching = [piece for piece in found if re.search(rf"\b(?:{'|'.join(DISTRIBUTED_TABLES)})\b", piece)]
    assert len(touching) >= 8
    for piece in touching:
        if piece.startswith(("INSERT", "UPDATE", "DELETE", "SELECT 1")):
            assert tables_without_site(parsed(piece)) == [], piece


@pytest.mark.parametrize(
    "careless",
    [
        "SELECT 1 FROM person WHERE number = 1",
        "UPDATE person SET name = '' WHERE number = 1",
        "DELETE FROM sighting WHERE camera = 'site'",
        "INSERT INTO person (gallery, number) VALUES ('', 1)",
        "SELECT 1 FROM person AS p JOIN sighting AS s ON s.number = p.number WHERE p.site = :site",
        "SELECT 1 FROM gallery WHERE site = :site AND EXISTS (SELECT 1 FROM person WHERE number = 1)",
    ],
)
def test_the_check_finds_a_careless_one(careless: str) -> None:
    assert tables_without_site(parsed(careless))
