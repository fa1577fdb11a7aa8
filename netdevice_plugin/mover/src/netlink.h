#ifndef NDM_NETLINK_H
#define NDM_NETLINK_H

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A netlink socket of one network namespace: the one it was opened in. */
struct nl {
    int fd;
    uint32_t seq;
    char why[128]; /* the kernel's own words on the last failure, or empty */
};

/*
 * A request under construction. Running out of room is remembered and turns
 * into -EMSGSIZE when the request is sent, so that nobody has to check puts.
 */
struct request {
    _Alignas(8) struct nlmsghdr head;
    unsigned char body[32768];
    bool full;
};

/*
 * Called once for a message of an answer; a negative return ends it with that. Before a dump,
 * and when one is to be begun anew, called with NULL: what was seen so far is worth nothing.
 */
typedef int (*nl_each)(const struct nlmsghdr *message, void *arg);

int nl_open(struct nl *nl, int protocol); /* NETLINK_ROUTE and the like */
void nl_close(struct nl *nl);

void nl_start(struct request *request, unsigned type, unsigned flags, const void *family,
              size_t size);
void nl_put(struct request *request, unsigned type, const void *data, size_t size);
void nl_put_u32(struct request *request, unsigned type, uint32_t value);
void nl_put_text(struct request *request, unsigned type, const char *text);
size_t nl_nest(struct request *request, unsigned type);
void nl_end_nest(struct request *request, size_t nest);

/* Send and wait for the kernel's word: 0 or -errno. */
int nl_call(struct nl *nl, struct request *request);
/* Ask for one object: `each` sees it. -ENODEV and the like when there is none. */
int nl_get(struct nl *nl, struct request *request, nl_each each, void *arg);
/* Ask for all objects, again if they changed meanwhile. -EAGAIN: they never rested. */
int nl_dump(struct nl *nl, struct request *request, nl_each each, void *arg);

/*
 * Walk attributes: `for (a = attr_first(p, n); a; a = attr_next(a, &n))`.
 * Ends before an attribute that does not fit in what is left.
 */
const struct rtattr *attr_first(const void *data, size_t size);
const struct rtattr *attr_next(const struct rtattr *attr, size_t *left);
const struct rtattr *attr_find(const void *data, size_t size, unsigned type);
unsigned attr_type(const struct rtattr *attr);
size_t attr_size(const struct rtattr *attr);
const void *attr_data(const struct rtattr *attr);
uint32_t attr_u32(const struct rtattr *attr, uint32_t otherwise);
/* Copies text, always terminated; what does not fit is cut. */
void attr_text(const struct rtattr *attr, char *out, size_t size);

/* The attributes behind a message's family header of `header` bytes. */
const void *message_attrs(const struct nlmsghdr *message, size_t header, size_t *size);

#endif
