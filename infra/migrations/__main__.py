"""`python -m infra.migrations "add lots"`: write the revision from the last one to today's tables.

Read what it wrote before committing it: triggers and moved data are not seen by the comparison.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic import command
from alembic.script import ScriptDirectory

from infra.records.database import Database, alembic_config, upgrade


def main(message: str) -> None:
    """Migrate an empty database to the last revision and write down what the tables have beyond it."""
    config = alembic_config()
    last = ScriptDirectory.from_config(config).get_current_head()
    with TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'records.db'}")
        upgrade(database)
        with database.begin() as connection:
            config.attributes["connection"] = connection
            command.revision(config, message, autogenerate=True, rev_id=f"{int(last or 0) + 1:04}")
        database.close()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit('say what changes: python -m infra.migrations "add lots"')
    main(sys.argv[1])
