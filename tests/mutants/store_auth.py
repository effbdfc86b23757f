"""Planted bugs of users, roles and permissions; looked for by tests/machine/auth_campaign.py."""

from __future__ import annotations

from tests.mutants.planted import in_kv as _kv
from tests.mutants.planted import in_store as _store

AUTH = (
    _store(
        "permission-without-an-end",
        "a permission ends where its range ends",
        _kv("permissions", "        return wanted.stop <= stop\n", "        return True\n"),
        by="auth-denied",
    ),
    _store(
        "gap-between-permissions-filled",
        "two ranges that do not meet leave out what is between them",
        _kv("permissions", "span.start <= last.stop:", "True:"),
        by="auth-denied",
    ),
    _store(
        "permissions-that-meet-are-two",
        "what two permissions cover together is covered",
        _kv("permissions", "span.start <= last.stop:", "span.start < last.stop:"),
        by="auth-allowed",
    ),
    _store(
        "reading-is-writing",
        "a permission to read allows no writing",
        _kv("permissions", "Spans(_spans(known, Access.READ))", "Spans(_spans(known, None))"),
        _kv("permissions", "without: Access)", "without: Access | None)"),
        by="auth-denied",
    ),
    _store(
        "else-not-checked",
        "all branches of a transaction are checked, also what does not run",
        _kv("access", " and all(self._may(rights, op, later) for op in txn.failure)\n", "\n"),
        by="auth-denied",
    ),
    _store(
        "compares-not-checked",
        "who may not read a key may not compare it either",
        _kv(
            "access",
            "            all(rights.may_read(compare.key, compare.range_end) "
            "for compare in txn.compares)\n            and all(",
            "            all(",
        ),
        by="auth-denied",
    ),
    _store(
        "previous-not-checked",
        "who may not read a key is not shown what a put replaces",
        _kv(
            "access",
            "                and (not op.prev_kv or rights.may_read(op.key))\n",
            "",
        ),
        by="auth-denied",
    ),
    _store(
        "lease-of-others-keys",
        "who may not write all keys of a lease may not end it",
        _kv(
            "access",
            "        if not came:\n            return True\n",
            "        return True\n",
        ),
        by="auth-denied",
    ),
    _store(
        "user-who-was-deleted",
        "what a user showed counts no more when another one has the name, or the password is new",
        _kv("auth", "        if user.serial != serial:\n", "        if False:\n"),
        by="auth-identity",
    ),
    _store(
        "revoked-role-goes-on",
        "what is taken away counts at once",
        _kv("auth", "+= 1\n        self._held.rights.clear()\n", "+= 1\n"),
        by="auth-denied auth-allowed",
    ),
    _store(
        "nobody-is-root",
        "where auth is on nobody may do nothing",
        _kv(
            "auth",
            "            raise MachineError(refusals.USER_EMPTY)\n        name, serial",
            "            return EVERYTHING\n        name, serial",
        ),
        by="auth-identity",
    ),
    _store(
        "deleted-role-comes-back",
        "users lose a role that is deleted, for good",
        _kv(
            "auth",
            "            if role in user.roles:\n                user.roles.remove(role)\n",
            "            pass\n",
        ),
        by="auth-denied",
    ),
    _store(
        "snapshot-without-the-switch",
        "a snapshot holds whether auth is on",
        _kv("auth_snapshot", "held.secret = enabled != 0,", "held.secret = False,"),
        by="state-machine-safety",
    ),
    _store(
        "query-as-nobody-in-particular",
        "queries are checked as commands are",
        _kv("store", "return self._access.query(principal, request, self._asked_by)\n", "pass\n"),
        by="auth-denied auth-identity",
    ),
)  # fmt: skip
