"""The statements, parsed: each one that touches a table spread by site names the site, or is meant to ask everywhere."""

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
    tree = sqlglot.parse_one(re.sub(r"%\((\w+)\)s", r":\1", text), dialect="postgres")
    assert isinstance(tree, exp.Expression)
    return tree


def tables_without_site(tree: exp.Expression) -> list[str]:
    """The spread tables that a statement reads or writes without an equation about their site in the same query."""
    missing = []
    for table in tree.find_all(exp.Table):
        if table.name not in DISTRIBUTED_TABLES:
            continue
        scope = table.find_ancestor(exp.Select, exp.Update, exp.Delete, exp.Insert)
        assert scope is not None
        if isinstance(scope, exp.Insert):
            if "site" not in [column.name for column in scope.this.expressions]:
                missing.append(table.name)
            continue
        names = {table.alias_or_name, ""} if len(list(of_scope(scope, exp.Table))) == 1 else {table.alias_or_name}
        pinned = any(
            isinstance(side, exp.Column) and side.name == "site" and side.table in names
            for equation in of_scope(scope, exp.EQ)
            for side in (equation.left, equation.right)
        )
        if not pinned:
            missing.append(table.name)
    return missing


def of_scope(scope: exp.Expression, kind: type[exp.Expression]) -> list[exp.Expression]:
    """Parts of a query that belong to it and to no query inside."""
    inner = (exp.Select, exp.Update, exp.Delete, exp.Insert)
    return [part for part in scope.find_all(kind) if part.find_ancestor(*inner) is scope]


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
