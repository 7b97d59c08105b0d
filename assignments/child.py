"""The process in which submissions run; it knows the probes and nothing that they should give.

It loads the packages once, then forks for each request.  The fork reads it, so that a submission's
memory holds nothing that others have handed in, and shuts itself in: namespaces of its own for
processes, files, network and users, in which there are Python, its packages (to read) and an empty
folder that vanishes with it; limits on time, memory, processes and files; no environment.  Where
the system forbids namespaces, the limits are left and, if the grader runs as root, another user's
rights.  When the grader is gone, it ends what runs, and itself.

Run by :mod:`assignments.sandbox`, as a file, in an isolated interpreter.
"""

import contextlib
import ctypes
import importlib
import json
import os
import resource
import select
import signal
import stat
import sys
import tempfile
import threading
import time
from functools import partial

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import checks

sys.path.pop(0)

LIBC = ctypes.CDLL(None, use_errno=True)
# From linux/sched.h, sys/mount.h, sys/prctl.h
NEW_FILES, NEW_IPC, NEW_USER, NEW_PROCESSES, NEW_NETWORK = (
    0x00020000,
    0x08000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
READ_ONLY, NO_SUID, NO_DEVICES, NO_EXEC, REMOUNT, BIND, RECURSIVE, PRIVATE = (
    1,
    2,
    4,
    8,
    32,
    4096,
    16384,
    1 << 18,
)
DIE_WITH_PARENT, DROP_FROM_BOUND, SUBREAPER, NO_NEW_PRIVILEGES = 1, 24, 36, 38
NOBODY = 61_000  # and above: users that nobody is
MOST_ANSWER = 8 << 20  # bytes
MOST_FILE = 16 << 20
MOST_PROCESSES = 64
SYSTEM = ("/usr", "/lib", "/lib64", "/bin")
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")


def check(status):
    """Raise what a call of the system failed with."""
    if status != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def mount(source, target, kind=None, flags=0, options=None):
    """Mount something in the namespace of this process."""
    words = [None if each is None else each.encode() for each in (source, target, kind, options)]
    check(LIBC.mount(words[0], words[1], words[2], flags, words[3]))


# ---- shutting in


def part_from_the_rest():
    """New namespaces; as another user than root, as root of a namespace of users.

    Raises:
        OSError: where the system forbids it.
    """
    user, group, root = os.getuid(), os.getgid(), os.geteuid() == 0
    apart = NEW_FILES | NEW_IPC | NEW_PROCESSES | NEW_NETWORK
    check(LIBC.unshare(apart | (0 if root else NEW_USER)))
    if not root:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"0 {user} 1"),
            ("gid_map", f"0 {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)


def enclose(roots):
    """See Python, its packages and an empty folder from here on, and nothing else."""
    folder = "/tmp"
    mount("none", "/", None, RECURSIVE | PRIVATE)
    opened = [(root, os.open(root, os.O_PATH)) for root in roots]
    mount("tmpfs", folder, "tmpfs", NO_SUID | NO_DEVICES, "size=64m,mode=755")
    for root, handle in opened:
        target = folder + root
        if os.path.islink(root):
            os.symlink(os.readlink(root), target)
        elif stat.S_ISDIR(os.fstat(handle).st_mode):
            os.makedirs(target, exist_ok=True)
            bind(handle, target, READ_ONLY | NO_SUID | NO_DEVICES)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.close(os.open(target, os.O_CREAT))
            bind(handle, target, 0)
        os.close(handle)
    os.mkdir(folder + "/proc")
    mount("proc", folder + "/proc", "proc", NO_SUID | NO_DEVICES | NO_EXEC)
    for name in ("/work", "/tmp"):
        os.makedirs(folder + name, exist_ok=True)
        os.chmod(folder + name, 0o777)
    os.chroot(folder)
    os.chdir("/work")


def bind(handle, target, flags):
    """Mount an open file or folder elsewhere."""
    mount(f"/proc/self/fd/{handle}", target, None, BIND)
    if flags:  # a flag that the source has can't be taken away
        mount(None, target, None, BIND | REMOUNT | flags | os.statvfs(target).f_flag & NO_EXEC)


def limit(seconds, memory):
    """Limits that hold whatever the code does."""
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize() + memory
    for name, most in (
        (resource.RLIMIT_AS, size),
        (resource.RLIMIT_CPU, int(seconds) + 2),
        (resource.RLIMIT_FSIZE, MOST_FILE),
        (resource.RLIMIT_NPROC, MOST_PROCESSES),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(name, (most, most))


def give_up_rights(user):
    """Keep no right that the code could use; ``user`` is who a root becomes."""
    for capability in range(64):
        LIBC.prctl(DROP_FROM_BOUND, capability, 0, 0, 0)
    if user:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    else:
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        LIBC.capset(header, (ctypes.c_uint32 * 6)())
    check(LIBC.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0))


# ---- one request


class NoLibrary:
    """Finds the book's package, and says that it isn't there."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        """A finder's method; nothing for all other packages."""
        if name.partition(".")[0] == "irl_lib":
            raise ImportError("irl_lib is not there while this function is graded")


def answer(request, write):
    """Run a submission's function on its probes; a line for each outcome, and a last one."""

    def say(value):
        os.write(write, json.dumps(value).encode() + b"\n")

    me, threads = os.getpid(), threading.active_count()
    names, given = {"__name__": "submission"}, {"__name__": "given"}
    try:
        exec(compile(request["given"], "<given>", "exec"), given)
        exec(compile(request["source"], "<submission>", "exec"), names)
        run = given[request["run"]] if request["run"] else None
        call = checks.through(run, names[request["function"]])
    except Exception as error:
        fails = {"error": f"{type(error).__name__}: {error}"[: checks.LONGEST]}
        call = None
    for probe in request["probes"]:
        words = checks.restored(probe)
        found = checks.outcome(partial(call, **words)) if call else fails
        if os.getpid() != me:
            os._exit(0)
        say(found)
    say({"end": leftovers(threads)})


def leftovers(threads):
    """What the code has left running, in a word; nothing is as it should be."""
    if threading.active_count() > threads:
        return "leaves a thread running"
    with contextlib.suppress(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
        return "leaves a process running"
    return ""


def shut_in(request, write, control):
    """In the fork: no way back, then the answer."""
    os.setsid()
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # where memory runs out, this ends and not the grader
    user = NOBODY + os.getpid() if os.geteuid() == 0 else 0
    LIBC.prctl(DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    if request["apart"]:
        part_from_the_rest()
        if first := os.fork():
            os.write(control, b"%d\n" % first)
            os.close(write)
            os.close(control)
            signal.pause()
        enclose(request["roots"])
    else:
        os.chdir(request["folder"])
        if user:
            os.chown(request["folder"], user, user)
    for first, last in ((3, write), (write + 1, 4096)):
        os.closerange(first, last)  # above all the way to the grader
    log = os.open("said", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o666)
    for number in (1, 2):
        os.dup2(log, number)
    os.close(log)
    limit(request["seconds"], request["memory"])
    give_up_rights(user)
    LIBC.prctl(DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)  # new rights have cleared it
    os.environ.clear()
    os.environ["HOME"] = os.getcwd()
    if request["library"]:
        sys.path.append(request["library"])
    else:
        sys.meta_path.insert(0, NoLibrary)
    answer(request, write)


def drain(read, requests, seconds):
    """The lines that come until the last one, the end, or the time limit; and which it was.

    Nothing is to be read from the requests meanwhile, unless nobody waits for the lines any more.
    """
    deadline, text = time.monotonic() + seconds, b""
    while len(text) <= MOST_ANSWER:
        left = max(0.0, deadline - time.monotonic())
        if select.select([read, requests], [], [], left)[0] != [read]:
            return text, "timeout"
        more = os.read(read, 1 << 16)
        text += more
        if not more or b'\n{"end": ' in b"\n" + text[-200:]:
            return text, "end"
    return text, "too long"


def serve(requests, length, seconds):
    """Fork for a request, wait, and leave no process behind."""
    (read, write), (heard, control) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory() as folder:
        pid = os.fork()
        if pid == 0:
            try:
                os.close(read)
                os.close(heard)
                with open(requests, "rb", closefd=False) as file:
                    request = json.loads(file.read(length))
                shut_in(request | {"folder": folder}, write, control)
            finally:
                os._exit(0)
        os.close(write)
        os.close(control)
        first = os.read(heard, 64)
        text, end = drain(read, requests, seconds)
        if first:
            os.kill(int(first), signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        reap()
        os.close(read)
        os.close(heard)
    return {"text": text.decode(errors="replace"), "end": end}


def reap():
    """End what the fork has left; it became this process's own when its parent died."""
    me = str(os.getpid())
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[1] == me:
                    os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.01)


def main(packages):
    """Serve until there are no more requests."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path[:] = [each for each in sys.path if os.path.realpath(each) != here]
    for name in packages:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    with contextlib.suppress(ImportError):  # a progress bar would leave its thread running
        importlib.import_module("tqdm").tqdm.monitor_interval = 0
    LIBC.prctl(SUBREAPER, 1, 0, 0, 0)
    requests, replies = os.fdopen(os.dup(0), "rb", buffering=0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    for handle in (requests.fileno(), replies):
        os.set_inheritable(handle, False)
    for line in requests:  # its length and its seconds, and behind the line the request
        length, seconds = line.split()
        reply = serve(requests.fileno(), int(length), float(seconds))
        reply = json.dumps(reply).encode() + b"\n"
        while reply:
            reply = reply[os.write(replies, reply) :]


if __name__ == "__main__":
    main(sys.argv[1:])
    os._exit(0)  # packages take seconds to tidy up what vanishes anyhow
