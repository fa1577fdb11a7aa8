#ifndef NDM_MEND_H
#define NDM_MEND_H

#include "message.h"

/*
 * Makes what is on the link equal to `wanted`: takes off what is not in it, adds
 * what is missing. Routes are tried until the gateways of all that can be reached
 * are. 0, or the first error, with the message that it belongs to in *culprit;
 * everything else is done all the same.
 */
int messages_restore(struct nl *nl, enum thing thing, const struct list *wanted, int from, int to,
                     uint64_t elapsed, struct item *culprit);

#endif
