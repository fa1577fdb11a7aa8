#ifndef NDM_MOVER_H
#define NDM_MOVER_H

#include "args.h"
#include "counters.h"
#include "files.h"
#include "netlink.h"
#include "ocistate.h"
#include "record.h"
#include "text.h"

/* One run: what was asked for, the namespace that we serve, and the device's record. */
struct mover {
    const struct options *options;
    struct oci_state state; /* of attach and detach */
    int own;                /* our network namespace, which is the host's */
    struct nl host;
    int lock;             /* -1: not ours */
    bool entered;         /* the run directory is there */
    bool on_host;         /* with the mounts of process 1 */
    struct nsid pidns;    /* of the processes that we see; not known: of others than ours */
    int parent;           /* of a link that is to be born: its ifindex on the host */
    struct record record; /* phase PHASE_NONE: the device is at home */
    bool held;            /* it was that another container that lives has the device */
    bool moved;           /* the link is where the command wanted it, and was not before */
    struct text error;    /* the first failure, without the device: "STEP: REASON" */
    char error_text[RECORD_ERROR_SIZE];
    char step[COUNTERS_STEP_SIZE]; /* that failed first, as it is counted */
};

/* Exit codes, docs/reference/mover.md. */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_HELD = 3, EXIT_LOST = 4 };

/*
 * Notes what failed, unless something did before, and returns `rc`. The reason is
 * `reason` if given, else what `rc` stands for with the kernel's own words, if any.
 */
int fail(struct mover *mover, int rc, const char *step, const char *reason);
int fail_netlink(struct mover *mover, int rc, const char *step, const struct nl *nl);
/* The reason is `subject`, if any, and what `rc` stands for. */
int fail_about(struct mover *mover, int rc, const char *step, const struct text *subject);
/* As if nothing had failed yet. */
void forgive(struct mover *mover);

/* Removes errors/DEVICE: the device was lent, or brought home, without an error. */
void forget_error(const struct mover *mover);
/* Fails with -EBUSY and the names of the holders that are alive; sets `held`. */
int fail_held(struct mover *mover);

/* Takes the device's lock; -ETIMEDOUT when another mover works on it for too long. */
int lock_device(struct mover *mover);
void unlock_device(struct mover *mover);

/* Reads the device's record; no record is PHASE_NONE, not a failure. */
int read_record(struct mover *mover);
int write_record(struct mover *mover);

/*
 * Brings the device of the record home, wherever it is, and makes it what it was;
 * then drops pin and record. -ENODEV: it is nowhere to be found; the record says
 * lost, or is dropped (PHASE_NONE) where another NIC has its place. -EUCLEAN: it is
 * home, but not all could be restored; the record says stranded. -EXDEV, and nothing
 * touched: the pin may be mounted where it is not seen from here. Does nothing that is
 * done already, so it mends what any kill left.
 */
int bring_home(struct mover *mover);

/* Seconds since a record was made, CLOCK_BOOTTIME. */
uint64_t elapsed_since(uint64_t recorded);

/* The three commands; they return exit codes. */
int attach(struct mover *mover);
int detach(struct mover *mover);
int reclaim(struct mover *mover);

/* Whether the numbers of the holders' processes mean here what they meant where they were read. */
bool sees_holders(const struct mover *mover);
/* True as well of who cannot be seen. */
bool holder_lives(const struct mover *mover, const struct holder *holder);
/* Holders whose process has ended are taken out of the record, but for `keep`. */
void drop_dead_holders(struct mover *mover, const char *keep);

#endif
