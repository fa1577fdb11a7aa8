/* rtnetlink: one request, one answer; and dumps. */

#include "netlink.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "steps.h"

#ifndef NETLINK_GET_STRICT_CHK
#define NETLINK_GET_STRICT_CHK 12
#endif

/*
 * A dump's messages are of 32 KB, but for one that has a link alone: that may be of 64 KB
 * of altnames, which any pod may give to its links, and the few KB of the rest.
 */
#define RECEIVE (128 << 10)

#define ATTEMPTS 8 /* at a dump: that of a namespace which never rests is never whole */

static _Alignas(8) unsigned char received[RECEIVE];

int nl_open(struct nl *nl, int protocol)
{
    const int on = 1;
    const struct sockaddr_nl address = {.nl_family = AF_NETLINK};

    nl->seq = 0;
    nl->why[0] = '\0';
    nl->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    if (nl->fd < 0)
        return -errno;
    /* Both only make answers better; dumps are filtered again where it matters. */
    setsockopt(nl->fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
    setsockopt(nl->fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
    if (bind(nl->fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        int rc = -errno;
        nl_close(nl);
        return rc;
    }
    return 0;
}

void nl_close(struct nl *nl)
{
    if (nl->fd >= 0)
        close(nl->fd);
    nl->fd = -1;
}

void nl_start(struct request *request, unsigned type, unsigned flags, const void *family,
              size_t size)
{
    memset(&request->head, 0, sizeof request->head);
    request->head.nlmsg_type = (uint16_t)type;
    request->head.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    request->head.nlmsg_len = (uint32_t)NLMSG_LENGTH(NLMSG_ALIGN(size));
    request->full = false;
    memset(request->body, 0, NLMSG_ALIGN(size));
    memcpy(request->body, family, size);
}

void nl_put(struct request *request, unsigned type, const void *data, size_t size)
{
    size_t used = request->head.nlmsg_len - sizeof request->head;
    struct rtattr attr = {.rta_len = (uint16_t)RTA_LENGTH(size), .rta_type = (uint16_t)type};

    if (size > 65000 || used + RTA_SPACE(size) > sizeof request->body) {
        request->full = true;
        return;
    }
    memset(request->body + used, 0, RTA_SPACE(size));
    memcpy(request->body + used, &attr, sizeof attr);
    if (size > 0)
        memcpy(request->body + used + RTA_LENGTH(0), data, size);
    request->head.nlmsg_len += (uint32_t)RTA_SPACE(size);
}

void nl_put_u32(struct request *request, unsigned type, uint32_t value)
{
    nl_put(request, type, &value, sizeof value);
}

void nl_put_text(struct request *request, unsigned type, const char *text)
{
    nl_put(request, type, text, strlen(text) + 1);
}

size_t nl_nest(struct request *request, unsigned type)
{
    size_t start = request->head.nlmsg_len - sizeof request->head;

    nl_put(request, type | NLA_F_NESTED, NULL, 0);
    return start;
}

void nl_end_nest(struct request *request, size_t nest)
{
    size_t used = request->head.nlmsg_len - sizeof request->head;
    uint16_t size = (uint16_t)(used - nest);

    if (!request->full)
        memcpy(request->body + nest, &size, sizeof size);
}

static int transmit(struct nl *nl, struct request *request)
{
    const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

    if (request->full)
        return -EMSGSIZE;
    nl->why[0] = '\0';
    request->head.nlmsg_seq = ++nl->seq;
    ssize_t sent;
    do
        sent = sendto(nl->fd, &request->head, request->head.nlmsg_len, 0,
                      (const struct sockaddr *)&kernel, sizeof kernel);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

static ssize_t receive(struct nl *nl)
{
    ssize_t size;
    do
        size = recv(nl->fd, received, sizeof received, MSG_TRUNC);
    while (size < 0 && errno == EINTR);
    if (size < 0)
        return -errno;
    return (size_t)size > sizeof received ? -EMSGSIZE : size;
}

/* What an NLMSG_ERROR says; the kernel's text, where it has one, goes to nl->why. */
static int verdict(struct nl *nl, const struct nlmsghdr *message)
{
    const struct nlmsgerr *error = NLMSG_DATA(message);
    size_t skip = sizeof *error;

    if (message->nlmsg_len < NLMSG_LENGTH(sizeof *error))
        return -EPROTO;
    if ((message->nlmsg_flags & NLM_F_ACK_TLVS) == 0)
        return error->error;
    if ((message->nlmsg_flags & NLM_F_CAPPED) == 0)
        skip += NLMSG_ALIGN(error->msg.nlmsg_len) - sizeof error->msg;
    size_t size;
    const void *attrs = message_attrs(message, skip, &size);
    attr_text(attr_find(attrs, size, NLMSGERR_ATTR_MSG), nl->why, sizeof nl->why);
    return error->error;
}

/*
 * Read answers to the last request until it is answered in full. Without `dump`
 * one object, or one verdict, is the answer.
 */
static int collect(struct nl *nl, bool dump, nl_each each, void *arg)
{
    int result = 0;

    for (;;) {
        ssize_t size = receive(nl);
        if (size < 0)
            return (int)size;
        size_t left = (size_t)size;
        const struct nlmsghdr *message = (const void *)received;
        for (; left >= sizeof *message && message->nlmsg_len >= sizeof *message &&
               message->nlmsg_len <= left;
             message = (const void *)((const char *)message + NLMSG_ALIGN(message->nlmsg_len))) {
            size_t step_size = NLMSG_ALIGN(message->nlmsg_len);
            left = step_size > left ? 0 : left - step_size;
            if (message->nlmsg_seq != nl->seq)
                continue; /* the tail of a request that was given up */
            if (message->nlmsg_flags & NLM_F_DUMP_INTR && result == 0)
                result = -EAGAIN;
            if (message->nlmsg_type == NLMSG_DONE)
                return result;
            if (message->nlmsg_type == NLMSG_ERROR) {
                int rc = verdict(nl, message);
                return rc == 0 ? result : rc;
            }
            if (result == 0 && each != NULL)
                result = each(message, arg);
            if (!dump)
                return result;
        }
    }
}

int nl_call(struct nl *nl, struct request *request)
{
    request->head.nlmsg_flags |= NLM_F_ACK;
    step("netlink request");
    int rc = transmit(nl, request);
    if (rc == 0)
        rc = collect(nl, true, NULL, NULL);
    step("netlink answer");
    return rc;
}

int nl_get(struct nl *nl, struct request *request, nl_each each, void *arg)
{
    int rc = transmit(nl, request);
    return rc < 0 ? rc : collect(nl, false, each, arg);
}

int nl_dump(struct nl *nl, struct request *request, nl_each each, void *arg)
{
    int rc = -EAGAIN;

    request->head.nlmsg_flags |= NLM_F_DUMP;
    for (int attempt = 0; rc == -EAGAIN && attempt < ATTEMPTS; attempt++) {
        each(NULL, arg);
        rc = transmit(nl, request);
        if (rc == 0)
            rc = collect(nl, true, each, arg);
    }
    return rc;
}

const struct rtattr *attr_first(const void *data, size_t size)
{
    const struct rtattr *attr = data;

    return size >= sizeof *attr && attr->rta_len >= sizeof *attr && attr->rta_len <= size ? attr
                                                                                          : NULL;
}

const struct rtattr *attr_next(const struct rtattr *attr, size_t *left)
{
    size_t skip = RTA_ALIGN(attr->rta_len);

    if (skip >= *left)
        return NULL;
    *left -= skip;
    return attr_first((const char *)attr + skip, *left);
}

const struct rtattr *attr_find(const void *data, size_t size, unsigned type)
{
    for (const struct rtattr *a = attr_first(data, size); a != NULL; a = attr_next(a, &size))
        if (attr_type(a) == type)
            return a;
    return NULL;
}

unsigned attr_type(const struct rtattr *attr)
{
    return attr->rta_type & NLA_TYPE_MASK;
}

size_t attr_size(const struct rtattr *attr)
{
    return attr->rta_len - sizeof *attr;
}

const void *attr_data(const struct rtattr *attr)
{
    return attr + 1;
}

uint32_t attr_u32(const struct rtattr *attr, uint32_t otherwise)
{
    uint32_t value = otherwise;

    if (attr != NULL && attr_size(attr) >= sizeof value)
        memcpy(&value, attr_data(attr), sizeof value);
    return value;
}

void attr_text(const struct rtattr *attr, char *out, size_t size)
{
    size_t length = attr == NULL ? 0 : strnlen(attr_data(attr), attr_size(attr));

    if (length >= size)
        length = size - 1;
    if (length > 0)
        memcpy(out, attr_data(attr), length);
    out[length] = '\0';
}

const void *message_attrs(const struct nlmsghdr *message, size_t header, size_t *size)
{
    size_t skip = NLMSG_SPACE(header);

    *size = message->nlmsg_len > skip ? message->nlmsg_len - skip : 0;
    return (const char *)message + skip;
}
