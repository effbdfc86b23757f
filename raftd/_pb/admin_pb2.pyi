from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StatusRequest(_message.Message):
    __slots__ = ("with_digest", "places")
    WITH_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PLACES_FIELD_NUMBER: _ClassVar[int]
    with_digest: bool
    places: bool
    def __init__(self, with_digest: bool = ..., places: bool = ...) -> None: ...

class PeerStatus(_message.Message):
    __slots__ = ("id", "peer_address", "client_address", "match", "next", "mode", "inflight", "contact_age_seconds", "voter", "lag")
    ID_FIELD_NUMBER: _ClassVar[int]
    PEER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    MATCH_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    INFLIGHT_FIELD_NUMBER: _ClassVar[int]
    CONTACT_AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    VOTER_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    id: str
    peer_address: str
    client_address: str
    match: int
    next: int
    mode: str
    inflight: int
    contact_age_seconds: float
    voter: bool
    lag: int
    def __init__(self, id: _Optional[str] = ..., peer_address: _Optional[str] = ..., client_address: _Optional[str] = ..., match: _Optional[int] = ..., next: _Optional[int] = ..., mode: _Optional[str] = ..., inflight: _Optional[int] = ..., contact_age_seconds: _Optional[float] = ..., voter: bool = ..., lag: _Optional[int] = ...) -> None: ...

class StatusReply(_message.Message):
    __slots__ = ("cluster_id", "node_id", "incarnation", "version", "role", "term", "leader_id", "leader_address", "first_index", "last_index", "durable_index", "commit_index", "applied_index", "snapshot_index", "log_bytes", "admitted", "waiting_for", "peers", "digest", "digest_index", "client_address", "uptime_seconds", "healthy", "peer_address", "learner", "epoch_seconds", "problems")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    LEADER_ID_FIELD_NUMBER: _ClassVar[int]
    LEADER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    FIRST_INDEX_FIELD_NUMBER: _ClassVar[int]
    LAST_INDEX_FIELD_NUMBER: _ClassVar[int]
    DURABLE_INDEX_FIELD_NUMBER: _ClassVar[int]
    COMMIT_INDEX_FIELD_NUMBER: _ClassVar[int]
    APPLIED_INDEX_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_INDEX_FIELD_NUMBER: _ClassVar[int]
    LOG_BYTES_FIELD_NUMBER: _ClassVar[int]
    ADMITTED_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    DIGEST_INDEX_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    UPTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    PEER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    LEARNER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_SECONDS_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    node_id: str
    incarnation: str
    version: str
    role: str
    term: int
    leader_id: str
    leader_address: str
    first_index: int
    last_index: int
    durable_index: int
    commit_index: int
    applied_index: int
    snapshot_index: int
    log_bytes: int
    admitted: bool
    waiting_for: _containers.RepeatedScalarFieldContainer[str]
    peers: _containers.RepeatedCompositeFieldContainer[PeerStatus]
    digest: bytes
    digest_index: int
    client_address: str
    uptime_seconds: float
    healthy: bool
    peer_address: str
    learner: bool
    epoch_seconds: float
    problems: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, cluster_id: _Optional[str] = ..., node_id: _Optional[str] = ..., incarnation: _Optional[str] = ..., version: _Optional[str] = ..., role: _Optional[str] = ..., term: _Optional[int] = ..., leader_id: _Optional[str] = ..., leader_address: _Optional[str] = ..., first_index: _Optional[int] = ..., last_index: _Optional[int] = ..., durable_index: _Optional[int] = ..., commit_index: _Optional[int] = ..., applied_index: _Optional[int] = ..., snapshot_index: _Optional[int] = ..., log_bytes: _Optional[int] = ..., admitted: bool = ..., waiting_for: _Optional[_Iterable[str]] = ..., peers: _Optional[_Iterable[_Union[PeerStatus, _Mapping]]] = ..., digest: _Optional[bytes] = ..., digest_index: _Optional[int] = ..., client_address: _Optional[str] = ..., uptime_seconds: _Optional[float] = ..., healthy: bool = ..., peer_address: _Optional[str] = ..., learner: bool = ..., epoch_seconds: _Optional[float] = ..., problems: _Optional[_Iterable[str]] = ...) -> None: ...

class DigestRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DigestReply(_message.Message):
    __slots__ = ("applied_index", "digest")
    APPLIED_INDEX_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    applied_index: int
    digest: bytes
    def __init__(self, applied_index: _Optional[int] = ..., digest: _Optional[bytes] = ...) -> None: ...

class EventsRequest(_message.Message):
    __slots__ = ("from_start",)
    FROM_START_FIELD_NUMBER: _ClassVar[int]
    from_start: bool
    def __init__(self, from_start: bool = ...) -> None: ...

class EventReply(_message.Message):
    __slots__ = ("monotonic_seconds", "kind", "term", "role", "leader_id", "peer", "detail", "number")
    MONOTONIC_SECONDS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    LEADER_ID_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    monotonic_seconds: float
    kind: str
    term: int
    role: str
    leader_id: str
    peer: str
    detail: str
    number: int
    def __init__(self, monotonic_seconds: _Optional[float] = ..., kind: _Optional[str] = ..., term: _Optional[int] = ..., role: _Optional[str] = ..., leader_id: _Optional[str] = ..., peer: _Optional[str] = ..., detail: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class SnapshotNowRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SnapshotNowReply(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class MemberRequest(_message.Message):
    __slots__ = ("action", "id", "peer_address", "client_address", "by", "force")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    PEER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    action: str
    id: str
    peer_address: str
    client_address: str
    by: str
    force: bool
    def __init__(self, action: _Optional[str] = ..., id: _Optional[str] = ..., peer_address: _Optional[str] = ..., client_address: _Optional[str] = ..., by: _Optional[str] = ..., force: bool = ...) -> None: ...

class MemberReply(_message.Message):
    __slots__ = ("index", "term")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    index: int
    term: int
    def __init__(self, index: _Optional[int] = ..., term: _Optional[int] = ...) -> None: ...

class TransferRequest(_message.Message):
    __slots__ = ("target",)
    TARGET_FIELD_NUMBER: _ClassVar[int]
    target: str
    def __init__(self, target: _Optional[str] = ...) -> None: ...

class TransferReply(_message.Message):
    __slots__ = ("leader_id", "term")
    LEADER_ID_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    leader_id: str
    term: int
    def __init__(self, leader_id: _Optional[str] = ..., term: _Optional[int] = ...) -> None: ...

class BackupRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BackupHead(_message.Message):
    __slots__ = ("cluster_id", "node_id", "index", "term", "size_bytes", "crc")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CRC_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    node_id: str
    index: int
    term: int
    size_bytes: int
    crc: int
    def __init__(self, cluster_id: _Optional[str] = ..., node_id: _Optional[str] = ..., index: _Optional[int] = ..., term: _Optional[int] = ..., size_bytes: _Optional[int] = ..., crc: _Optional[int] = ...) -> None: ...

class BackupReply(_message.Message):
    __slots__ = ("head", "data")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    head: BackupHead
    data: bytes
    def __init__(self, head: _Optional[_Union[BackupHead, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class LogLevelRequest(_message.Message):
    __slots__ = ("logger", "level")
    LOGGER_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    logger: str
    level: str
    def __init__(self, logger: _Optional[str] = ..., level: _Optional[str] = ...) -> None: ...

class LogLevelReply(_message.Message):
    __slots__ = ("level",)
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    level: str
    def __init__(self, level: _Optional[str] = ...) -> None: ...
