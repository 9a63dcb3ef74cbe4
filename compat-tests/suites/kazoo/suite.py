"""The server as seen through kazoo, the Python client with its recipes.

kazoo never sends setWatches: after a reconnect its watches are gone and its
recipes read again. It creates with opcode 15 when asked for the stat, resumes
sessions by id and password, and reads the server version from `envi`.
"""

import logging
import os
import sys
import warnings

import support

if __name__ == "__main__":
    logging.getLogger("kazoo").addHandler(logging.NullHandler())
    logging.getLogger("kazoo").propagate = False
    # Two checks do on purpose what the client warns of.
    warnings.simplefilter("ignore")
    if sys.argv[1:2] == ["--orphan"]:
        support.be_orphan(sys.argv[2], float(sys.argv[3]))
    else:
        import client_checks  # noqa: F401  (importing registers the checks)
        import recipe_checks  # noqa: F401
        import session_checks  # noqa: F401

        code = support.run()
        sys.stdout.flush()
        # Threads of a check that hung must not keep the process alive.
        os._exit(code)
