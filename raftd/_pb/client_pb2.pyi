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
    UNAUTHENTICATED: _ClassVar[FailureCode]
    PERMISSION_DENIED: _ClassVar[FailureCode]

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
UNAUTHENTICATED: FailureCode
PERMISSION_DENIED: FailureCode
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
    def __init__(self, code: _Optional[_Union[FailureCode, str]] = ..., certainly_not_done: bool = ..., message: _Optional[str] = ..., leader_id: _Optional[str] = ..., leader_address: _Optional[str] = ...) -> None: ...

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
