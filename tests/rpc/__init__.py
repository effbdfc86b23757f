import raftd.grpc_env  # noqa: F401  before a test module loads grpc
