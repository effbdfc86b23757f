"""Users, roles, permissions: replicated state of the store, by the rules of etcd.

Every change counts the auth revision up, and so does nothing else. Machine's thread.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from raftd.machine.kv.permissions import Permission, Rights
from raftd.machine.protocol import MachineError
from raftd.wire import refusals
from raftd.wire.auth import Access, AuthCommand, Kind
from raftd.wire.principal import OWN, of_user, user_of

ROOT: Final = "root"
"""The user and the role that may do everything."""
FIRST_REVISION: Final = 1
USERS_MAX: Final = 10_000
ROLES_MAX: Final = 10_000
PERMISSIONS_MAX: Final = 1_000
"""Of one role."""
ROLES_OF_USER_MAX: Final = 1_000
NOTHING: Final = Rights(())
EVERYTHING: Final = Rights((), root=True)


@dataclass(slots=True)
class User:
    """hash: empty for a user without a password. serial: see wire.principal. roles: in order."""

    hash: bytes
    serial: int
    roles: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Held:
    """All there is of it. secret: signs tokens; drawn anew whenever auth is switched on: older
    tokens count no more. roles: by name, its permissions in order of their keys. rights: of users,
    as they were asked for since the last change.
    """

    enabled: bool = False
    revision: int = FIRST_REVISION
    secret: bytes = b""
    users: dict[str, User] = field(default_factory=dict)
    roles: dict[str, list[Permission]] = field(default_factory=dict)
    rights: dict[str, Rights] = field(default_factory=dict)


class Auth:
    """Machine's thread, but `become`, `rights_of` and what is only read: see `become`."""

    def __init__(self) -> None:
        self._held = Held()
        self.dumped: bytes | None = None
        """All of it as a snapshot has it, if that was asked for since the last change."""
        self._kinds: dict[Kind, Callable[..., None]] = {
            Kind.ENABLE: self._enable,
            Kind.DISABLE: self._disable,
            Kind.USER_ADD: self._user_add,
            Kind.USER_DELETE: self._user_delete,
            Kind.USER_PASSWORD: self._user_password,
            Kind.USER_GRANT: self._user_grant,
            Kind.USER_REVOKE: self._user_revoke,
            Kind.ROLE_ADD: self._role_add,
            Kind.ROLE_DELETE: self._role_delete,
            Kind.ROLE_GRANT: self._role_grant,
            Kind.ROLE_REVOKE: self._role_revoke,
        }

    @property
    def enabled(self) -> bool:
        return self._held.enabled

    @property
    def revision(self) -> int:
        return self._held.revision

    @property
    def secret(self) -> bytes:
        return self._held.secret

    @property
    def users(self) -> dict[str, User]:
        return self._held.users

    @property
    def roles(self) -> dict[str, list[Permission]]:
        return self._held.roles

    @property
    def untouched(self) -> bool:
        """Has nobody ever made a user or a role here?"""
        return self.revision == FIRST_REVISION

    def become(self, held: Held) -> None:
        """All of it at once: a snapshot is restored on a thread of its own, and meanwhile the
        network thread asks here who calls. While users and roles came one after the other it let in
        anybody as an operator, or kept for good that a user may do nothing.
        """
        self._held, self.dumped = held, None

    # --- who may what ---------------------------------------------------------------------------

    def principal_of(self, name: str) -> bytes:
        """A user's as of now. Raises KeyError."""
        return of_user(name, self.users[name].serial)

    def rights_of(self, principal: bytes) -> Rights:
        """Of one moment, also while another state takes this one's place.

        Raises MachineError for nobody, and for whom the user is not any more.
        """
        held = self._held
        if not held.enabled or principal == OWN:
            return EVERYTHING
        known = user_of(principal)
        if known is None:
            raise MachineError(refusals.USER_EMPTY)
        name, serial = known
        user = held.users.get(name)
        if user is None:
            raise MachineError(refusals.PERMISSION_DENIED)
        if user.serial != serial:
            raise MachineError(refusals.OLD_REVISION)
        rights = held.rights.get(name)
        if rights is None:
            granted = [each for role in user.roles for each in held.roles.get(role, ())]
            rights = held.rights[name] = Rights(granted, root=ROOT in user.roles)
        return rights

    # --- changes --------------------------------------------------------------------------------

    def apply(self, command: AuthCommand) -> None:
        """Raises MachineError, and then nothing has changed."""
        self.dumped = None
        self._kinds[command.kind](*command.fields)

    def _changed(self) -> None:
        self._held.revision += 1
        self._held.rights.clear()

    def _enable(self, secret: bytes) -> None:
        if self.enabled:
            return
        user = self.users.get(ROOT)
        if user is None:
            raise MachineError(refusals.ROOT_USER_MISSING)
        if ROOT not in user.roles:
            raise MachineError(refusals.ROOT_ROLE_MISSING)
        self._held.enabled, self._held.secret = True, secret

    def _disable(self) -> None:
        if self.enabled:
            self._held.enabled = False
            self._changed()

    def _user(self, name: bytes) -> User:
        user = self.users.get(name.decode())
        if user is None:
            raise MachineError(refusals.USER_NOT_FOUND)
        return user

    def _user_add(self, name: bytes, hash: bytes) -> None:
        if not name:
            raise MachineError(refusals.USER_EMPTY)
        if name.decode() in self.users:
            raise MachineError(refusals.USER_EXISTS)
        _check_room("users", len(self.users), USERS_MAX)
        self._changed()
        self.users[name.decode()] = User(hash, self.revision)

    def _user_delete(self, name: bytes) -> None:
        if self.enabled and name.decode() == ROOT:
            raise MachineError(refusals.INVALID_AUTH_MANAGEMENT)
        self._user(name)
        del self.users[name.decode()]
        self._changed()

    def _user_password(self, name: bytes, hash: bytes) -> None:
        user = self._user(name)
        self._changed()
        user.hash, user.serial = hash, self.revision

    def _user_grant(self, name: bytes, role: bytes) -> None:
        """Granted already: nothing changes. The role `root` need not be there."""
        user, given = self._user(name), role.decode()
        if given != ROOT and given not in self.roles:
            raise MachineError(refusals.ROLE_NOT_FOUND)
        if given in user.roles:
            return
        _check_room("roles of a user", len(user.roles), ROLES_OF_USER_MAX)
        insort(user.roles, given)
        self._changed()

    def _user_revoke(self, name: bytes, role: bytes) -> None:
        taken = role.decode()
        if self.enabled and name.decode() == ROOT and taken == ROOT:
            raise MachineError(refusals.INVALID_AUTH_MANAGEMENT)
        user = self._user(name)
        if taken not in user.roles:
            raise MachineError(refusals.ROLE_NOT_GRANTED)
        user.roles.remove(taken)
        self._changed()

    def _role(self, name: bytes) -> list[Permission]:
        permissions = self.roles.get(name.decode())
        if permissions is None:
            raise MachineError(refusals.ROLE_NOT_FOUND)
        return permissions

    def _role_add(self, name: bytes) -> None:
        if not name:
            raise MachineError(refusals.ROLE_EMPTY)
        if name.decode() in self.roles:
            raise MachineError(refusals.ROLE_EXISTS)
        _check_room("roles", len(self.roles), ROLES_MAX)
        self.roles[name.decode()] = []
        self._changed()

    def _role_delete(self, name: bytes) -> None:
        """Users who have it lose it."""
        role = name.decode()
        if self.enabled and role == ROOT:
            raise MachineError(refusals.INVALID_AUTH_MANAGEMENT)
        self._role(name)
        del self.roles[role]
        for user in self.users.values():
            if role in user.roles:
                user.roles.remove(role)
        self._changed()

    def _role_grant(self, name: bytes, access: bytes, key: bytes, range_end: bytes) -> None:
        """The same range again: only what is allowed changes."""
        permissions = self._role(name)
        if range_end not in (b"", b"\0") and range_end <= key:
            raise MachineError(refusals.INVALID_AUTH_MANAGEMENT)
        given = Permission(key, range_end, Access(access[0]))
        place = bisect_left(permissions, given[:2], key=lambda each: each[:2])
        if place < len(permissions) and permissions[place][:2] == given[:2]:
            permissions[place] = given
        else:
            _check_room("permissions of a role", len(permissions), PERMISSIONS_MAX)
            permissions.insert(place, given)
        self._changed()

    def _role_revoke(self, name: bytes, key: bytes, range_end: bytes) -> None:
        permissions = self._role(name)
        left = [each for each in permissions if each[:2] != (key, range_end)]
        if len(left) == len(permissions):
            raise MachineError(refusals.PERMISSION_NOT_GRANTED)
        permissions[:] = left
        self._changed()


def _check_room(what: str, count: int, most: int) -> None:
    if count >= most:
        raise MachineError(f"{refusals.TOO_MUCH_AUTH}; {what}: the limit is {most}")
