"""etcdserverpb.Auth: users, roles, permissions, tokens. Network thread only.

What is looked at here is read from the store's own state, after a read index that makes it as new
as any answer given before. Who may call what is the door's business (door.py), but for what users
may see of themselves.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from raftd._pb import etcd_pb2 as pb
from raftd.machine.kv.auth import Auth, User
from raftd.rpc.clients.callers import Callers, NotAllowed
from raftd.rpc.clients.login_queue import TooManyLogins
from raftd.rpc.clients.passwords import PASSWORD_BYTES_MAX, Passwords
from raftd.rpc.etcd.backend import Backend
from raftd.rpc.etcd.calls import Caller
from raftd.rpc.etcd.faults import Code, Fault, fault, refused_here
from raftd.rpc.etcd.header import Headers
from raftd.rpc.etcd.translate import refused
from raftd.wire import auth as wire
from raftd.wire.auth import Kind
from raftd.wire.errors import WireError
from raftd.wire.leases import decode_status_answer, encode_status
from raftd.wire.principal import OWN, user_of
from raftd.wire.refusals import BEHIND, RESTORING

NO_PASSWORD = "auth: authentication failed, password was given for no password user"


class AuthService:
    def __init__(
        self,
        backend: Backend,
        headers: Headers,
        auth: Auth,
        callers: Callers,
        passwords: Passwords,
        led: Callable[[], bool],
    ) -> None:
        """led: does this node hear a leader, or is it one?"""
        self._backend = backend
        self._headers = headers
        self._auth = auth
        self._callers = callers
        self._passwords = passwords
        self._led = led

    # --- the switch, and logins -----------------------------------------------------------------

    async def AuthEnable(
        self, request: pb.AuthEnableRequest, caller: Caller
    ) -> pb.AuthEnableResponse:
        secret = secrets.token_bytes(wire.SECRET_BYTES)
        return pb.AuthEnableResponse(header=await self._change(caller, Kind.ENABLE, secret))

    async def AuthDisable(
        self, request: pb.AuthDisableRequest, caller: Caller
    ) -> pb.AuthDisableResponse:
        return pb.AuthDisableResponse(header=await self._change(caller, Kind.DISABLE))

    async def AuthStatus(
        self, request: pb.AuthStatusRequest, caller: Caller
    ) -> pb.AuthStatusResponse:
        header = await self._look()
        return pb.AuthStatusResponse(
            header=header, enabled=self._auth.enabled, authRevision=self._auth.revision
        )

    async def Authenticate(
        self, request: pb.AuthenticateRequest, caller: Caller
    ) -> pb.AuthenticateResponse:
        """A token for a user who knows the password. It takes as long for who does not exist.

        Without a leader by the users of the own log, as the door then does with tokens: otherwise
        no operator could ask why there is none. A token of a password that was changed elsewhere
        meanwhile is refused wherever that change is applied.
        """
        header = await (self._look() if self._led() else self._look_here())
        if not self._auth.enabled:
            raise fault("auth_not_enabled")
        _check_password(request.password)
        user = self._auth.users.get(request.name)
        if user is not None and not user.hash:
            raise Fault(Code.UNKNOWN, NO_PASSWORD)
        serial = user.serial if user is not None else 0
        hash = user.hash if user is not None else b""
        try:
            right = await self._passwords.matches(request.password, hash, caller.peer)
        except TooManyLogins:
            raise fault("too_many_requests") from None
        now = self._auth.users.get(request.name)
        if not right or now is None or now.serial != serial or not self._auth.enabled:
            raise fault("auth_failed")
        token = self._callers.token_for(request.name, serial)
        return pb.AuthenticateResponse(header=header, token=token)

    # --- users ----------------------------------------------------------------------------------

    async def UserAdd(
        self, request: pb.AuthUserAddRequest, caller: Caller
    ) -> pb.AuthUserAddResponse:
        if not request.name:
            raise fault("user_empty")
        hash = b"" if request.options.no_password else await self._hash(request.password, caller)
        header = await self._change(caller, Kind.USER_ADD, request.name.encode(), hash)
        return pb.AuthUserAddResponse(header=header)

    async def UserGet(
        self, request: pb.AuthUserGetRequest, caller: Caller
    ) -> pb.AuthUserGetResponse:
        """Users may look at themselves."""
        header = await self._look()
        self._demand(caller, _name_of(caller) == request.name)
        return pb.AuthUserGetResponse(header=header, roles=self._user(request.name).roles)

    async def UserList(
        self, request: pb.AuthUserListRequest, caller: Caller
    ) -> pb.AuthUserListResponse:
        header = await self._look()
        return pb.AuthUserListResponse(header=header, users=sorted(self._auth.users))

    async def UserDelete(
        self, request: pb.AuthUserDeleteRequest, caller: Caller
    ) -> pb.AuthUserDeleteResponse:
        header = await self._change(caller, Kind.USER_DELETE, request.name.encode())
        return pb.AuthUserDeleteResponse(header=header)

    async def UserChangePassword(
        self, request: pb.AuthUserChangePasswordRequest, caller: Caller
    ) -> pb.AuthUserChangePasswordResponse:
        """Ends all tokens of that user."""
        hash = await self._hash(request.password, caller)
        header = await self._change(caller, Kind.USER_PASSWORD, request.name.encode(), hash)
        return pb.AuthUserChangePasswordResponse(header=header)

    async def UserGrantRole(
        self, request: pb.AuthUserGrantRoleRequest, caller: Caller
    ) -> pb.AuthUserGrantRoleResponse:
        names = request.user.encode(), request.role.encode()
        header = await self._change(caller, Kind.USER_GRANT, *names)
        return pb.AuthUserGrantRoleResponse(header=header)

    async def UserRevokeRole(
        self, request: pb.AuthUserRevokeRoleRequest, caller: Caller
    ) -> pb.AuthUserRevokeRoleResponse:
        names = request.name.encode(), request.role.encode()
        header = await self._change(caller, Kind.USER_REVOKE, *names)
        return pb.AuthUserRevokeRoleResponse(header=header)

    # --- roles ----------------------------------------------------------------------------------

    async def RoleAdd(
        self, request: pb.AuthRoleAddRequest, caller: Caller
    ) -> pb.AuthRoleAddResponse:
        header = await self._change(caller, Kind.ROLE_ADD, request.name.encode())
        return pb.AuthRoleAddResponse(header=header)

    async def RoleGet(
        self, request: pb.AuthRoleGetRequest, caller: Caller
    ) -> pb.AuthRoleGetResponse:
        """Users may look at the roles that they have."""
        header = await self._look()
        own = self._auth.users.get(_name_of(caller))
        self._demand(caller, own is not None and request.role in own.roles)
        permissions = self._auth.roles.get(request.role)
        if permissions is None:
            raise fault("role_not_found")
        perm = [
            pb.Permission(permType=each.access.name, key=each.key, range_end=each.range_end)
            for each in permissions
        ]
        return pb.AuthRoleGetResponse(header=header, perm=perm)

    async def RoleList(
        self, request: pb.AuthRoleListRequest, caller: Caller
    ) -> pb.AuthRoleListResponse:
        header = await self._look()
        return pb.AuthRoleListResponse(header=header, roles=sorted(self._auth.roles))

    async def RoleDelete(
        self, request: pb.AuthRoleDeleteRequest, caller: Caller
    ) -> pb.AuthRoleDeleteResponse:
        header = await self._change(caller, Kind.ROLE_DELETE, request.role.encode())
        return pb.AuthRoleDeleteResponse(header=header)

    async def RoleGrantPermission(
        self, request: pb.AuthRoleGrantPermissionRequest, caller: Caller
    ) -> pb.AuthRoleGrantPermissionResponse:
        if not request.HasField("perm"):
            raise fault("permission_not_given")
        perm = request.perm
        if not 0 <= int(perm.permType) <= max(wire.Access):  # the wire lets any number through
            raise fault("invalid_auth_management")
        fields = bytes((perm.permType,)), perm.key, perm.range_end
        header = await self._change(caller, Kind.ROLE_GRANT, request.name.encode(), *fields)
        return pb.AuthRoleGrantPermissionResponse(header=header)

    async def RoleRevokePermission(
        self, request: pb.AuthRoleRevokePermissionRequest, caller: Caller
    ) -> pb.AuthRoleRevokePermissionResponse:
        fields = request.role.encode(), request.key, request.range_end
        header = await self._change(caller, Kind.ROLE_REVOKE, *fields)
        return pb.AuthRoleRevokePermissionResponse(header=header)

    # --------------------------------------------------------------------------------------------

    async def _change(self, caller: Caller, kind: Kind, *fields: bytes) -> pb.ResponseHeader:
        try:
            command = wire.encode_auth(kind, *fields)
        except WireError as error:
            raise Fault(Code.INVALID_ARGUMENT, f"etcdserver: {error}") from None
        answer = await self._backend.write(command, caller.principal)
        await self._backend.told.seen()  # the door here goes by it from now on
        return self._headers.make(wire.decode_auth_answer(answer).revision)

    async def _look(self) -> pb.ResponseHeader:
        """When it returns, this member's state is as new as any answer given before."""
        answer = await self._backend.read(encode_status(), False, OWN)
        return self._headers.make(decode_status_answer(answer).revision)

    async def _look_here(self) -> pb.ResponseHeader:
        """This member's state as it is. Raises Fault while its own log is not applied yet."""
        if self._callers.behind:
            raise refused_here(BEHIND)
        if self._callers.restoring:
            raise refused_here(RESTORING)
        answer = await self._backend.read(encode_status(), True, OWN)
        return self._headers.make(decode_status_answer(answer).revision)

    def _demand(self, caller: Caller, own: bool) -> None:
        """Root, or whom it is about. Raises Fault."""
        try:
            if own:
                self._callers.demand_user(caller.principal)
            else:
                self._callers.demand_root(caller.principal)
        except NotAllowed as error:
            raise refused(str(error).encode()) from None

    def _user(self, name: str) -> User:
        user = self._auth.users.get(name)
        if user is None:
            raise fault("user_not_found")
        return user

    async def _hash(self, password: str, caller: Caller) -> bytes:
        _check_password(password)
        try:
            return await self._passwords.make(password, caller.peer)
        except TooManyLogins:
            raise fault("too_many_requests") from None


def _name_of(caller: Caller) -> str:
    user = user_of(caller.principal)
    return user[0] if user is not None else ""


def _check_password(password: str) -> None:
    if len(password.encode("utf-8", "surrogatepass")) > PASSWORD_BYTES_MAX:
        text = f"etcdserver: a password has {PASSWORD_BYTES_MAX} bytes at most"
        raise Fault(Code.INVALID_ARGUMENT, text)
