"""The order of steps, and nothing else.

Every way to start a flow imports this package: the command line, a worker of Prefect, ``serve``, a
program of your own. What every run needs in its process is therefore set here.
"""

from tasks.environment import prepare

prepare()
