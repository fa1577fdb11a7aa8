#ifndef NDM_LEND_H
#define NDM_LEND_H

#include "message.h"
#include "mover.h"
#include "netns.h"

/* The pod's side of one attach. */
struct pod {
    int netns;
    struct nsid id;
    struct nl nl;
};

/* Enters the container of the OCI state into the record, or refreshes its entry. */
int add_holder(struct mover *mover);

/*
 * Finds the link on the host, checks that it may leave, records it. 0, or -errno with
 * nothing touched.
 */
int prepare(struct mover *mover, struct pod *pod);

/* Fails unless no link of the pod's has the name. */
int check_name(struct mover *mover, struct pod *pod, const char *name);

/* Gives the link in the pod what it had on the host, or what was asked for. */
int configure(struct mover *mover, struct pod *pod);

/* What a request that was built is about. */
struct item item_of(const struct request *request);

/* Fails with `verb`, which ends in a space, and what the message is about. */
int fail_message(struct mover *mover, const struct nl *nl, int rc, const char *verb,
                 enum thing thing, struct item message);

#endif
