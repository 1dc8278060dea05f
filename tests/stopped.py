"""Processes that stop at a certain place, and are killed there: no test depends on how fast they were."""

import signal
import subprocess
import sys
import threading


def stop_after(owner, name, times=1):
    """Have a function of a module or class stop its process when it has returned so many times."""
    whole, done = getattr(owner, name), []

    def stopping(*arguments, **options):
        found = whole(*arguments, **options)
        done.append(True)
        if len(done) == times:
            sys.stdout.write("stopped\n")
            sys.stdout.flush()
            threading.Event().wait()  # until it is killed
        return found

    setattr(owner, name, stopping)


def kill_where_it_stops(script):
    """Run a script that calls :func:`stop_after`, and kill it where it stops."""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert any(line == "stopped\n" for line in process.stdout), "it ended before it could be killed"
        process.kill()
    assert process.returncode == -signal.SIGKILL
