"""Who speaks to whom: every way in which an envelope can be wrong, and one line for each."""

from __future__ import annotations

import pytest

from raftd._pb import raft_pb2 as pb
from raftd.core.types import Identity
from raftd.rpc.peers.checks import Rejected
from raftd.rpc.peers.envelope import Envelopes, Mismatch
from raftd.rpc.peers.security import PeerSecurity

ME = Identity("c1", "n1", "i1")
RECORDED = {"n2": "i2"}


def envelopes() -> Envelopes:
    return Envelopes(ME, RECORDED.get)


def incoming(**changed: str) -> pb.Envelope:
    fields = {
        "cluster": "c1",
        "sender": "n2",
        "sender_incarnation": "i2",
        "addressee": "n1",
        "addressee_incarnation": "i1",
    }
    made = pb.Envelope()
    for name, value in {**fields, **changed}.items():
        setattr(made, name, value)
    return made


def test_what_fits_is_taken() -> None:
    assert envelopes().check_request(incoming()) == "n2"
    envelopes().check_reply(incoming(), "n2")
    assert envelopes().check_hello(incoming(addressee_incarnation="")) == "n2"
    assert envelopes().check_hello(incoming(sender="n9", sender_incarnation="new")) == "n9"
    envelopes().check_hello_reply(incoming(sender_incarnation="new"), "n2")
    made = envelopes().request_to("n2")
    assert (made.sender, made.addressee, made.addressee_incarnation) == ("n1", "n2", "i2")
    assert envelopes().hello_to("n2").addressee_incarnation == ""


WRONG: list[tuple[dict[str, str], str, bool]] = [
    ({"cluster": ""}, "token and voters", True),
    ({"cluster": "c2"}, "token and voters", True),
    ({"sender": "n1"}, "to itself", True),
    ({"addressee": "n3"}, "looks for 'n3'", True),
    ({"addressee": ""}, "looks for ''", True),
    ({"addressee_incarnation": "other"}, "data directory was replaced", True),
    ({"addressee_incarnation": ""}, "data directory was replaced", False),
    ({"sender_incarnation": "other"}, "recorded 'i2'", False),
    ({"sender": "n9"}, "Hello comes first", False),
]


@pytest.mark.parametrize("case", WRONG, ids=[str(case[0]) for case in WRONG])
def test_what_does_not_fit_is_one_line(case: tuple[dict[str, str], str, bool]) -> None:
    changed, text, also_hello = case
    with pytest.raises(Mismatch, match=text) as caught:
        envelopes().check_request(incoming(**changed))
    assert "\n" not in str(caught.value)
    if also_hello:
        with pytest.raises(Mismatch, match=text):
            envelopes().check_hello(incoming(**changed))
    else:
        envelopes().check_hello(incoming(**changed))


@pytest.mark.parametrize("field", ["sender", "sender_incarnation"])
@pytest.mark.parametrize("value", ["", "with space", "x" * 65, "line\nbreak", "é"])
def test_malformed_names_are_refused_before_they_are_repeated(field: str, value: str) -> None:
    for check in (envelopes().check_request, envelopes().check_hello):
        with pytest.raises(Rejected, match=field) as caught:
            check(incoming(**{field: value}))
        assert "\n" not in str(caught.value)


def test_a_reply_must_come_from_whom_was_asked() -> None:
    RECORDED["n3"] = "i3"
    try:
        with pytest.raises(Mismatch, match="n3 answered at the address of n2"):
            envelopes().check_reply(incoming(sender="n3", sender_incarnation="i3"), "n2")
        with pytest.raises(Mismatch, match="n3 answered at the address of n2"):
            envelopes().check_hello_reply(incoming(sender="n3"), "n2")
        with pytest.raises(Mismatch, match=r"^.n3\\nforged. answered at") as caught:
            envelopes().check_reply(incoming(sender="n3\nforged"), "n2")
        assert str(caught.value).isprintable()
    finally:
        del RECORDED["n3"]
    with pytest.raises(Mismatch, match="a node without a name answered"):
        envelopes().check_reply(pb.Envelope(), "n2")
    for changed, text in (
        ({"sender_incarnation": "other"}, "recorded 'i2'"),
        ({"cluster": "c2"}, "token and voters"),
        ({"addressee_incarnation": "other"}, "replaced"),
        ({"addressee": "n3"}, "looks for"),
    ):
        with pytest.raises(Mismatch, match=text):
            envelopes().check_reply(incoming(**changed), "n2")
    with pytest.raises(Mismatch, match="replaced"):
        envelopes().check_hello_reply(incoming(addressee_incarnation=""), "n2")


def test_a_refused_hello_does_not_learn_this_nodes_incarnation() -> None:
    asked = incoming(sender="n9", sender_incarnation="new")
    refusal = envelopes().refusal_of(asked)
    assert (refusal.sender, refusal.sender_incarnation) == ("n1", "withheld")
    assert (refusal.addressee, refusal.addressee_incarnation) == ("n9", "new")
    assert envelopes().reply_to(asked).sender_incarnation == "i1"


def test_nothing_but_hello_can_be_addressed_to_a_node_that_was_not_met() -> None:
    with pytest.raises(Mismatch, match="only Hello"):
        envelopes().request_to("n9")


def test_envelopes_for_strangers_do_not_pile_up() -> None:
    made = envelopes()
    for number in range(2000):
        made.reply_to(incoming(sender=f"n{number}"))
    assert len(made._made) <= 256


SECRET = PeerSecurity(b"correct horse battery staple")


def between(here: PeerSecurity, there: PeerSecurity) -> tuple[Envelopes, Envelopes]:
    """n1, which is this node, and n2."""
    n1 = Envelopes(ME, RECORDED.get, here)
    return n1, Envelopes(Identity("c1", "n2", "i2"), {"n1": "i1"}.get, there)


def test_holders_of_the_secret_understand_each_other() -> None:
    n1, n2 = between(SECRET, SECRET)
    for _ in range(2):  # the second time it is remembered
        request = n2.request_to("n1")
        assert n1.check_request(request) == "n2"
        n2.check_reply(n1.reply_to(request), "n1")
    hello = n2.hello_to("n1")
    assert n1.check_hello(hello) == "n2"
    n2.check_hello_reply(n1.reply_to(hello), "n1")
    n2.check_hello_reply(n1.refusal_of(hello), "n1")


@pytest.mark.parametrize("there", [PeerSecurity(), PeerSecurity(b"another secret, as long")])
def test_without_the_secret_nothing_is_taken_and_nothing_believed(there: PeerSecurity) -> None:
    n1, stranger = between(SECRET, there)
    for check, envelope in (
        (n1.check_request, stranger.request_to("n1")),
        (n1.check_hello, stranger.hello_to("n1")),
    ):
        with pytest.raises(Mismatch, match="cluster_secret_file must hold the same") as caught:
            check(envelope)
        assert not caught.value.hint, "a stranger is told nothing"
    for check_reply in (n1.check_reply, n1.check_hello_reply):
        with pytest.raises(Mismatch, match="cluster_secret_file"):
            check_reply(stranger.reply_to(n1.request_to("n2")), "n2")


def test_a_code_counts_for_its_own_envelope_only() -> None:
    n1, n2 = between(SECRET, SECRET)
    envelope = pb.Envelope()
    envelope.CopyFrom(n2.hello_to("n1"))
    n1.check_hello(envelope)
    envelope.sender = "n3"
    with pytest.raises(Mismatch, match="with another secret"):
        n1.check_hello(envelope)


def test_while_migrating_no_code_will_do_but_a_wrong_one_will_not() -> None:
    migrating = PeerSecurity(SECRET.secret, migrating=True)
    n1, n2 = between(migrating, PeerSecurity())
    assert n1.check_request(n2.request_to("n1")) == "n2"
    assert n2.check_hello(n1.hello_to("n2")) == "n1", "whoever has no secret ignores codes"
    n1, n2 = between(migrating, PeerSecurity(b"another secret, as long"))
    with pytest.raises(Mismatch, match="with another secret"):
        n1.check_request(n2.request_to("n1"))


def test_borders_between_fields_count() -> None:
    assert SECRET.code("ab", "c") != SECRET.code("a", "bc")
