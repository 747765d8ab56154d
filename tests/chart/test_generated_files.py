"""values.schema.json and the tables of the README: made of values.yaml, of its comments and of the program's schema."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from chart_values import comments, pages, schema
from chart_values.command import CHART, CHARTS, config_schema, files, main
from chart_values.comments import Value, ValuesError

KEYS = {"role": {}, "log_level": {"type": "string"}}
PROGRAM = {"$defs": {"Config": {"type": "object", "properties": KEYS, "additionalProperties": False}}}


def made(text: str) -> dict[str, Any]:
    return schema.document("chart", comments.read(text, schema.SHAPES), ["sidecar"], PROGRAM)


def refuses(document: dict[str, Any], values: dict[str, Any]) -> list[str]:
    return [error.message for error in jsonschema_rs.Draft7Validator(document).iter_errors(values)]


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    return {path.name: text for path, text in files(CHART).items()}


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)
def test_generated_files_are_current(chart: Path) -> None:
    made = files(chart)

    there = {path: path.read_text(encoding="utf-8") for path in made if path.exists()}
    assert [path.name for path, text in made.items() if there.get(path) != text] == [], "run: scripts/chart"


def test_values_that_the_readme_shows_fit_the_schema(written: dict[str, str]) -> None:
    validator = jsonschema_rs.Draft7Validator(json.loads(written["values.schema.json"]))
    shown = re.findall(r"^```yaml\n(.*?)^```", written["README.md"], re.DOTALL | re.MULTILINE)

    assert len(shown) > 0
    assert [text for text in shown if not validator.is_valid(yaml.safe_load(text))] == []


def test_the_shipped_values_fit_their_schema(written: dict[str, str]) -> None:
    validator = jsonschema_rs.Draft7Validator(yaml.safe_load(written["values.schema.json"]))

    assert validator.is_valid(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")))


def test_every_value_is_read_by_a_template() -> None:
    """Or by one of the files that it makes: a value that nothing reads would be set in vain."""
    texts = "".join(path.read_text(encoding="utf-8") for path in sorted((CHART / "templates").rglob("*.*")))
    values = comments.read((CHART / "values.yaml").read_text(encoding="utf-8"), schema.SHAPES)

    assert [one.name for one in leaves(values) if not re.search(rf"\b{re.escape(one.path[-1])}\b", texts)] == []


def test_every_level_of_the_values_is_looked_at_for_being_emptied() -> None:
    """`gateway:` alone takes its defaults away, and the templates would trip over that."""
    template = (CHART / "templates/_validations.tpl").read_text(encoding="utf-8")
    [listed] = re.findall(r'define "watchkeeper.levels" -}}(.*?){{- end -}}', template, re.DOTALL)

    there = list(levels(comments.read((CHART / "values.yaml").read_text(encoding="utf-8"), schema.SHAPES)))
    assert listed.split() == there, "write them so into watchkeeper.levels of templates/_validations.tpl"


def levels(values: Sequence[Value]) -> Iterator[str]:
    for value in values:
        if value.children:
            yield value.name
            yield from levels(value.children)


def leaves(values: Sequence[Value]) -> Iterator[Value]:
    for value in values:
        yield from leaves(value.children) if value.children else (value,)


def test_no_level_takes_a_key_that_it_does_not_know(written: dict[str, str]) -> None:
    """Neither those of the chart, nor those of the program or of Kubernetes; `global` is for charts around this one."""
    open_levels: list[str] = []

    def look(node: Any, path: str) -> None:
        if isinstance(node, list):
            for number, entry in enumerate(node):
                look(entry, f"{path}/{number}")
        elif isinstance(node, dict):
            if isinstance(node.get("properties"), dict) and node.get("additionalProperties", True) is True:
                open_levels.append(path)
            for key, value in node.items():
                look(value, f"{path}/{key}")

    look(yaml.safe_load(written["values.schema.json"]), "")

    assert open_levels == ["/properties/global"]


def test_a_description_goes_on_until_an_empty_line_of_the_comment() -> None:
    [value] = comments.read("# not this\n# -- Port of\n#   metrics.\n#\n# example: 1\nport: 9464\n")

    assert value == Value(("port",), 9464, "Port of metrics.")


def test_a_comment_with_an_empty_line_below_it_belongs_to_no_key() -> None:
    with pytest.raises(ValuesError, match=r"^port: has no description; write `# -- …` right above it$"):
        comments.read("# -- Port.\n\nport: 9464\n")


def test_what_schema_lines_say_is_required_of_the_value() -> None:
    document = made("# -- Port.\n# @schema minimum: 1; maximum: 65535\nport: 9464\n")

    assert document["properties"]["port"] == {
        "description": "Port.", "type": "integer", "minimum": 1, "maximum": 65535,
    }  # fmt: skip


@pytest.mark.parametrize("line", ["minimum", "minimum: ["])
def test_a_schema_line_that_cannot_be_read_is_a_mistake(line: str) -> None:
    with pytest.raises(ValuesError, match=r"^port: "):
        comments.read(f"# -- Port.\n# @schema {line}\nport: 9464\n")


@pytest.mark.parametrize("default", ["{}", "[]", "null", "[a, 1]"])
def test_a_default_that_does_not_tell_its_type_needs_a_schema_line(default: str) -> None:
    with pytest.raises(ValuesError, match=r"^things: .* does not tell what it may be; write `# @schema type: …`$"):
        made(f"# -- Things.\nthings: {default}\n")

    assert not refuses(made(f"# -- Things.\n# @schema type: array\nthings: {default}\n"), {"things": ["a", 1]})


def test_keys_named_as_kubernetes_names_them_are_of_its_types() -> None:
    document = made(
        "# -- Where.\ntolerations: []\n# -- Room.\nresources: {}\n# -- S.\n# @schema kubernetes: [Volume]\nv: []"
    )

    assert refuses(document, {"tolerations": [{"opertor": "Exists"}]}) != []
    assert refuses(document, {"resources": {"limits": {"memory": "2GB"}}}) != []
    assert refuses(document, {"v": [{"name": "a", "emptydir": {}}]}) != []
    assert not refuses(
        document,
        {
            "tolerations": [{"operator": "Exists"}],
            "resources": {"limits": {"memory": "2Gi", "cpu": 1.5}},
            "v": [{"name": "a", "emptyDir": {}}],
        },
    )


def test_what_stands_below_a_key_of_kubernetes_needs_no_description() -> None:
    [value] = comments.read("# -- Room.\nresources:\n  limits:\n    memory: 1Gi\n", schema.SHAPES)

    assert value.children == ()


def test_config_is_the_program_s_own_without_the_role() -> None:
    """Which role it is, the chart says."""
    document = made("# -- Keys.\nconfig: {}\n# -- The agent.\nnode:\n  # -- Keys.\n  config: {}\n")

    assert not refuses(document, {"config": {"log_level": "debug"}, "node": {"config": {"log_level": "debug"}}})
    assert refuses(document, {"node": {"config": {"log_level": 1}}}) != []
    assert refuses(document, {"config": {"role": "node"}}) != []


def test_the_program_s_types_keep_what_a_list_s_entry_requires() -> None:
    document = schema.document("chart", comments.read("# -- Keys.\nconfig: {}\n"), [], config_schema())

    assert not refuses(document, {"config": {}})
    assert not refuses(document, {"config": {"tap": [{"port": 8080, "upstream": "http://127.0.0.1:8000"}]}})
    assert refuses(document, {"config": {"tap": [{"port": 8080}]}}) == ['"upstream" is a required property']
    assert refuses(document, {"config": {"role": "node"}}) != []


def test_global_and_the_keys_of_included_charts_are_open() -> None:
    document = made("# -- Port.\nport: 9464\n")

    assert not refuses(document, {"global": {"anything": 1}, "sidecar": {"anything": 1}})
    assert refuses(document, {"other": {"anything": 1}}) != []


def test_a_table_has_the_keys_in_their_order_with_default_and_meaning() -> None:
    port = "# -- port | of metrics\nport: 9464\n"
    node = "# -- The agent.\nnode:\n  # -- Words.\n  # @default -- the pod's\n  name: x\n"

    assert pages.tables(comments.read(port + node)).splitlines() == [
        "### For the whole",
        "",
        "| key | default | |",
        "|---|---|---|",
        "| `port` | `9464` | Port \\| of metrics |",
        "",
        "### `node`",
        "",
        "The agent.",
        "",
        "| key | default | |",
        "|---|---|---|",
        "| `node.name` | the pod's | Words. |",
    ]


def test_what_three_components_have_alike_is_told_once() -> None:
    """Name, meaning and default alike: one that differs stays where it is."""
    keys = "  # -- Where.\n  zone: a\n  # -- Pods.\n  replicas: {}\n"
    parts = [f"# -- One.\n{name}:\n{keys.format(number)}" for number, name in enumerate("abc")]
    page = pages.tables(comments.read("".join(parts)))

    assert page.count('| `zone` | `"a"` | Where. |') == 1
    assert "a.zone" not in page
    assert "| `c.replicas` | `2` | Pods. |" in page


def test_a_preset_says_first_what_it_is_for() -> None:
    assert "| [`tiny`](presets/tiny.yaml) | For one node. |" in pages.presets({"tiny": "# For one\n# node.\na: 1\n"})
    with pytest.raises(ValuesError, match=r"presets/tiny\.yaml: begins with no comment"):
        pages.presets({"tiny": "a: 1\n"})


def test_a_page_keeps_what_is_written_by_hand() -> None:
    page = "mine\n<!-- values: generated -->\nold\n<!-- /values -->\nmine, too\n"

    assert pages.renewed(page, {"values": "new"}) == page.replace("old", "new")
    with pytest.raises(ValuesError, match=r"README\.md"):
        pages.renewed("mine\n", {"values": "new"})


def test_the_command_tells_stale_files_and_writes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets/tiny.yaml").write_text("# For one.\n")
    (tmp_path / "values.yaml").write_text("# -- Port.\nport: 1\n")
    (tmp_path / "Chart.yaml").write_text("name: chart\n")
    (tmp_path / "README.md").write_text(
        "<!-- presets: generated -->\n<!-- /presets -->\n<!-- values: generated -->\n<!-- /values -->\n"
    )
    monkeypatch.setattr("chart_values.command.CHARTS", (tmp_path,))

    assert main(["--check"]) == 1
    assert capsys.readouterr().out == "not current: values.schema.json\nnot current: README.md\n"
    assert main([]) == 0
    assert main(["--check"]) == 0
    (tmp_path / "values.yaml").write_text("port: 1\n")
    assert main([]) == 2
    assert "port: has no description" in capsys.readouterr().err
