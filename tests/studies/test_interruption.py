"""What a command says when it is interrupted is what happens when it is started again."""

import pytest

from breadth.studies.cli import app as cli


@pytest.mark.parametrize(
    ("tokens", "goes_on"),
    [
        (("pool", "--out", "runs/a"), True),
        (("train", "a.xyz", "--out", "models/a"), True),
        (("study", "tradeoff", "--out", "runs/a"), True),
        (("convert", "a.xyz", "out"), False),
        (("convert", "pool", "out"), False),
        (("describe", "--json", "a.xyz"), False),
        ((), False),
    ],
)
def test_only_commands_that_go_on_say_so(monkeypatch, capsys, tokens, goes_on):
    def interrupted(tokens):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "app", interrupted)
    with pytest.raises(SystemExit) as left:
        cli.launch(*tokens)
    assert left.value.code == 130
    said = capsys.readouterr().err
    assert ("goes on from there" in said) is goes_on
    assert ("from the beginning" in said) is not goes_on


def test_the_commands_that_go_on_are_commands():
    assert set(cli.COMMANDS) >= cli.RESUMED
