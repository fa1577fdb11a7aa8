/* Network namespaces, the pins that keep them, and the processes in them. */

#define _GNU_SOURCE /* setns, memrchr, struct statx */

#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "files.h"
#include "record.h"
#include "steps.h"
#include "text.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

static void proc_path(char out[PATH_SIZE], int pid, const char *file)
{
    struct text text;

    text_init(&text, out, PATH_SIZE);
    text_put(&text, "/proc/");
    text_put_unsigned(&text, (uint64_t)pid);
    text_put_char(&text, '/');
    text_put(&text, file);
}

static int open_read(const char *path)
{
    return open_file(path, O_RDONLY, 0);
}

int netns_own(void)
{
    return open_read("/proc/self/ns/net");
}

int netns_of_process(int pid)
{
    char path[PATH_SIZE];

    proc_path(path, pid, "ns/net");
    return open_read(path);
}

/* What stat(2) calls st_dev and st_ino; by statx(2), as the C library's stat() is of 600 bytes. */
static int identify(int at, const char *path, struct nsid *out)
{
    struct statx found;

    if (syscall(SYS_statx, at, path, AT_EMPTY_PATH, STATX_INO, &found) < 0)
        return -errno;
    *out = (struct nsid){makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino};
    return 0;
}

bool nsid_equal(struct nsid one, struct nsid other)
{
    return one.device == other.device && one.inode == other.inode;
}

int netns_identity(int netns, struct nsid *out)
{
    return identify(netns, "", out);
}

/* Keeps `netns` if it is the one that is looked for, closes it otherwise. */
static int only_if(int netns, struct nsid wanted)
{
    struct nsid found;

    if (netns < 0)
        return netns;
    if (netns_identity(netns, &found) == 0 && nsid_equal(found, wanted))
        return netns;
    close(netns);
    return -ENOENT;
}

/* What getdents64(2) fills a buffer with. readdir(3) would bring malloc(3) with it, 2 KB. */
struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t size;
    uint8_t type;
    char name[];
};

int netns_search(struct nsid wanted)
{
    static _Alignas(8) char entries[8192];
    bool all = true, first = false;
    int found = -ENOENT;
    long size = 0;
    int proc = open_read("/proc");

    if (proc < 0)
        return proc;
    while (found < 0 && (size = syscall(SYS_getdents64, proc, entries, sizeof entries)) > 0) {
        const struct entry *entry;
        for (long at = 0; found < 0 && at < size; at += entry->size) {
            uint64_t pid;
            entry = (const void *)(entries + at);
            if (parse_unsigned(span_of(entry->name), INT32_MAX, &pid) < 0)
                continue;
            found = only_if(netns_of_process((int)pid), wanted);
            first |= pid == 1; /* never shown where /proc hides the processes of others */
            /* Process 1 is no pod's, and closed to us where we are in a container ourselves. */
            all &= pid == 1 || found >= 0 || found == -ENOENT || found == -ESRCH;
        }
    }
    close(proc);
    return found >= 0 ? found : size == 0 && all && first ? -ENOENT : -EACCES;
}

int netns_within(int netns, int own, int (*work)(void *arg), void *arg)
{
    if (setns(netns, CLONE_NEWNET) < 0)
        return -errno;
    int rc = work(arg);
    if (setns(own, CLONE_NEWNET) < 0)
        _exit(1);
    return rc;
}

struct opening {
    struct nl *nl;
    int protocol;
};

static int open_socket(void *arg)
{
    const struct opening *opening = arg;

    return nl_open(opening->nl, opening->protocol);
}

int netns_open_socket(int netns, int own, int protocol, struct nl *nl)
{
    struct opening opening = {nl, protocol};

    nl->fd = -1;
    return netns_within(netns, own, open_socket, &opening);
}

/* Whether /proc shows the processes among which we are, under our own number. */
static bool proc_is_ours(void)
{
    char target[32];
    ssize_t size = readlink("/proc/self", target, sizeof target);
    uint64_t pid;

    return size > 0 && parse_unsigned((struct span){target, (size_t)size}, INT32_MAX, &pid) == 0 &&
           (pid_t)pid == getpid();
}

struct nsid pidns_own(void)
{
    struct nsid found;

    if (!proc_is_ours() || identify(AT_FDCWD, "/proc/self/ns/pid", &found) < 0)
        return (struct nsid){0, 0};
    return found;
}

bool mounts_of_host(const char *run_dir)
{
    struct nsid here, there, seen;
    int own = open_read("/proc/self/ns/mnt");
    int host = open_read("/proc/1/ns/mnt");
    bool known =
        own >= 0 && host >= 0 && identify(own, "", &here) == 0 && identify(host, "", &there) == 0;
    bool same = known && nsid_equal(here, there);

    if (known && !same && identify(AT_FDCWD, run_dir, &seen) == 0 &&
        setns(host, CLONE_NEWNS) == 0) {
        same =
            identify(AT_FDCWD, run_dir, &there) == 0 && nsid_equal(seen, there) && proc_is_ours();
        if (!same && setns(own, CLONE_NEWNS) < 0)
            _exit(1); /* what follows would be written where nobody looks */
    }
    if (own >= 0)
        close(own);
    if (host >= 0)
        close(host);
    return same;
}

int pin_mount(const char *path, int netns)
{
    char source[PATH_SIZE];
    struct text text;

    int rc = pin_unmount(path); /* one whose record is gone pins nothing that is ours */
    if (rc < 0)
        return rc;
    step("make the pin's file");
    int fd = open_file(path, O_RDONLY | O_CREAT | O_NOFOLLOW, 0444);
    if (fd < 0)
        return fd;
    close(fd);
    text_init(&text, source, sizeof source);
    text_put(&text, "/proc/self/fd/");
    text_put_unsigned(&text, (uint64_t)netns);
    step("mount the pin");
    rc = mount(source, path, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
    step("pin mounted");
    return rc;
}

int pin_unmount(const char *path)
{
    step("unmount the pin");
    /* EINVAL: a file that is no mount point. More than one can lie on top of another. */
    while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
        ;
    if (errno != EINVAL && errno != ENOENT)
        return -errno;
    return remove_file(path);
}

int pin_open(const char *path, struct nsid wanted)
{
    return only_if(open_read(path), wanted);
}

bool pin_is_covered(const char *path, struct nsid wanted)
{
    struct nsid found;
    int rc = identify(AT_FDCWD, path, &found);

    return rc < 0 ? rc != -ENOENT : !nsid_equal(found, wanted);
}

/* /proc/PID/stat: "PID (comm) S ppid ...": comm may hold anything, so count from its end. */
int process_start(int pid, uint64_t *start)
{
    char path[PATH_SIZE], stat[1024];

    if (pid <= 0)
        return -ESRCH;
    proc_path(path, pid, "stat");
    ssize_t size = read_file(path, stat, sizeof stat);
    if (size < 0)
        return -ESRCH;
    const char *end = memrchr(stat, ')', (size_t)size);
    if (end == NULL || (size_t)(stat + size - end) < 4)
        return -EPROTO;
    struct span rest = {end + 2, (size_t)(stat + size - end) - 2};
    if (rest.data[0] == 'Z' || rest.data[0] == 'X')
        return -ESRCH;
    for (int field = 3; field < 22; field++)
        span_cut(&rest, ' ', NULL);
    return parse_unsigned(span_cut(&rest, ' ', NULL), UINT64_MAX, start);
}

bool process_is(int pid, uint64_t start)
{
    uint64_t found;

    return process_start(pid, &found) == 0 && found == start;
}

int process_wait(const int *pids, size_t count, int milliseconds)
{
    struct pollfd polled[RECORD_HOLDERS];
    nfds_t opened = 0;
    int rc = 0;

    for (size_t i = 0; i < count && i < RECORD_HOLDERS; i++) {
        int fd = (int)syscall(SYS_pidfd_open, pids[i], 0);
        if (fd < 0 && errno == ESRCH)
            goto done; /* ended already */
        if (fd >= 0)
            polled[opened++] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
    rc = poll(polled, opened, milliseconds);
    rc = rc < 0 ? -errno : rc == 0 ? -ETIMEDOUT : 0;
done:
    while (opened > 0)
        close(polled[--opened].fd);
    return rc;
}
