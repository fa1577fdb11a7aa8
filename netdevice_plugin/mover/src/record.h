#ifndef NDM_RECORD_H
#define NDM_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "args.h"
#include "files.h"
#include "holder.h"
#include "link.h"
#include "list.h"
#include "netns.h"

#define RECORD_HOLDERS 16
#define RECORD_TEXT_MAX (3U << 20) /* bytes of a record's file */
#define RECORD_ERROR_SIZE 512
#define SECRET_SIZE 64

enum phase {
    PHASE_NONE,
    PHASE_ATTACHING,
    PHASE_ATTACHED,
    PHASE_RETURNING,
    PHASE_LOST,
    PHASE_STRANDED
};

/* What docs/reference/mover.md calls the record: all that it takes to bring a link home. */
struct record {
    enum phase phase;
    char device[64];
    struct nsid netns; /* the pod's */
    char pin[PATH_SIZE];
    uint64_t recorded; /* CLOCK_BOOTTIME, seconds */
    char pod_name[IFNAMSIZ];
    int pod_ifindex;
    struct mac pod_mac; /* that we gave it there; none if it kept its own */
    char pod_vlan[IFNAMSIZ]; /* what is to be undone in the pod: see pod.h */
    char pod_vrf[IFNAMSIZ];
    struct list pod_rules;
    struct list pod_defaults; /* the pod's own, which ours stand in for */
    char born[8];       /* the kind of a link that was made in the pod; see born.h */
    struct nsid pidns;  /* that of the holders' pids; not known in older records */
    size_t holder_count;
    struct holder holders[RECORD_HOLDERS];
    struct identity spec;
    struct link link;
    char secret[SECRET_SIZE]; /* IPv6 stable_secret as sysctl writes it; empty if not set */
    struct list sysctls;      /* "ipv4/neigh/gc_stale_time=60", no terminator */
    struct list ethtool;      /* "ring/rx=512", of what was asked to be changed */
    char vf[VF_TEXT_SIZE];    /* likewise, as --vf has it; empty: nothing */
    char rdma[16 + RDMA_NAME_SIZE]; /* index and name of a device that goes with it, or empty */
    struct list addresses;    /* messages without their nlmsghdr */
    struct list routes;
    struct list nexthops;
    struct list neighbours;
    char error[RECORD_ERROR_SIZE];
};

static inline bool is_born(const struct record *record)
{
    return record->born[0] != '\0';
}

/* Empties it; the lists' buffers are the record's own. There can be only one at a time. */
void record_init(struct record *record);

/* The holder with that id, or NULL. */
struct holder *record_holder(struct record *record, const char *id);

/* The text of a record; -ENOBUFS when it does not fit. */
int record_format(const struct record *record, struct text *out);

/* Parses a record's text. -EINVAL, and the number of the line that is wrong, counted from 1. */
int record_parse(const char *text, size_t length, struct record *out, size_t *line);

/* Written whole (temporary file and rename) or not at all. */
int record_write(const char *directory, const struct record *record);
/* -ENOENT: no such record; -EINVAL: line *line of it is wrong, or 0 for the wrong size. */
int record_read(const char *directory, const char *device, struct record *out, size_t *line);
int record_remove(const char *directory, const char *device);

#endif
