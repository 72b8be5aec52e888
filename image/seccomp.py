#!/usr/bin/env python3
"""seccomp.json: Docker's default profile for a container of no special capability, less what ComfyUI never calls.

    image/seccomp.py             writes image/seccomp.json
    image/seccomp.py --check     exit 1, with the differing lines, where image/seccomp.json is not what would be written
    image/seccomp.py --removed   one line a removed call: its name and the reason

Upstream is profiles/seccomp/default.json of Moby 20.10.24 (https://github.com/moby/moby), as Debian 12 ships it in
golang-github-docker-docker-dev 20.10.24+dfsg1-1+deb12u1: /usr/share/gocode/src/github.com/docker/docker/profiles/seccomp/default.json.
It is kept unchanged in seccomp/moby-20.10.24.json: Copyright 2012-2018 Docker, Inc., Apache License 2.0 (seccomp/LICENSE). This product
includes software developed at Docker, Inc. (https://www.docker.com).

Upstream's rules may depend on capabilities, machines and kernels. Here they are decided beforehand and written flat, because containerd
and CRI-O read a profile by the OCI runtime specification, which knows no conditions: they would give everybody the rule that
Docker keeps for CAP_SYS_ADMIN. A flat profile means the same to Docker, Podman and Kubernetes.
"""

import difflib
import hashlib
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
UPSTREAM = HERE / "seccomp" / "moby-20.10.24.json"
UPSTREAM_SHA256 = "e5e91f884647e7332b3f89280777752f563df4f1372a186f14ddb7bf2f55cf61"
PROFILE = HERE / "seccomp.json"

EPERM = 1
ENOSYS = 38

# What is removed from upstream, or held by it for some capability, or must not come in with a later upstream. All answer EPERM.
REMOVED = {
    # A second way into most of the kernel that no seccomp filter sees; upstream itself removed it in Docker 25.
    "io_uring_setup": "requests of the ring pass no seccomp filter",
    "io_uring_enter": "requests of the ring pass no seccomp filter",
    "io_uring_register": "requests of the ring pass no seccomp filter",
    # Stopping a thread of the kernel at a page fault of one's choice is what races in the kernel are won with.
    "userfaultfd": "holds the kernel at a page fault, which wins its races",
    # Keys are not divided by containers: the kernel's keyrings know the user id alone.
    "add_key": "keyrings are shared between containers of one user id",
    "keyctl": "keyrings are shared between containers of one user id",
    "request_key": "keyrings are shared between containers of one user id, and runs a program of the host's",
    "bpf": "runs programs in the kernel",
    "perf_event_open": "watches the kernel and other processes; a long row of escalations",
    "fanotify_init": "watches whole mounts",
    "fanotify_mark": "belongs to fanotify_init",
    # A process of the app's user could read and steer another: secrets in the environment of COMMAND, the probe, a docker exec.
    "ptrace": "reads and steers other processes of the user",
    "process_vm_readv": "reads the memory of other processes",
    "process_vm_writev": "writes the memory of other processes",
    "process_madvise": "acts on the memory of other processes",
    "kcmp": "compares what other processes hold",
    "pidfd_getfd": "takes descriptors of other processes",
    # clone's flags are masked below.
    "unshare": "a new user namespace gives every capability over what the kernel has to offer in it",
    "setns": "enters other namespaces",
    # The mount family. The profile stands behind the missing CAP_SYS_ADMIN, which a user namespace would give.
    "mount": "changes what is mounted",
    "umount2": "changes what is mounted",
    "pivot_root": "changes what is mounted",
    "chroot": "changes the root directory",
    "mount_setattr": "changes what is mounted",
    "move_mount": "changes what is mounted",
    "open_tree": "changes what is mounted",
    "fsopen": "changes what is mounted",
    "fsconfig": "changes what is mounted",
    "fsmount": "changes what is mounted",
    "fspick": "changes what is mounted",
    # Opens any file of the file system below, past every directory (the escape known as Shocker). Upstream allows it to whoever has
    # CAP_DAC_READ_SEARCH, and `init` starts with that.
    "open_by_handle_at": "opens files of the host past every directory",
    "name_to_handle_at": "serves open_by_handle_at alone",
    "kexec_load": "replaces the kernel",
    "kexec_file_load": "replaces the kernel",
    "init_module": "loads code into the kernel",
    "finit_module": "loads code into the kernel",
    "delete_module": "unloads code of the kernel",
    "reboot": "ends the machine",
    "swapon": "the host's memory",
    "swapoff": "the host's memory",
    "acct": "the host's accounting",
    "quotactl": "the host's quotas",
    "quotactl_fd": "the host's quotas",
    "settimeofday": "the host's clock",
    "clock_settime": "the host's clock",
    "sethostname": "the name of the machine",
    "setdomainname": "the name of the machine",
    "syslog": "the kernel's log, with its addresses",
    "lookup_dcookie": "a profiler's; gone from the kernel since 6.7",
    "vhangup": "hangs up terminals",
    "iopl": "the machine's ports",
    "ioperm": "the machine's ports",
    "modify_ldt": "segments for 16-bit programs; its bugs were escalations",
    "vmsplice": "lends pages to a pipe while they can still change; Podman's default denies it too",
    # Upstream holds these for CAP_SYS_NICE. Libraries that know NUMA live without them in every default container.
    "get_mempolicy": "tells where memory lies",
    "mbind": "places memory among the nodes of the machine",
    "set_mempolicy": "places memory among the nodes of the machine",
    "set_mempolicy_home_node": "places memory among the nodes of the machine",
    "migrate_pages": "moves the memory of processes between the nodes of the machine",
    "move_pages": "moves the memory of processes between the nodes of the machine",
}

# Newer than upstream, and allowed by the default profile of today (github.com/moby/profiles, seccomp/v0.2.3). An engine or libseccomp that
# does not know a name passes over it. Landlock's three calls are in upstream already.
ADDED = [
    "cachestat", "fchmodat2", "futex_requeue", "futex_wait", "futex_wake", "getxattrat", "listmount", "listxattrat",
    "map_shadow_stack", "mseal", "pkey_alloc", "pkey_free", "pkey_mprotect", "removexattrat", "setxattrat", "statmount", "uretprobe",
]

# In upstream's conditional rules, and no calls of x86-64.
ELSEWHERE = {"clock_settime64", "stime", "umount"}

# Calls that are allowed with some arguments. Whatever is not matched answers as an unlisted call does.
WORD = 0xFFFFFFFF  # The kernel takes an int from the lower half of a register; the upper half must not make a difference.
NEW_NAMESPACES = 0x7E020000  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}; clone cannot ask for NEWTIME
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
# 0 chooses TCP and UDP by the type of the socket; ICMP is for ping. Not MPTCP (262): it connects past Landlock's rule for TCP ports.
PROTOCOLS = {AF_INET: [0, 6, 17, 1], AF_INET6: [0, 6, 17, 58]}


def conditions():
    """(name, arguments) of each rule; an argument is (index, mask, value)."""
    # Threads and processes, no namespaces.
    yield "clone", [(0, NEW_NAMESPACES, 0)]
    # Not AF_VSOCK, which reaches the hypervisor, nor AF_ALG, AF_PACKET and some thirty families that load a module when they are asked for.
    for family in (AF_UNIX, AF_NETLINK):
        yield "socket", [(0, WORD, family)]
    for family, protocols in PROTOCOLS.items():
        for protocol in protocols:
            yield "socket", [(0, WORD, family), (2, WORD, protocol)]
    yield "socketpair", [(0, WORD, AF_UNIX)]
    # Asking for the own one, and that of a 64-bit Linux. Upstream has those of old and of 32-bit programs beside them.
    for personality in (0, WORD):
        yield "personality", [(0, WORD, personality)]


def main(arguments):
    if arguments == []:
        PROFILE.write_text(text(profile()), encoding="ascii")
    elif arguments == ["--check"]:
        sys.exit(check())
    elif arguments == ["--removed"]:
        for name, reason in REMOVED.items():
            print(f"{name}: {reason}")
    else:
        sys.exit(__doc__)


def check():
    wanted = text(profile())
    found = PROFILE.read_text(encoding="ascii")
    sys.stdout.writelines(
        difflib.unified_diff(wanted.splitlines(True), found.splitlines(True), "what seccomp.py writes", str(PROFILE), n=0)
    )
    return int(wanted != found)


def profile():
    conditional = {name for name, _ in conditions()}
    allowed = (upstream_allows(conditional) | set(ADDED)) - set(REMOVED)
    return {
        # ENOSYS sends a library to its older way where EPERM would end it. Docker 20.10 does not know the field: there it is EPERM, and
        # runc answers ENOSYS for what is newer than the newest call named here.
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": ENOSYS,
        # Alone: a call by the 32-bit or the x32 entry ends the process.
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [
            {"names": sorted(allowed), "action": "SCMP_ACT_ALLOW"},
            *(
                {
                    "names": [name],
                    "action": "SCMP_ACT_ALLOW",
                    "args": [
                        {"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}
                        for index, mask, value in arguments
                    ],
                }
                for name, arguments in conditions()
            ),
            # Its flags lie in memory, where no filter can look. ENOSYS sends pthread_create and posix_spawn to clone.
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS},
            {"names": sorted(REMOVED), "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM},
        ],
    }


def upstream_allows(conditional):
    """What upstream allows to everybody on x86-64. What it allows to some must have been decided on above."""
    content = UPSTREAM.read_bytes()
    if hashlib.sha256(content).hexdigest() != UPSTREAM_SHA256:
        sys.exit(f"{UPSTREAM}: not the file that is named above")
    allowed = set()
    for rule in json.loads(content)["syscalls"]:
        names = set(rule["names"])
        machines = rule["includes"].get("arches", ["amd64"])
        if "amd64" not in machines or "amd64" in rule["excludes"].get("arches", []):
            continue
        if rule["action"] == "SCMP_ACT_ALLOW" and not rule["args"] and not set(rule["includes"]) - {"arches"}:
            allowed |= names - conditional
            continue
        undecided = names - set(REMOVED) - conditional - ELSEWHERE - {"clone3"}
        if undecided:
            sys.exit(f"{UPSTREAM.name} allows only some to call {', '.join(sorted(undecided))}: decide in seccomp.py")
    return allowed


def text(value):
    return json.dumps(value, indent=1) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
