#ifndef NDM_NETNS_H
#define NDM_NETNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netlink.h"

/* What names a namespace; never reused while it lives. Inode 0: it is not known. */
struct nsid {
    uint64_t device, inode;
};

bool nsid_equal(struct nsid one, struct nsid other);

/* Descriptors of network namespaces; all return -errno on failure. */
int netns_own(void);
int netns_of_process(int pid);
/*
 * By any process that lives in it: for a pod whose pin is gone. -ENOENT: there is none;
 * -EACCES: none of those that could be looked at.
 */
int netns_search(struct nsid wanted);
int netns_identity(int netns, struct nsid *out);

/* The PID namespace whose processes /proc shows, if that is ours; else one that is not known. */
struct nsid pidns_own(void);

/*
 * Runs `work` with this thread in another namespace. Ends the process if it
 * cannot come back: nothing that follows would be done where it should be.
 */
int netns_within(int netns, int own, int (*work)(void *arg), void *arg);
int netns_open_socket(int netns, int own, int protocol, struct nl *nl);

/*
 * Enters the mount namespace of process 1, if it shows the same run directory. Some
 * runtimes run hooks in one of their own (podman, for a container with a user
 * namespace): a pin that is made there dies with the container, and nobody else sees
 * it. Stays where it is when that is not to be had. True: this is that of process 1.
 */
bool mounts_of_host(const char *run_dir);

/* The pin: a bind mount that keeps a namespace when its last process is gone. */
int pin_mount(const char *path, int netns);
int pin_unmount(const char *path); /* 0 as well if it is not there */
/* A descriptor of the pinned namespace, -ENOENT if the pin is not of that one. */
int pin_open(const char *path, struct nsid wanted);
/* Whether something else is seen in the pin's place, such as the file that it is mounted on. */
bool pin_is_covered(const char *path, struct nsid wanted);

/* When a process was started, in clock ticks after boot. -ESRCH: dead, or a zombie. */
int process_start(int pid, uint64_t *start);
bool process_is(int pid, uint64_t start);

/* Waits until one of the processes ends. 0: one did; -ETIMEDOUT; -errno. */
int process_wait(const int *pids, size_t count, int milliseconds);

#endif
