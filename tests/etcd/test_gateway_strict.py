"""What a body of JSON cannot mean is refused, as etcd does: nothing else is made of it."""

from __future__ import annotations

import pytest

from raftd._pb import etcd_pb2 as pb
from raftd.rpc.etcd.faults import Code, Fault
from raftd.rpc.etcd.gateway.reply import parse_all

BASE64 = "keys and values are in base64"


@pytest.mark.parametrize(
    "key", ["foo-bar", "foo!", "a.b.", "hello world", "Zm9", "Zm9vIA==junk", "=Zm9", "\u00e4bcd"]
)
def test_a_key_that_is_no_base64_is_not_stored_as_another(key: str) -> None:
    """Each of them was stored, or deleted, as the bytes that its letters happen to be."""
    with pytest.raises(Fault, match=f"illegal base64 data in key: .*{BASE64}") as refused:
        list(parse_all(pb.PutRequest, f'{{"key": "{key}", "value": "Zg=="}}'.encode()))
    assert refused.value.code is Code.INVALID_ARGUMENT


def test_so_it_is_within_a_transaction() -> None:
    put = b'{"requestPut": {"key": "YQ==", "value": "on"}}'
    with pytest.raises(Fault, match="illegal base64 data in value"):
        list(parse_all(pb.TxnRequest, b'{"success": [%s]}' % put))
    with pytest.raises(Fault, match="key: expected a string, of base64"):
        list(parse_all(pb.TxnRequest, b'{"compare": [{"key": 5}]}'))


@pytest.mark.parametrize(
    ("kind", "body", "enum"),
    [
        (pb.RangeRequest, '{"sort_order": "XX"}', "RangeRequest_SortOrder"),
        (pb.RangeRequest, '{"sortTarget": "key"}', "RangeRequest_SortTarget"),
        (
            pb.TxnRequest,
            '{"compare": [{"result": "GREATR"}]}',
            "Compare_CompareResult",
        ),
        (
            pb.AuthRoleGrantPermissionRequest,
            '{"perm": {"permType": "READWRITTE"}}',
            "Permission_Type",
        ),
        (
            pb.WatchRequest,
            '{"create_request": {"filters": ["NOPUT", "X"]}}',
            "WatchCreateRequest_FilterType",
        ),
    ],
)
def test_a_word_that_nobody_knows_is_no_default(kind: type, body: str, enum: str) -> None:
    with pytest.raises(Fault, match=f'unknown value "[A-Za-z]+" for enum {enum}$'):
        list(parse_all(kind, body.encode()))


def test_what_etcd_takes_is_taken() -> None:
    body = b'{"key": "Zm9v", "value": "", "sort_order": 1, "sortTarget": "MOD", "nothing": "a-b"}'
    (found,) = parse_all(pb.RangeRequest, body)
    assert (found.key, found.sort_order, found.sort_target) == (b"foo", 1, pb.RangeRequest.MOD)
    (found,) = parse_all(pb.PutRequest, b'{"key": "Zm9v\\nYmFy\\r\\n", "value": "", "lease": "7"}')
    assert (found.key, found.value, found.lease) == (b"foobar", b"", 7)
    (found,) = parse_all(pb.PutRequest, b'{"key": null, "lease": 7}')
    assert (found.key, found.lease) == (b"", 7)
