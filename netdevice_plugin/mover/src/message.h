#ifndef NDM_MESSAGE_H
#define NDM_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "list.h"
#include "netlink.h"

/*
 * What hangs on a link and is lost when it moves. Kept as the kernel's own
 * messages, less what is state and not setting, so that whatever a later kernel
 * adds to an address or a route is brought home too.
 */
enum thing { ADDRESS, ROUTE, NEXTHOP, NEIGHBOUR, RULE };

/* Whether all messages of a list are long enough to be of that sort; a record may say anything. */
bool messages_valid(enum thing thing, const struct list *list);

/*
 * Whether two messages set the same; ifindex `one_index` in the first means what
 * `other_index` means in the second.
 */
bool messages_equal(enum thing thing, struct item one, int one_index, struct item other,
                    int other_index);

enum change { ADD, REPLACE, REMOVE };

/*
 * Repeats a message; what is on link `from` in it is on link `to` now. `elapsed`
 * seconds have passed since. -ETIME: its lifetime is over.
 */
int message_send(struct nl *nl, enum thing thing, enum change change, struct item message, int from,
                 int to, uint64_t elapsed);

/* An IPv6 address that was checked for duplicates before is usable at once; another is checked. */
int address_add(struct nl *nl, struct item message, int from, int to, uint64_t elapsed);

#endif
