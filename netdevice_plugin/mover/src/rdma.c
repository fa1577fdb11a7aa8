/* RDMA devices, by the kernel's RDMA netlink: which one is the link's, and moving it. */

#include "rdma.h"

#include <errno.h>
#include <rdma/rdma_netlink.h>
#include <string.h>
#include <unistd.h>

#include "fetch.h"
#include "netns.h"

#define MESSAGE(command) RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, RDMA_NLDEV_##command)

struct search {
    const char *name;
    int ifindex;
    uint32_t index;
    bool exclusive; /* devices are of one namespace each */
    bool found, is_of_link;
};

/* Of every answer what there is in it. */
static int look(const struct nlmsghdr *message, void *arg)
{
    struct search *search = arg;
    char name[RDMA_NAME_SIZE];
    size_t size;

    if (message == NULL)
        return 0;
    const void *attrs = message_attrs(message, 0, &size);
    const struct rtattr *mode = attr_find(attrs, size, RDMA_NLDEV_SYS_ATTR_NETNS_MODE);

    if (mode != NULL && attr_size(mode) > 0)
        search->exclusive = *(const uint8_t *)attr_data(mode) == 0;
    attr_text(attr_find(attrs, size, RDMA_NLDEV_ATTR_DEV_NAME), name, sizeof name);
    if (strcmp(name, search->name) != 0)
        return 0;
    search->found = true;
    search->index = attr_u32(attr_find(attrs, size, RDMA_NLDEV_ATTR_DEV_INDEX), 0);
    search->is_of_link |=
        (int)attr_u32(attr_find(attrs, size, RDMA_NLDEV_ATTR_NDEV_INDEX), 0) == search->ifindex;
    return 0;
}

static int look_for(struct nl *nl, struct search *search)
{
    static struct request request;

    nl_start(&request, MESSAGE(CMD_SYS_GET), 0, "", 0);
    int rc = nl_get(nl, &request, look, search);
    if (rc < 0 || !search->exclusive)
        return rc;
    nl_start(&request, MESSAGE(CMD_GET), 0, "", 0);
    rc = nl_dump(nl, &request, look, search);
    if (rc < 0 || !search->found)
        return rc < 0 ? rc : -ENODEV;
    nl_start(&request, MESSAGE(CMD_PORT_GET), 0, "", 0);
    nl_put_u32(&request, RDMA_NLDEV_ATTR_DEV_INDEX, search->index);
    return nl_dump(nl, &request, look, search);
}

static int move(struct nl *nl, uint32_t index, int netns)
{
    static struct request request;

    nl_start(&request, MESSAGE(CMD_SET), 0, "", 0);
    nl_put_u32(&request, RDMA_NLDEV_ATTR_DEV_INDEX, index);
    nl_put_u32(&request, RDMA_NLDEV_NET_NS_FD, (uint32_t)netns);
    return nl_call(nl, &request);
}

/* Its name, for messages; nothing if there is none to be moved. */
static struct text device_of(struct record *record)
{
    struct span name = span_of(record->rdma);

    span_cut(&name, ' ', NULL);
    return (struct text){.data = (char *)name.data, .length = name.length};
}

/* The record has its index, which it keeps, and its name, which others may change. */
static uint32_t index_of(const struct record *record)
{
    struct span rest = span_of(record->rdma);
    uint64_t index = 0;

    parse_unsigned(span_cut(&rest, ' ', NULL), UINT32_MAX, &index);
    return (uint32_t)index;
}

int rdma_prepare(struct mover *mover)
{
    struct record *record = &mover->record;
    struct search search = {.name = mover->options->rdma, .ifindex = record->link.ifindex};
    struct text text;
    struct nl nl;

    if (search.name[0] == '\0')
        return 0;
    text_init(&text, record->rdma, sizeof record->rdma);
    text_put(&text, search.name);
    int rc = nl_open(&nl, NETLINK_RDMA);
    if (rc == 0)
        rc = look_for(&nl, &search);
    nl_close(&nl);
    if (rc < 0)
        return fail_about(mover, rc, "look at the RDMA device", &text);
    if (search.exclusive && !search.is_of_link)
        return fail(mover, -ENODEV, "look at the RDMA device", "it is not the link's");
    text_init(&text, record->rdma, sizeof record->rdma);
    if (!search.exclusive)
        return 0;
    text_put_unsigned(&text, search.index);
    text_put_char(&text, ' ');
    text_put(&text, search.name);
    return 0;
}

int rdma_move(struct mover *mover, struct pod *pod)
{
    const struct text device = device_of(&mover->record);
    struct nl nl;

    if (device.length == 0)
        return 0;
    int rc = nl_open(&nl, NETLINK_RDMA);
    if (rc == 0)
        rc = move(&nl, index_of(&mover->record), pod->netns);
    nl_close(&nl);
    return rc < 0 ? fail_about(mover, rc, "move the RDMA device to the pod", &device) : 0;
}

int rdma_home(struct mover *mover)
{
    const struct text device = device_of(&mover->record);
    struct nl nl;

    if (device.length == 0)
        return 0;
    int netns = open_lent(mover);
    if (netns < 0)
        return 0; /* the kernel has brought it home, or fetch() says why that cannot be told */
    int rc = netns_open_socket(netns, mover->own, NETLINK_RDMA, &nl);
    if (rc == 0)
        rc = move(&nl, index_of(&mover->record), mover->own);
    nl_close(&nl);
    close(netns);
    /* EINVAL: it is not there. Some, as rxe, are gone with the first move of their link. */
    if (rc == 0 || rc == -EINVAL)
        return 0;
    fail_about(mover, rc, "bring the RDMA device home", &device);
    return -EUCLEAN;
}
