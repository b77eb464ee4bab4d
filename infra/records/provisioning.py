"""Creates the PostgreSQL user and database that [records] names, with an administrator's URL."""

import psycopg
from psycopg import Connection, sql
from sqlalchemy.engine import URL, make_url

from infra.records.database import RecordsError


def provision(url: str, admin_url: str) -> list[tuple[str, str]]:
    """Create what is missing. ("created" or "there", what) each.

    `admin_url` names a database and a user that may create others. An existing user keeps its password, an
    existing database its owner. Raises RecordsError.
    """
    wanted, admin = make_url(url), make_url(admin_url)
    user, database = wanted.username, wanted.database
    if not user or not database:
        raise RecordsError("the url of [records] names no user or no database: nothing can be created for it")
    done: list[tuple[str, str]] = []
    try:
        with psycopg.connect(_conninfo(admin), connect_timeout=5, autocommit=True) as connection:
            if _there(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", user):
                done.append(("there", f"user {user}"))
            else:
                if not wanted.password:
                    raise RecordsError(f"the url of [records] has no password: user {user} cannot be created")
                create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
                connection.execute(create.format(sql.Identifier(user), sql.Literal(wanted.password)))
                done.append(("created", f"user {user}"))
            if _there(connection, "SELECT 1 FROM pg_database WHERE datname = %s", database):
                done.append(("there", f"database {database}"))
            else:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8'").format(
                        sql.Identifier(database), sql.Identifier(user)
                    )
                )
                done.append(("created", f"database {database}"))
    except psycopg.Error as error:
        name = admin.render_as_string(hide_password=True)
        why = " ".join(str(error).strip().splitlines()[:1]) or "it does not answer"
        raise RecordsError(
            f"the records cannot be created as {name} ({why}): correct LINESIDE_POSTGRES_ADMIN_URL, or create "
            f"user {user} and database {database} by hand"
        ) from error
    return done


def _conninfo(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _there(connection: Connection[tuple[object, ...]], question: str, name: str) -> bool:
    return connection.execute(question, (name,)).fetchone() is not None
