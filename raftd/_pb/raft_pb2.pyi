from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EntryType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENTRY_TYPE_UNSPECIFIED: _ClassVar[EntryType]
    NOOP: _ClassVar[EntryType]
    BATCH: _ClassVar[EntryType]
    CONFIGURATION: _ClassVar[EntryType]
ENTRY_TYPE_UNSPECIFIED: EntryType
NOOP: EntryType
BATCH: EntryType
CONFIGURATION: EntryType

class Envelope(_message.Message):
    __slots__ = ("cluster", "sender", "sender_incarnation", "addressee", "addressee_incarnation", "code", "sender_life")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    SENDER_INCARNATION_FIELD_NUMBER: _ClassVar[int]
    ADDRESSEE_FIELD_NUMBER: _ClassVar[int]
    ADDRESSEE_INCARNATION_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    SENDER_LIFE_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    sender: str
    sender_incarnation: str
    addressee: str
    addressee_incarnation: str
    code: bytes
    sender_life: int
    def __init__(self, cluster: _Optional[str] = ..., sender: _Optional[str] = ..., sender_incarnation: _Optional[str] = ..., addressee: _Optional[str] = ..., addressee_incarnation: _Optional[str] = ..., code: _Optional[bytes] = ..., sender_life: _Optional[int] = ...) -> None: ...

class VoteRequest(_message.Message):
    __slots__ = ("envelope", "number", "term", "last_index", "last_term", "pre", "transfer")
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    LAST_INDEX_FIELD_NUMBER: _ClassVar[int]
    LAST_TERM_FIELD_NUMBER: _ClassVar[int]
    PRE_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    envelope: Envelope
    number: int
    term: int
    last_index: int
    last_term: int
    pre: bool
    transfer: bool
    def __init__(self, envelope: _Optional[_Union[Envelope, _Mapping]] = ..., number: _Optional[int] = ..., term: _Optional[int] = ..., last_index: _Optional[int] = ..., last_term: _Optional[int] = ..., pre: bool = ..., transfer: bool = ...) -> None: ...

class VoteReply(_message.Message):
    __slots__ = ("envelope", "number", "not_admitted", "term", "granted", "pre", "removed")
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    NOT_ADMITTED_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    PRE_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    envelope: Envelope
    number: int
    not_admitted: bool
    term: int
    granted: bool
    pre: bool
    removed: bool
    def __init__(self, envelope: _Optional[_Union[Envelope, _Mapping]] = ..., number: _Optional[int] = ..., not_admitted: bool = ..., term: _Optional[int] = ..., granted: bool = ..., pre: bool = ..., removed: bool = ...) -> None: ...

class AppendRequest(_message.Message):
    __slots__ = ("envelope", "number", "term", "prev_index", "prev_term", "commit", "entry_terms", "entry_types", "entry_payloads", "entries_crc", "mark_index", "mark_number", "compared_index", "differing")
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    PREV_INDEX_FIELD_NUMBER: _ClassVar[int]
    PREV_TERM_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    ENTRY_TERMS_FIELD_NUMBER: _ClassVar[int]
    ENTRY_TYPES_FIELD_NUMBER: _ClassVar[int]
    ENTRY_PAYLOADS_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_CRC_FIELD_NUMBER: _ClassVar[int]
    MARK_INDEX_FIELD_NUMBER: _ClassVar[int]
    MARK_NUMBER_FIELD_NUMBER: _ClassVar[int]
    COMPARED_INDEX_FIELD_NUMBER: _ClassVar[int]
    DIFFERING_FIELD_NUMBER: _ClassVar[int]
    envelope: Envelope
    number: int
    term: int
    prev_index: int
    prev_term: int
    commit: int
    entry_terms: _containers.RepeatedScalarFieldContainer[int]
    entry_types: _containers.RepeatedScalarFieldContainer[EntryType]
    entry_payloads: _containers.RepeatedScalarFieldContainer[bytes]
    entries_crc: int
    mark_index: int
    mark_number: int
    compared_index: int
    differing: _containers.RepeatedCompositeFieldContainer[Differing]
    def __init__(self, envelope: _Optional[_Union[Envelope, _Mapping]] = ..., number: _Optional[int] = ..., term: _Optional[int] = ..., prev_index: _Optional[int] = ..., prev_term: _Optional[int] = ..., commit: _Optional[int] = ..., entry_terms: _Optional[_Iterable[int]] = ..., entry_types: _Optional[_Iterable[_Union[EntryType, str]]] = ..., entry_payloads: _Optional[_Iterable[bytes]] = ..., entries_crc: _Optional[int] = ..., mark_index: _Optional[int] = ..., mark_number: _Optional[int] = ..., compared_index: _Optional[int] = ..., differing: _Optional[_Iterable[_Union[Differing, _Mapping]]] = ...) -> None: ...

class Differing(_message.Message):
    __slots__ = ("node", "what")
    NODE_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    node: str
    what: str
    def __init__(self, node: _Optional[str] = ..., what: _Optional[str] = ...) -> None: ...

class DigestPart(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: bytes
    def __init__(self, name: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...

class AppendReply(_message.Message):
    __slots__ = ("envelope", "number", "not_admitted", "term", "ok", "durable", "conflict_term", "conflict_index", "unfit", "room", "joining", "priority", "digest", "digest_index", "digest_number")
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    NOT_ADMITTED_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    OK_FIELD_NUMBER: _ClassVar[int]
    DURABLE_FIELD_NUMBER: _ClassVar[int]
    CONFLICT_TERM_FIELD_NUMBER: _ClassVar[int]
    CONFLICT_INDEX_FIELD_NUMBER: _ClassVar[int]
    UNFIT_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    JOINING_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    DIGEST_INDEX_FIELD_NUMBER: _ClassVar[int]
    DIGEST_NUMBER_FIELD_NUMBER: _ClassVar[int]
    envelope: Envelope
    number: int
    not_admitted: bool
    term: int
    ok: bool
    durable: int
    conflict_term: int
    conflict_index: int
    unfit: bool
    room: int
    joining: bool
    priority: int
    digest: _containers.RepeatedCompositeFieldContainer[DigestPart]
    digest_index: int
    digest_number: int
    def __init__(self, envelope: _Optional[_Union[Envelope, _Mapping]] = ..., number: _Optional[int] = ..., not_admitted: bool = ..., term: _Optional[int] = ..., ok: bool = ..., durable: _Optional[int] = ..., conflict_term: _Optional[int] = ..., conflict_index: _Optional[int] = ..., unfit: bool = ..., room: _Optional[int] = ..., joining: bool = ..., priority: _Optional[int] = ..., digest: _Optional[_Iterable[_Union[DigestPart, _Mapping]]] = ..., digest_index: _Optional[int] = ..., digest_number: _Optional[int] = ...) -> None: ...

class SnapshotMeta(_message.Message):
    __slots__ = ("index", "term", "voters", "learners", "size_bytes", "crc", "configuration")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    VOTERS_FIELD_NUMBER: _ClassVar[int]
    LEARNERS_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CRC_FIELD_NUMBER: _ClassVar[int]
    CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    index: int
    term: int
    voters: _containers.RepeatedScalarFieldContainer[str]
    learners: _containers.RepeatedScalarFieldContainer[str]
    size_bytes: int
    crc: int
    configuration: bytes
    def __init__(self, index: _Optional[int] = ..., term: _Optional[int] = ..., voters: _Optional[_Iterable[str]] = ..., learners: _Optional[_Iterable[str]] = ..., size_bytes: _Optional[int] = ..., crc: _Optional[int] = ..., configuration: _Optional[bytes] = ...) -> None: ...

class SnapshotRequest(_message.Message):
    __slots__ = ("envelope", "number", "term", "meta", "offset", "data", "data_crc")
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    DATA_CRC_FIELD_NUMBER: _ClassVar[int]
    envelope: Envelope
    number: int
    term: int
    meta: SnapshotMeta
    offset: int
    data: bytes
    data_crc: int
    def __init__(self, envelope: _Optional[_Union[Envelope, _Mapping]] = ..., number: _Optional[int] = ..., term: _Optional[int] = ..., meta: _Optional[_Union[SnapshotMeta, _Mapping]] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ..., data_crc: _Optional[int] = ...) -> None: ...

class SnapshotReply(_message.Message):
    __slots__ = ("envelope", "number", "not_admitted", "term", "next_offset", "done", "durable")
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    NOT_ADMITTED_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    NEXT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    DURABLE_FIELD_NUMBER: _ClassVar[int]
    envelope: Envelope
    number: int
    not_admitted: bool
    term: int
    next_offset: int
    done: bool
    durable: int
    def __init__(self, envelope: _Optional[_Union[Envelope, _Mapping]] = ..., number: _Optional[int] = ..., not_admitted: bool = ..., term: _Optional[int] = ..., next_offset: _Optional[int] = ..., done: bool = ..., durable: _Optional[int] = ...) -> None: ...

class ReadIndexRequest(_message.Message):
    __slots__ = ("envelope", "number", "term")
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    envelope: Envelope
    number: int
    term: int
    def __init__(self, envelope: _Optional[_Union[Envelope, _Mapping]] = ..., number: _Optional[int] = ..., term: _Optional[int] = ...) -> None: ...

class ReadIndexReply(_message.Message):
    __slots__ = ("envelope", "number", "not_admitted", "term", "ok", "index")
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    NOT_ADMITTED_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    OK_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    envelope: Envelope
    number: int
    not_admitted: bool
    term: int
    ok: bool
    index: int
    def __init__(self, envelope: _Optional[_Union[Envelope, _Mapping]] = ..., number: _Optional[int] = ..., not_admitted: bool = ..., term: _Optional[int] = ..., ok: bool = ..., index: _Optional[int] = ...) -> None: ...

class TimeoutNowRequest(_message.Message):
    __slots__ = ("envelope", "number", "term")
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    envelope: Envelope
    number: int
    term: int
    def __init__(self, envelope: _Optional[_Union[Envelope, _Mapping]] = ..., number: _Optional[int] = ..., term: _Optional[int] = ...) -> None: ...

class TimeoutNowReply(_message.Message):
    __slots__ = ("envelope", "number", "not_admitted", "term")
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    NOT_ADMITTED_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    envelope: Envelope
    number: int
    not_admitted: bool
    term: int
    def __init__(self, envelope: _Optional[_Union[Envelope, _Mapping]] = ..., number: _Optional[int] = ..., not_admitted: bool = ..., term: _Optional[int] = ...) -> None: ...

class Record(_message.Message):
    __slots__ = ("node", "incarnation")
    NODE_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    node: str
    incarnation: str
    def __init__(self, node: _Optional[str] = ..., incarnation: _Optional[str] = ...) -> None: ...

class About(_message.Message):
    __slots__ = ("protocol", "protocol_oldest", "software", "peer_address", "client_address", "gateway_address")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_OLDEST_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    PEER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    protocol_oldest: int
    software: str
    peer_address: str
    client_address: str
    gateway_address: str
    def __init__(self, protocol: _Optional[int] = ..., protocol_oldest: _Optional[int] = ..., software: _Optional[str] = ..., peer_address: _Optional[str] = ..., client_address: _Optional[str] = ..., gateway_address: _Optional[str] = ...) -> None: ...

class HelloRequest(_message.Message):
    __slots__ = ("envelope", "number", "records", "about")
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    ABOUT_FIELD_NUMBER: _ClassVar[int]
    envelope: Envelope
    number: int
    records: _containers.RepeatedCompositeFieldContainer[Record]
    about: About
    def __init__(self, envelope: _Optional[_Union[Envelope, _Mapping]] = ..., number: _Optional[int] = ..., records: _Optional[_Iterable[_Union[Record, _Mapping]]] = ..., about: _Optional[_Union[About, _Mapping]] = ...) -> None: ...

class HelloReply(_message.Message):
    __slots__ = ("envelope", "number", "records", "refused", "about", "removed")
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    ABOUT_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    envelope: Envelope
    number: int
    records: _containers.RepeatedCompositeFieldContainer[Record]
    refused: str
    about: About
    removed: bool
    def __init__(self, envelope: _Optional[_Union[Envelope, _Mapping]] = ..., number: _Optional[int] = ..., records: _Optional[_Iterable[_Union[Record, _Mapping]]] = ..., refused: _Optional[str] = ..., about: _Optional[_Union[About, _Mapping]] = ..., removed: bool = ...) -> None: ...

class ProbeRequest(_message.Message):
    __slots__ = ("envelope",)
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    envelope: Envelope
    def __init__(self, envelope: _Optional[_Union[Envelope, _Mapping]] = ...) -> None: ...

class ProbeReply(_message.Message):
    __slots__ = ("envelope", "leads", "term")
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    LEADS_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    envelope: Envelope
    leads: bool
    term: int
    def __init__(self, envelope: _Optional[_Union[Envelope, _Mapping]] = ..., leads: bool = ..., term: _Optional[int] = ...) -> None: ...

class MemberChange(_message.Message):
    __slots__ = ("action", "member", "peer_address")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    PEER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    action: str
    member: str
    peer_address: str
    def __init__(self, action: _Optional[str] = ..., member: _Optional[str] = ..., peer_address: _Optional[str] = ...) -> None: ...

class ForwardRequest(_message.Message):
    __slots__ = ("envelope", "batch", "queries", "principal", "change")
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    envelope: Envelope
    batch: bytes
    queries: _containers.RepeatedScalarFieldContainer[bytes]
    principal: bytes
    change: MemberChange
    def __init__(self, envelope: _Optional[_Union[Envelope, _Mapping]] = ..., batch: _Optional[bytes] = ..., queries: _Optional[_Iterable[bytes]] = ..., principal: _Optional[bytes] = ..., change: _Optional[_Union[MemberChange, _Mapping]] = ...) -> None: ...

class ForwardReply(_message.Message):
    __slots__ = ("envelope", "refusal", "message", "leader", "results", "index", "term")
    class Refusal(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        DONE: _ClassVar[ForwardReply.Refusal]
        NOT_LEADER: _ClassVar[ForwardReply.Refusal]
        OVERLOADED: _ClassVar[ForwardReply.Refusal]
        UNAVAILABLE: _ClassVar[ForwardReply.Refusal]
        UNKNOWN: _ClassVar[ForwardReply.Refusal]
        NOT_ALLOWED: _ClassVar[ForwardReply.Refusal]
    DONE: ForwardReply.Refusal
    NOT_LEADER: ForwardReply.Refusal
    OVERLOADED: ForwardReply.Refusal
    UNAVAILABLE: ForwardReply.Refusal
    UNKNOWN: ForwardReply.Refusal
    NOT_ALLOWED: ForwardReply.Refusal
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    envelope: Envelope
    refusal: ForwardReply.Refusal
    message: str
    leader: str
    results: bytes
    index: int
    term: int
    def __init__(self, envelope: _Optional[_Union[Envelope, _Mapping]] = ..., refusal: _Optional[_Union[ForwardReply.Refusal, str]] = ..., message: _Optional[str] = ..., leader: _Optional[str] = ..., results: _Optional[bytes] = ..., index: _Optional[int] = ..., term: _Optional[int] = ...) -> None: ...
