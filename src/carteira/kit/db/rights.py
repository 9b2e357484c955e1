"""The rights of the service's role: to read and write rows, except where a table allows less.

The owner of the tables migrates and grants; the service's role owns nothing, creates nothing, and cannot disable a
trigger. It reads every table, but no partition by the partition's own name, only as a part of its table.
"""

from collections.abc import Collection, Iterator, Mapping

import psycopg
from psycopg import sql

ALL = ("SELECT", "INSERT", "UPDATE", "DELETE")
LOCK = 7_246_002
"""Advisory lock: grants run one at a time."""

_RELATIONS = """
    SELECT relispartition, relname, relkind = 'S' AS is_sequence,
           ARRAY(SELECT privilege_type FROM aclexplode(relacl) WHERE grantee = %(role)s::regrole) AS held
    FROM pg_class class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S')
      AND pg_has_role(relowner, 'USAGE')
      AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = class.oid AND deptype = 'e')
    ORDER BY relname
"""
_FOREIGN = """
    SELECT relname FROM pg_class class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S')
      AND NOT pg_has_role(relowner, 'USAGE')
      AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = class.oid AND deptype = 'e')
    ORDER BY relname
"""
_DEFINERS = """
    SELECT oid::regprocedure::text FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace AND prosecdef AND pg_has_role(proowner, 'USAGE')
      AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
"""
_OWNS_DATABASE = """
    SELECT datname FROM pg_database WHERE datname = current_database() AND pg_has_role(datdba, 'USAGE')
"""
EXCESS = """
    SELECT class.relname FROM pg_class class
    LEFT JOIN pg_inherits ON inhrelid = class.oid AND class.relispartition
    LEFT JOIN pg_class whole ON whole.oid = inhparent
    JOIN unnest($1::text[], $2::text[]) AS kept (name, rights) ON name = coalesce(whole.relname, class.relname)
    WHERE class.relnamespace = 'public'::regnamespace
      AND (pg_has_role(class.relowner, 'MEMBER') OR has_table_privilege(class.oid, 'TRUNCATE')
           OR EXISTS (SELECT FROM unnest(ARRAY['INSERT', 'UPDATE', 'DELETE']) AS privilege
                      WHERE (class.relispartition OR NOT privilege = ANY (string_to_array(rights, ' ')))
                        AND has_table_privilege(class.oid, privilege)))
    ORDER BY class.relname
"""
"""The tables of a list, and partitions of these, on which the present role has more rights than the list allows."""


class RoleMissing(LookupError):
    """The service's role does not exist; the text is its name."""


def make_role(connection: psycopg.Connection, role: str, password: str) -> bool:
    """Create a role with a password, or set its password; return whether it was created.

    The server gets only a verifier of the password. The connection's own role is left alone.

    Raises:
        psycopg.errors.InsufficientPrivilege: the connection's role may make no roles, or may not change this one.
    """
    quoted = sql.Identifier(role)
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        if connection.execute("SELECT current_user = %s", (role,)).fetchone() == (True,):
            return False
        is_missing = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is None
        statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}" if is_missing else "ALTER ROLE {} LOGIN PASSWORD {}")
        connection.execute(statement.format(quoted, sql.Literal(verifier)))
    return is_missing


def grant(connection: psycopg.Connection, role: str, kept: Mapping[str, Collection[str]]) -> int:
    """Grant a role its rights on what the connection's role owns, and revoke those beyond.

    `kept` names the tables on which it keeps less than `ALL`. Correct rights are left alone. Return the number of
    changed tables and sequences: zero if the role is the owner itself.

    Raises:
        RoleMissing: there is no such role.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is None:
            raise RoleMissing(role)
        if connection.execute("SELECT current_user = %s", (role,)).fetchone() == (True,):
            return 0
        changed = _grant_relations(connection, role, kept)
        _grant_functions(connection, role)
        _close_schema(connection, role)
    return changed


def differing(connection: psycopg.Connection, role: str, kept: Mapping[str, Collection[str]]) -> list[str]:
    """Return the tables and sequences of the connection's role on which a role's rights differ from `grant`'s."""
    return [name for name, _, held, wanted in _relations(connection, role, kept) if set(held) != set(wanted)]


def foreign(connection: psycopg.Connection) -> list[str]:
    """Return the tables that the connection's role does not own, and so cannot migrate or grant."""
    return [row[0] for row in connection.execute(_FOREIGN).fetchall()]


def _relations(
    connection: psycopg.Connection, role: str, kept: Mapping[str, Collection[str]]
) -> Iterator[tuple[str, bool, list[str], Collection[str]]]:
    """Yield each table and sequence: its name, whether it is a sequence, the role's rights, and the intended rights."""
    quoted = sql.Identifier(role).as_string(connection)
    for is_partition, name, is_sequence, held in connection.execute(_RELATIONS, {"role": quoted}).fetchall():
        if is_partition:
            yield name, False, held, ()
        else:
            yield name, is_sequence, held, ("USAGE", "SELECT") if is_sequence else kept.get(name, ALL)


def _grant_relations(connection: psycopg.Connection, role: str, kept: Mapping[str, Collection[str]]) -> int:
    changed = 0
    for name, is_sequence, held, wanted in _relations(connection, role, kept):
        if set(held) == set(wanted):
            continue
        parts = {
            "kind": sql.SQL("SEQUENCE" if is_sequence else "TABLE"),
            "name": sql.Identifier("public", name),
            "rights": sql.SQL(", ").join(map(sql.SQL, wanted)),
            "role": sql.Identifier(role),
        }
        connection.execute(sql.SQL("REVOKE ALL ON {kind} {name} FROM {role}").format(**parts))
        if wanted:
            connection.execute(sql.SQL("GRANT {rights} ON {kind} {name} TO {role}").format(**parts))
        changed += 1
    return changed


def _grant_functions(connection: psycopg.Connection, role: str) -> None:
    """Let only the service call functions that run with the owner's rights."""
    for (function,) in connection.execute(_DEFINERS).fetchall():
        parts = {"function": sql.SQL(function), "role": sql.Identifier(role)}
        connection.execute(sql.SQL("REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC").format(**parts))
        connection.execute(sql.SQL("GRANT EXECUTE ON FUNCTION {function} TO {role}").format(**parts))


def _close_schema(connection: psycopg.Connection, role: str) -> None:
    """Let only the owner create anything, even temporary tables.

    A trigger that checks writes would find a temporary table before ours of the same name.
    """
    service = sql.Identifier(role)
    owned = connection.execute(_OWNS_DATABASE).fetchone()
    connection.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(service))
    if owned is not None:
        database = sql.Identifier(owned[0])
        connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        connection.execute(sql.SQL("REVOKE CREATE ON SCHEMA public FROM {}").format(service))
        connection.execute(sql.SQL("REVOKE CREATE, TEMPORARY ON DATABASE {} FROM PUBLIC").format(database))
        connection.execute(sql.SQL("REVOKE CREATE, TEMPORARY ON DATABASE {} FROM {}").format(database, service))
        connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, service))
