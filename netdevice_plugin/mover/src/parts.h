#ifndef NDM_PARTS_H
#define NDM_PARTS_H

#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>

#include "message.h"

/* What the files about messages share: how each sort of message is made up. */

struct sort {
    unsigned get, add, remove;
    size_t header;
    unsigned oif;   /* the attribute that names the link, 0 if the header does */
    unsigned loose; /* the attribute that runs down with time */
};

extern const struct sort sorts[];

union header {
    struct ifaddrmsg address;
    struct rtmsg route;
    struct nhmsg nexthop;
    struct ndmsg neighbour;
    struct fib_rule_hdr rule;
    unsigned char bytes[16];
};

union header header_of(enum thing thing, struct item message);
const struct rtattr *find_attr(enum thing thing, struct item message, unsigned type);
/* Walks what stands behind the header; `left` is the walk's own. */
const struct rtattr *first_attr(enum thing thing, struct item message, size_t *left);
/* All 32 bits, which older messages do not have. */
uint32_t address_flags(struct item message);

/* Hops of a multipath route: `for (h = hop_first(p, n); h; h = hop_next(h, &n))`. */
struct rtnexthop *hop_first(const void *data, size_t left);
struct rtnexthop *hop_next(const struct rtnexthop *hop, size_t *left);

/* Flags of a hop that are settings; the others are the kernel's. */
#define HOP_FLAGS (RTNH_F_ONLINK | RTNH_F_PERVASIVE)

/*
 * A multipath route's hops without what is state; those through `from` go through `to`. Of the
 * attribute's size, and good until the next call. NULL: they are too many.
 */
const void *moved_hops(const struct rtattr *attr, int from, int to);
void put_hops(struct request *request, const struct rtattr *attr, int from, int to);

/* Of a lifetime; one that is for ever stays so. */
uint32_t seconds_left(uint32_t lifetime, uint64_t elapsed);

#endif
