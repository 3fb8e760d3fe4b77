"""`mpreg validate` tells the problems of the file and those of the plugin set together."""

from mpreg_core.cli.validate import validate


def test_a_missing_plugin_does_not_hide_the_problems_of_the_file(tmp_path, capsys):
    file = tmp_path / "node.yaml"
    file.write_text("node: {id: a, region: b, hub_tier: local}\ngossip: {fanuot: 3}\nplugins: {require: [nosuch]}\n")
    assert not validate(str(file))
    said = capsys.readouterr()
    assert "gossip.fanuot: unknown key, did you mean 'fanout'?" in said.err
    assert "plugins.require: expected nosuch to be installed" in said.err
    assert "2 problems" in said.out
