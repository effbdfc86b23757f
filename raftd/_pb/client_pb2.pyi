from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FailureCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAILURE_UNSPECIFIED: _ClassVar[FailureCode]
    NOT_LEADER: _ClassVar[FailureCode]
    OVERLOADED: _ClassVar[FailureCode]
    UNAVAILABLE: _ClassVar[FailureCode]
    OUTCOME_UNKNOWN: _ClassVar[FailureCode]
    INVALID: _ClassVar[FailureCode]
    SESSION_EXPIRED: _ClassVar[FailureCode]
    SEQUENCE_STALE: _ClassVar[FailureCode]
    SEQUENCE_REUSED: _ClassVar[FailureCode]
    MACHINE_ERROR: _ClassVar[FailureCode]
    DEADLINE: _ClassVar[FailureCode]
    DONE_ANSWER_TOO_LONG: _ClassVar[FailureCode]
    FLOOR_AHEAD: _ClassVar[FailureCode]

class Consistency(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LINEARIZABLE: _ClassVar[Consistency]
    STALE: _ClassVar[Consistency]
FAILURE_UNSPECIFIED: FailureCode
NOT_LEADER: FailureCode
OVERLOADED: FailureCode
UNAVAILABLE: FailureCode
OUTCOME_UNKNOWN: FailureCode
INVALID: FailureCode
SESSION_EXPIRED: FailureCode
SEQUENCE_STALE: FailureCode
SEQUENCE_REUSED: FailureCode
MACHINE_ERROR: FailureCode
DEADLINE: FailureCode
DONE_ANSWER_TOO_LONG: FailureCode
FLOOR_AHEAD: FailureCode
LINEARIZABLE: Consistency
STALE: Consistency

class Failure(_message.Message):
    __slots__ = ("code", "certainly_not_done", "message", "leader_id", "leader_address")
    CODE_FIELD_NUMBER: _ClassVar[int]
    CERTAINLY_NOT_DONE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    LEADER_ID_FIELD_NUMBER: _ClassVar[int]
    LEADER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    code: FailureCode
    certainly_not_done: bool
    message: str
    leader_id: str
    leader_address: str
    def __init__(self, code: _Optional[_Union[FailureCode, str]] = ..., certainly_not_done: _Optional[bool] = ..., message: _Optional[str] = ..., leader_id: _Optional[str] = ..., leader_address: _Optional[str] = ...) -> None: ...

class Session(_message.Message):
    __slots__ = ("seq", "floor", "id")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    FLOOR_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    seq: int
    floor: int
    id: bytes
    def __init__(self, seq: _Optional[int] = ..., floor: _Optional[int] = ..., id: _Optional[bytes] = ...) -> None: ...

class OpenSessionRequest(_message.Message):
    __slots__ = ("nonce",)
    NONCE_FIELD_NUMBER: _ClassVar[int]
    nonce: bytes
    def __init__(self, nonce: _Optional[bytes] = ...) -> None: ...

class OpenSessionReply(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    def __init__(self, session: _Optional[bytes] = ...) -> None: ...

class CloseSessionRequest(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    def __init__(self, session: _Optional[bytes] = ...) -> None: ...

class CloseSessionReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SubmitRequest(_message.Message):
    __slots__ = ("session", "command")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    session: Session
    command: bytes
    def __init__(self, session: _Optional[_Union[Session, _Mapping]] = ..., command: _Optional[bytes] = ...) -> None: ...

class SubmitReply(_message.Message):
    __slots__ = ("result", "index", "term")
    RESULT_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    result: bytes
    index: int
    term: int
    def __init__(self, result: _Optional[bytes] = ..., index: _Optional[int] = ..., term: _Optional[int] = ...) -> None: ...

class QueryRequest(_message.Message):
    __slots__ = ("query", "consistency")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_FIELD_NUMBER: _ClassVar[int]
    query: bytes
    consistency: Consistency
    def __init__(self, query: _Optional[bytes] = ..., consistency: _Optional[_Union[Consistency, str]] = ...) -> None: ...

class QueryReply(_message.Message):
    __slots__ = ("result", "applied_index")
    RESULT_FIELD_NUMBER: _ClassVar[int]
    APPLIED_INDEX_FIELD_NUMBER: _ClassVar[int]
    result: bytes
    applied_index: int
    def __init__(self, result: _Optional[bytes] = ..., applied_index: _Optional[int] = ...) -> None: ...

class PipelineRequest(_message.Message):
    __slots__ = ("number", "batch", "queries")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    number: int
    batch: bytes
    queries: QueryBatch
    def __init__(self, number: _Optional[int] = ..., batch: _Optional[bytes] = ..., queries: _Optional[_Union[QueryBatch, _Mapping]] = ...) -> None: ...

class QueryBatch(_message.Message):
    __slots__ = ("query", "consistency")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_FIELD_NUMBER: _ClassVar[int]
    query: _containers.RepeatedScalarFieldContainer[bytes]
    consistency: Consistency
    def __init__(self, query: _Optional[_Iterable[bytes]] = ..., consistency: _Optional[_Union[Consistency, str]] = ...) -> None: ...

class PipelineReply(_message.Message):
    __slots__ = ("number", "failure", "results", "index", "term")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    number: int
    failure: Failure
    results: bytes
    index: int
    term: int
    def __init__(self, number: _Optional[int] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., results: _Optional[bytes] = ..., index: _Optional[int] = ..., term: _Optional[int] = ...) -> None: ...

class KeyValue(_message.Message):
    __slots__ = ("key", "value", "create_revision", "mod_revision", "version")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    CREATE_REVISION_FIELD_NUMBER: _ClassVar[int]
    MOD_REVISION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    def __init__(self, key: _Optional[bytes] = ..., value: _Optional[bytes] = ..., create_revision: _Optional[int] = ..., mod_revision: _Optional[int] = ..., version: _Optional[int] = ...) -> None: ...

class PutRequest(_message.Message):
    __slots__ = ("session", "key", "value")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    session: Session
    key: bytes
    value: bytes
    def __init__(self, session: _Optional[_Union[Session, _Mapping]] = ..., key: _Optional[bytes] = ..., value: _Optional[bytes] = ...) -> None: ...

class PutReply(_message.Message):
    __slots__ = ("revision", "version")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    revision: int
    version: int
    def __init__(self, revision: _Optional[int] = ..., version: _Optional[int] = ...) -> None: ...

class DeleteRequest(_message.Message):
    __slots__ = ("session", "key")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    session: Session
    key: bytes
    def __init__(self, session: _Optional[_Union[Session, _Mapping]] = ..., key: _Optional[bytes] = ...) -> None: ...

class DeleteReply(_message.Message):
    __slots__ = ("revision", "deleted")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    revision: int
    deleted: bool
    def __init__(self, revision: _Optional[int] = ..., deleted: _Optional[bool] = ...) -> None: ...

class CompareAndSetRequest(_message.Message):
    __slots__ = ("session", "key", "value", "delete", "expect_value", "expect_version", "expect_absent", "expect_mod_revision")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    DELETE_FIELD_NUMBER: _ClassVar[int]
    EXPECT_VALUE_FIELD_NUMBER: _ClassVar[int]
    EXPECT_VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPECT_ABSENT_FIELD_NUMBER: _ClassVar[int]
    EXPECT_MOD_REVISION_FIELD_NUMBER: _ClassVar[int]
    session: Session
    key: bytes
    value: bytes
    delete: bool
    expect_value: bytes
    expect_version: int
    expect_absent: bool
    expect_mod_revision: int
    def __init__(self, session: _Optional[_Union[Session, _Mapping]] = ..., key: _Optional[bytes] = ..., value: _Optional[bytes] = ..., delete: _Optional[bool] = ..., expect_value: _Optional[bytes] = ..., expect_version: _Optional[int] = ..., expect_absent: _Optional[bool] = ..., expect_mod_revision: _Optional[int] = ...) -> None: ...

class CompareAndSetReply(_message.Message):
    __slots__ = ("revision", "succeeded", "current")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SUCCEEDED_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    revision: int
    succeeded: bool
    current: KeyValue
    def __init__(self, revision: _Optional[int] = ..., succeeded: _Optional[bool] = ..., current: _Optional[_Union[KeyValue, _Mapping]] = ...) -> None: ...

class BatchOperation(_message.Message):
    __slots__ = ("put", "delete")
    PUT_FIELD_NUMBER: _ClassVar[int]
    DELETE_FIELD_NUMBER: _ClassVar[int]
    put: PutRequest
    delete: DeleteRequest
    def __init__(self, put: _Optional[_Union[PutRequest, _Mapping]] = ..., delete: _Optional[_Union[DeleteRequest, _Mapping]] = ...) -> None: ...

class BatchRequest(_message.Message):
    __slots__ = ("session", "operations")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    session: Session
    operations: _containers.RepeatedCompositeFieldContainer[BatchOperation]
    def __init__(self, session: _Optional[_Union[Session, _Mapping]] = ..., operations: _Optional[_Iterable[_Union[BatchOperation, _Mapping]]] = ...) -> None: ...

class BatchReply(_message.Message):
    __slots__ = ("revision", "version")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    revision: int
    version: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, revision: _Optional[int] = ..., version: _Optional[_Iterable[int]] = ...) -> None: ...

class GetRequest(_message.Message):
    __slots__ = ("key", "consistency")
    KEY_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    consistency: Consistency
    def __init__(self, key: _Optional[bytes] = ..., consistency: _Optional[_Union[Consistency, str]] = ...) -> None: ...

class GetReply(_message.Message):
    __slots__ = ("revision", "kv", "applied_index")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    KV_FIELD_NUMBER: _ClassVar[int]
    APPLIED_INDEX_FIELD_NUMBER: _ClassVar[int]
    revision: int
    kv: KeyValue
    applied_index: int
    def __init__(self, revision: _Optional[int] = ..., kv: _Optional[_Union[KeyValue, _Mapping]] = ..., applied_index: _Optional[int] = ...) -> None: ...

class RangeRequest(_message.Message):
    __slots__ = ("prefix", "limit", "after", "consistency")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_FIELD_NUMBER: _ClassVar[int]
    prefix: bytes
    limit: int
    after: bytes
    consistency: Consistency
    def __init__(self, prefix: _Optional[bytes] = ..., limit: _Optional[int] = ..., after: _Optional[bytes] = ..., consistency: _Optional[_Union[Consistency, str]] = ...) -> None: ...

class RangeReply(_message.Message):
    __slots__ = ("revision", "kvs", "more", "applied_index")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    KVS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    APPLIED_INDEX_FIELD_NUMBER: _ClassVar[int]
    revision: int
    kvs: _containers.RepeatedCompositeFieldContainer[KeyValue]
    more: bool
    applied_index: int
    def __init__(self, revision: _Optional[int] = ..., kvs: _Optional[_Iterable[_Union[KeyValue, _Mapping]]] = ..., more: _Optional[bool] = ..., applied_index: _Optional[int] = ...) -> None: ...

class KvRequest(_message.Message):
    __slots__ = ("number", "put", "delete", "compare_and_set", "batch", "get", "range")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PUT_FIELD_NUMBER: _ClassVar[int]
    DELETE_FIELD_NUMBER: _ClassVar[int]
    COMPARE_AND_SET_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    GET_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    number: int
    put: PutRequest
    delete: DeleteRequest
    compare_and_set: CompareAndSetRequest
    batch: BatchRequest
    get: GetRequest
    range: RangeRequest
    def __init__(self, number: _Optional[int] = ..., put: _Optional[_Union[PutRequest, _Mapping]] = ..., delete: _Optional[_Union[DeleteRequest, _Mapping]] = ..., compare_and_set: _Optional[_Union[CompareAndSetRequest, _Mapping]] = ..., batch: _Optional[_Union[BatchRequest, _Mapping]] = ..., get: _Optional[_Union[GetRequest, _Mapping]] = ..., range: _Optional[_Union[RangeRequest, _Mapping]] = ...) -> None: ...

class KvReply(_message.Message):
    __slots__ = ("number", "failure", "put", "delete", "compare_and_set", "batch", "get", "range")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    PUT_FIELD_NUMBER: _ClassVar[int]
    DELETE_FIELD_NUMBER: _ClassVar[int]
    COMPARE_AND_SET_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    GET_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    number: int
    failure: Failure
    put: PutReply
    delete: DeleteReply
    compare_and_set: CompareAndSetReply
    batch: BatchReply
    get: GetReply
    range: RangeReply
    def __init__(self, number: _Optional[int] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., put: _Optional[_Union[PutReply, _Mapping]] = ..., delete: _Optional[_Union[DeleteReply, _Mapping]] = ..., compare_and_set: _Optional[_Union[CompareAndSetReply, _Mapping]] = ..., batch: _Optional[_Union[BatchReply, _Mapping]] = ..., get: _Optional[_Union[GetReply, _Mapping]] = ..., range: _Optional[_Union[RangeReply, _Mapping]] = ...) -> None: ...
