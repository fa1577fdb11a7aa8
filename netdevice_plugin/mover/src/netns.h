#ifndef NDM_NETNS_H
#define NDM_NETNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netlink.h"

/* Descriptors of network namespaces; all return -errno on failure. */
int netns_own(void);
int netns_of_process(int pid);
/* Any process that lives in this one: for a pod whose pin is gone. -ENOENT: none. */
int netns_search(uint64_t device, uint64_t inode);

/* What names a namespace; never reused while it lives. */
int netns_identity(int netns, uint64_t *device, uint64_t *inode);

/*
 * Runs `work` with this thread in another namespace. Ends the process if it
 * cannot come back: nothing that follows would be done where it should be.
 */
int netns_within(int netns, int own, int (*work)(void *arg), void *arg);
int netns_open_socket(int netns, int own, struct nl *nl);

/*
 * Enters the mount namespace of process 1, if it shows the same run directory. Some
 * runtimes run hooks in one of their own (podman, for a container with a user
 * namespace): a pin that is made there dies with the container, and nobody else sees
 * it. Stays where it is when that is not to be had.
 */
void mounts_of_host(const char *run_dir);

/* The pin: a bind mount that keeps a namespace when its last process is gone. */
int pin_mount(const char *path, int netns);
int pin_unmount(const char *path); /* 0 as well if it is not there */
/* A descriptor of the pinned namespace, -ENOENT if the pin is not of that one. */
int pin_open(const char *path, uint64_t device, uint64_t inode);

/* When a process was started, in clock ticks after boot. -ESRCH: dead, or a zombie. */
int process_start(int pid, uint64_t *start);
bool process_is(int pid, uint64_t start);

/* Waits until one of the processes ends. 0: one did; -ETIMEDOUT; -errno. */
int process_wait(const int *pids, size_t count, int milliseconds);

#endif
