"""Loading a machine by name: one line says what is wrong and what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from raftd.machine.kv.store import KvStore
from raftd.machine.protocol import MachineLoadError, StateMachine, load_machine

MODULE = """
class Half:
    def apply(self, command): ...
    def query(self, request): ...

class Picky(Half):
    def __init__(self, path): ...
    def capture(self): ...
    def restore(self, reader): ...

number = 3
"""


@pytest.fixture
def _modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_ok.py").write_text(MODULE)
    (tmp_path / "mine_needs.py").write_text("import not_installed_anywhere\n")
    (tmp_path / "mine_broken.py").write_text("1 / 0\n")
    (tmp_path / "mine_typo.py").write_text("def f(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in list(sys.modules):
        if name.startswith("mine_"):
            monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize("spec", ["raftd.machine.kv.store:KvStore", "examples.counter:Counter"])
def test_a_machine_is_loaded_by_name(spec: str) -> None:
    assert isinstance(load_machine(spec), StateMachine)
    assert not isinstance(object(), StateMachine)
    assert isinstance(KvStore(), StateMachine)


@pytest.mark.usefixtures("_modules")
@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ("", "module:Class"),
        ("mine_ok", "module:Class"),
        ("mine_ok:", "module:Class"),
        (":Half", "module:Class"),
        ("nowhere:Half", "no module nowhere; install it or put it on PYTHONPATH"),
        ("raftd.machine.nowhere:Half", r"no module raftd\.machine\.nowhere"),
        ("nowhere.deep.down:Half", "no module nowhere;"),
        ("mine_needs:Half", "needs not_installed_anywhere"),
        ("mine_broken:Half", "ZeroDivisionError"),
        ("mine_typo:Half", "SyntaxError"),
        ("mine_ok:Other", "no Other in module mine_ok"),
        ("mine_ok:number", "number is not a class"),
        ("mine_ok:Half", "Half has no capture, restore"),
        ("mine_ok:Picky", r"Picky\(\) raised TypeError"),
    ],
)
def test_what_cannot_be_loaded_is_told_in_one_line(spec: str, names: str) -> None:
    with pytest.raises(MachineLoadError, match=names) as caught:
        load_machine(spec)
    assert "\n" not in str(caught.value)
    assert repr(spec) in str(caught.value)
