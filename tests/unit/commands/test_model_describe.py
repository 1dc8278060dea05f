"""`kedro model describe` on a project's configuration: no data is there to be read."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from proml_kedro.commands.model_describe import describe_command

NET = """\
components:
  trees: {kind: xgboost, inputs: [price.price, "spending.*"], num_boost_round: 5}
  net:
    kind: deep
    inputs: [price.price, "spending.*", region.area, trees.margin]
    features: {embed: 4}
    graph:
      wide: {block: linear, of: categories}
      shared: {block: mlp, of: [numbers, embeddings], units: [8]}
      experts: {block: mmoe, of: shared, experts: 2, units: [3], tasks: [one, two]}
    heads:
      sale: {of: [wide, experts.one]}
      again: {of: experts.two}
    expose: {area: region.area}
score: net
"""


def describe(project, *arguments):
    return CliRunner().invoke(describe_command(), [*arguments, "--conf-source", str(project.conf), "model=net"])


@pytest.fixture
def net(project):
    project.write("model/net.yaml", NET)
    return project


def test_inputs_shapes_weights_and_a_tree(net):
    done = describe(net, "--categories", "50")
    assert done.exit_code == 0, done.output
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0] == "model net; its score is net.probability"
    assert "region.area category 4 52" in lines
    assert "spending.amount_2h number, standardize 2" in lines
    inside = 8 * (12 + 4) + 8  # six numbers with indicators and an embedding into eight units, with biases
    experts = 2 * (8 * 3 + 3) + 2 * (8 * 2 + 2)
    assert f"└─ shared: mlp, 8 wide, {inside} weights" in lines
    assert f"└─ experts.one: mmoe, 3 wide, {experts} weights" in lines
    assert "└─ experts.two (see above)" in lines
    total = inside + experts + 52 + 52 * 4 + 2 * (3 + 1)
    assert f"weights: {total}, of which {52 * 4} in embedding tables" in lines
    assert not list(net.folder.glob("data"))


def test_json_says_the_same(net):
    content = json.loads(describe(net, "--json").stdout)
    net_facts = content["components"]["net"]
    assert net_facts["outputs"][:2] == ["margin", "probability"]
    assert {f"area_{number}" for number in range(4)} <= set(net_facts["outputs"])
    network = net_facts["network"]
    assert sum(node["weights"] for node in network["nodes"]) + network["embedding_weights"] == network["weights"]
    assert "network" not in content["components"]["trees"]


def test_the_image_is_svg_with_a_box_for_everything(net, tmp_path):
    file = tmp_path / "net.svg"
    assert describe(net, "--image", str(file)).exit_code == 0
    root = ElementTree.parse(file).getroot()
    texts = {one.text for one in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"wide", "shared", "experts", "sale", "again", "numbers", "embeddings"} <= texts
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) == 2 * 7


def test_mistakes_are_one_line(net, tmp_path):
    net.edit("model/net.yaml", "block: mlp, of: [numbers, embeddings]", "layer: Dense, of: [numbers, embeddings]")
    net.edit("model/net.yaml", "units: [8]}", "config: {unit: 8}}")
    done = describe(net)
    assert done.exit_code == 2
    assert done.stderr.startswith("conf/model/net.yaml:9: model.components.net.graph.shared: ")
    assert len(done.stderr.splitlines()) == 1
    nowhere = describe(
        net, "--image", str(tmp_path / "no" / "net.svg"), "model.components.net.graph.shared.config={units: 8}"
    )
    assert nowhere.exit_code == 2
    assert len(nowhere.stderr.splitlines()) == 1
